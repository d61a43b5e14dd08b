"""What a candidate costs by option texts: packed, one text at a time, in padded batches, and the bare matrix products.

One run, in turns, so that the ratios hold on a machine that others share. The answers are compared with those of one
text at a time.

    python benchmarks/option_texts.py --rounds 3
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.forward import Answers, head_of
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.engine.plain import PlainEngine
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.survey.formats import parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import questionnaire

FORMAT, SLOT, TOKENS = "words/open/0/en", "response_start", 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    respondent = Respondent(ModelChoice(given.model, dtype=given.dtype))
    asked = questionnaire(load_instrument("vsm2013"), [parse_format(FORMAT)])
    interview = ways.interview("cloze", respondent, asked, slot=SLOT, n_tokens=TOKENS)
    assert isinstance(interview, Interview)
    engine = interview.engine
    assert isinstance(engine, PackedEngine)
    prompt = np.random.default_rng(0).standard_normal((1, TOKENS, respondent.hidden)) * respondent.unit
    prompt, options = prompt.astype(np.float32), interview.reading.options
    sequences = list(interview.reading.sequences)
    alone, batches = (PlainEngine(respondent.model, sequences, options, batch=size) for size in (1, 8))
    rows = [row for group in engine.plan.passes for row in group]
    tokens, places = sum(len(row.dynamic) for row in rows), sum(len(row.answers) for row in rows)
    methods: dict[str, Callable[[], object]] = {
        "packed": lambda: engine(prompt),
        "one text at a time": lambda: alone(prompt),
        "padded batches of 8": lambda: batches(prompt),
        "matrix products of the packed tokens": products(respondent, tokens, places),
    }
    packed, exact = (methods[name]() for name in ("packed", "one text at a time"))
    assert isinstance(packed, Answers)
    assert isinstance(exact, Answers)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(given.rounds):
        for name, call in methods.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    print(f"{given.model}, {given.dtype}, {FORMAT}: {tokens} tokens, {places} places where a word is weighed")
    least = median(seconds["packed"])
    for name, taken in seconds.items():
        print(f"{name:38}{median(taken):9.3f} s{median(taken) / least:8.2f} times packed")
    there = np.isfinite(exact.logprobs)
    print(f"largest difference in a log-likelihood: {np.abs(packed.logprobs[there] - exact.logprobs[there]).max():.1e}")


def products(respondent: Respondent, tokens: int, places: int) -> Callable[[], None]:
    """Multiply so many tokens with the model's own layers, and so many places with its output head."""
    model = respondent.model
    head = head_of(model)
    layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]

    @torch.inference_mode()
    def call() -> None:
        widths = {part.in_features for part in layers}
        states = {width: torch.randn(tokens, width, dtype=model.dtype) for width in widths}
        for part in layers:
            torch.nn.functional.linear(states[part.in_features], part.weight)
        torch.nn.functional.linear(torch.randn(places, respondent.hidden, dtype=model.dtype), head.weight)

    return call


if __name__ == "__main__":
    main()
