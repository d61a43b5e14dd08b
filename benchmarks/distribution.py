"""What two processes that share a search are worth, beside two that have nothing to do with each other.

Two independent processes with one thread each are as fast as two can be on this machine, whatever else it is doing.
Both ways evaluate as many candidates in turns, round after round, so that the ratio means something on a busy machine.

    python benchmarks/distribution.py --model embedded --candidates 20 --rounds 7
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, here and in the other processes

import argparse
import multiprocessing
import time
from multiprocessing.connection import Connection

import numpy as np
import torch

from acculturate.model.choice import ModelChoice
from acculturate.model.pool.opening import shared
from acculturate.model.respondent import Respondent
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import make_spec
from acculturate.search.loop import Evaluator
from acculturate.search.objective import search_objective
from acculturate.survey.formats import Role

PROCESSES = 2


def objective(respondent: Respondent, model: str, protocol: str) -> Evaluator:
    spec = make_spec({"model": model, "country": "SAU", "targets": "country-tool-estimate", "protocol": protocol})
    return search_objective(prepare(spec).problem, respondent, Role.TRAIN)


def prompts(n: int, respondent: Respondent) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((n, 2, respondent.hidden)) * respondent.unit).astype(np.float32)


def independent(orders: Connection, model: str, protocol: str) -> None:
    """Evaluate as many candidates as ordered, and say when that is done."""
    torch.set_num_threads(1)
    respondent = Respondent(ModelChoice(model))
    evaluate = objective(respondent, model, protocol)
    evaluate(prompts(1, respondent))
    orders.send(None)
    while n := orders.recv():
        evaluate(prompts(n, respondent))
        orders.send(None)


def timed(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--protocol", default="paper")
    parser.add_argument("--candidates", default="6,20", help="candidates of a generation; one or more numbers")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    start = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(PROCESSES):
        own, others = start.Pipe()
        start.Process(target=independent, args=(others, given.model, given.protocol), daemon=True).start()
        pipes.append(own)
    for pipe in pipes:
        pipe.recv()

    def apart(n: int) -> None:
        for place, pipe in enumerate(pipes):
            pipe.send(n // PROCESSES + (place < n % PROCESSES))
        for pipe in pipes:
            pipe.recv()

    respondent = Respondent(ModelChoice(given.model))
    with shared(respondent, f"local:{PROCESSES}"):
        together = objective(respondent, given.model, given.protocol)
        together(prompts(4, respondent))  # the worker loads its model
        print("| candidates | apart, s | together, s | efficiency | lowest to highest |\n|---|---|---|---|---|")
        for n in map(int, given.candidates.split(",")):
            x = prompts(n, respondent)
            rounds = [(timed(lambda: apart(n)), timed(lambda: together(x))) for _ in range(given.rounds)]  # noqa: B023
            ratios = sorted(one / other for one, other in rounds)
            first, second = (float(np.median(column)) for column in zip(*rounds, strict=True))
            spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
            print(f"| {n} | {first:.2f} | {second:.2f} | {float(np.median(ratios)):.2f} | {spread} |", flush=True)
    for pipe in pipes:
        pipe.send(0)


if __name__ == "__main__":
    main()
