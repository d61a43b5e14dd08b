"""Equal budgets on the real task: every search method, several seeds, medians and ranges of the training loss.

The paper's protocol (one format, one order) on one model and one country, float32, slot response_start. Nothing is
written but the table. Run it with `make bench-search`; the full table takes hours on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from acculturate.alignment import prepare
from acculturate.methods import METHODS, make_optimizer
from acculturate.objective import Objective
from acculturate.optimizers import Optimizer
from acculturate.respondent import Context, Interview, Respondent
from acculturate.spaces import Full
from acculturate.spec import RunSpec, make_spec
from acculturate.starts import starting_prompts


def search(objective: Objective, space: Full, optimizer: Optimizer, start: np.ndarray, spec: RunSpec) -> float:
    """The lowest loss after exactly ``spec.budget`` evaluations."""
    state, best, spent = optimizer.init(start, spec.seed), np.inf, 0
    while spent < spec.budget:
        x = optimizer.ask(state)
        seen = objective(space.decode(x[: spec.budget - spent]).astype(np.float32))
        spent += len(seen)
        best = min(best, *(e.loss for e in seen))
        if len(seen) == len(x):
            state = optimizer.tell(state, x, seen)
    return float(best)


def table(settings: argparse.Namespace, say: Callable[[str], None]) -> None:
    base = {"model": settings.model, "country": settings.country, "targets": settings.targets, "protocol": "paper"}
    base |= {"tokens": settings.tokens, "budget": settings.budget}
    respondent = Respondent(make_spec(base).choice)
    task = prepare(make_spec(base))
    asked = task.questionnaires["train"]
    assert asked is not None
    survey = task.survey(asked)
    naive = survey.evaluate(Interview(respondent, asked, context=Context()).ask()).loss
    interview = Interview(respondent, asked, slot="response_start", n_tokens=settings.tokens)
    objective = Objective(interview, survey)
    space = Full(np.zeros((settings.tokens, respondent.hidden)), respondent.unit)
    say(f"{settings.model}, {settings.country}, {settings.budget} evaluations, untuned {naive:.1f} points\n")
    say(f"{'method':22s} {'start':10s} {'median':>8s} {'lowest':>8s} {'highest':>8s} {'s/eval':>7s}")
    for start in settings.starts.split(","):
        for name in settings.methods.split(","):
            found, begun = [], time.perf_counter()
            for seed in range(settings.seeds):
                spec = make_spec({**base, "seed": seed, "start": start})
                population = space.encode(starting_prompts(respondent, spec, task.target))
                optimizer = make_optimizer(name, {}, survey=survey, budget=settings.budget)
                found.append(search(objective, space, optimizer, population, spec))
            each = (time.perf_counter() - begun) / (settings.seeds * settings.budget)
            say(f"{name:22s} {start:10s} {median(found):8.2f} {min(found):8.2f} {max(found):8.2f} {each:7.3f}")


def main() -> None:
    everything = ",".join(name for name in METHODS if name != "cma-es")  # full CMA-ES refuses so many dimensions
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--country", default="SAU")
    parser.add_argument("--targets", default="country-tool-estimate")
    parser.add_argument("--methods", default=everything)
    parser.add_argument("--starts", default="vocabulary", help="comma-separated: vocabulary, culture, noise")
    parser.add_argument("--tokens", type=int, default=3)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    table(parser.parse_args(), lambda line: print(line, file=sys.stdout, flush=True))


if __name__ == "__main__":
    main()
