"""What makes a prompt carry over to formats it never saw? Gradient descent under different regimes, one table.

Run: python benchmarks/generalisation.py --model FILE.gguf [--only NAME,NAME] [--results FILE] [--steps 60]

The oracle (runs.oracle) stands in for the search: it finds low training losses in a fraction of the time, so
that what differs between rows is the regime and not how far a search came. Steps go through the training formats in
turns. Every finished row is appended to the results file as one JSON line, and a row that is there is skipped;
`--table FILE` prints the table of a results file and computes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acculturate.judge.gradient import LossGradient
from acculturate.model.choice import ModelChoice
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.runs.oracle import Descent, descent
from acculturate.search.problem import survey_of
from acculturate.search.starts import BLANK, text_rows, vocabulary_rows
from acculturate.survey.formats import parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import Questionnaire, questionnaire
from acculturate.survey.response import Response
from acculturate.survey.targets import find_target

ONE = ("letters/options-first/0/en",)
TWO = (*ONE, "digits/question-first/1/en")
SIX = (
    *TWO,
    "letters/question-first/1/en",
    "digits/options-first/0/en",
    "lower/one-line/0/en",
    "symbols/options-first/1/en",
)
EIGHT = (*SIX, "lower/question-first/0/en", "roman/options-first/1/en")
WORDINGS = (
    *TWO,
    "letters/question-first/4/en",
    "digits/options-first/5/en",
    "lower/one-line/6/en",
    "symbols/options-first/7/en",
)
# Never trained on. The first four have a wording that no row trains on; the others combine what some rows have seen.
NEW_WORDING = (
    "letters/question-first/2/en",
    "digits/options-first/2/en",
    "letters/one-line/2/en",
    "roman/options-first/2/en",
)
NEW_COMBINATION = ("roman/question-first/0/en", "digits/one-line/0/en", "letters/one-line/1/en")


@dataclass(frozen=True)
class Regime:
    """One row. ``mass_penalty`` and ``anchor`` as in ``survey.loss.Loss``; ``start``: "blank" (line breaks) or
    "vocabulary" (random tokens, by the seed)."""

    formats: tuple[str, ...] = SIX
    slot: str = "response_start"
    tokens: int = 2
    mass_penalty: float = 20.0
    anchor: float = 0.0
    start: str = "blank"
    seed: int = 0


REGIMES = {
    "six": Regime(),
    "six wordings": Regime(WORDINGS),
    "two": Regime(TWO),
    "one": Regime(ONE),
    "six, 1 token": Regime(tokens=1),
    "six, user_end": Regime(slot="user_end"),
    "two, user_end": Regime(TWO, slot="user_end"),
    "six, random tokens": Regime(start="vocabulary"),
    "two, random tokens": Regime(TWO, start="vocabulary"),
    "one, random tokens": Regime(ONE, start="vocabulary"),
    "six, anchor 20": Regime(anchor=20.0),
    "six, no price on mass": Regime(mass_penalty=0.0),
    "six, 8 tokens": Regime(tokens=8),
    "eight": Regime(EIGHT),
}


class Bench:
    """One model and one country."""

    def __init__(self, model: str, country: str, targets: str, dtype: str) -> None:
        self._respondent = Respondent(ModelChoice(model, dtype=dtype))
        self._instrument, self._target = load_instrument("vsm2013"), find_target(country, targets)
        self._interviews: dict[tuple[str, str, int], Interview] = {}
        self._untuned: dict[str, Response] = {}

    def row(self, regime: Regime, how: Descent) -> dict[str, Any]:
        """Losses per format, trained and not, of the untuned model and of the prompt at the end."""
        respondent = self._respondent
        slopes = [LossGradient(self._interview(form, regime), self._survey(form, regime)) for form in regime.formats]
        if regime.start == "blank":
            first = text_rows(respondent, BLANK, regime.tokens)
        else:
            first = vocabulary_rows(respondent, regime.tokens, 1, np.random.default_rng(regime.seed))[0]
        curve = []
        prompt = first
        for step, prompt in descent(first, respondent.unit, slopes, how):
            if step % how.every == 0:
                train, held = (
                    float(np.mean([self._judged(f, prompt, regime)["loss"] for f in forms]))
                    for forms in (regime.formats, NEW_WORDING)
                )
                curve.append({"step": step, "train": train, "new_wording": held})
        found = {"untuned": {}, "tuned": {}}
        for form in (*regime.formats, *NEW_WORDING, *NEW_COMBINATION):
            found["untuned"][form] = self._judged(form, None, regime)
            found["tuned"][form] = self._judged(form, prompt, regime)
        return {**found, "curve": curve}

    def _asked(self, form: str) -> Questionnaire:
        return questionnaire(self._instrument, [parse_format(form)])

    def _interview(self, form: str, regime: Regime) -> Interview:
        # What stands before the slot is computed once per interview, which is most of the time of a short descent.
        key = (form, regime.slot, regime.tokens)
        if key not in self._interviews:
            self._interviews[key] = Interview(
                self._respondent, self._asked(form), slot=regime.slot, n_tokens=regime.tokens
            )
        return self._interviews[key]

    def _naive(self, form: str) -> Response:
        if form not in self._untuned:
            self._untuned[form] = Interview(self._respondent, self._asked(form)).ask()
        return self._untuned[form]

    def _survey(self, form: str, regime: Regime):
        untuned = self._naive(form)
        return replace(
            survey_of(self._asked(form), self._target),
            anchor=regime.anchor,
            reference=untuned.logprobs,
            mass_penalty=regime.mass_penalty,
            reference_mass=untuned.mass,
        )

    def _judged(self, form: str, prompt: np.ndarray | None, regime: Regime) -> dict[str, float]:
        response = self._naive(form) if prompt is None else self._interview(form, regime)(prompt[None])[0]
        survey = survey_of(self._asked(form), self._target)
        return {"loss": survey.evaluate(response).loss, "mass": float(response.mass.mean())}


def table(rows: list[dict[str, Any]]) -> str:
    """Tuned over untuned loss, in per cent, by kind of format."""
    lines = ["| regime | trained | new combination | new wording | mass, new wording |", "|---|---|---|---|---|"]
    for row in rows:
        trained = row["regime"]["formats"]
        cells = []
        for forms in (trained, [f for f in NEW_COMBINATION if f not in trained], NEW_WORDING):
            after, before = (np.mean([row[who][form]["loss"] for form in forms]) for who in ("tuned", "untuned"))
            cells.append(f"{before:.0f} to {after:.0f} ({after / before:.0%})")
        mass = np.mean([row["tuned"][form]["mass"] for form in NEW_WORDING])
        lines.append(f"| {row['name']} | {' | '.join(cells)} | {mass:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--country", default="SAU")
    parser.add_argument("--targets", default="country-tool-estimate")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--only", default=",".join(name.replace(", ", "_") for name in REGIMES))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "generalisation.jsonl")
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    file = given.table or given.results
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    if given.table is None:
        names = {name.replace(", ", "_"): name for name in REGIMES}
        bench = None
        for short in given.only.split(","):
            name, how = names[short], Descent(given.steps, given.rate, every=20)
            task = {"model": Path(given.model).name, "country": given.country, "targets": given.targets}
            key = {**task, "dtype": given.dtype, "name": name, "regime": asdict(REGIMES[name]), "how": asdict(how)}
            key = json.loads(json.dumps(key))
            if any(all(row.get(k) == v for k, v in key.items()) for row in rows):
                continue
            bench = bench or Bench(given.model, given.country, given.targets, given.dtype)
            begun = time.perf_counter()
            rows.append({**key, **bench.row(REGIMES[name], how), "seconds": round(time.perf_counter() - begun)})
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as out:
                out.write(json.dumps(rows[-1]) + "\n")
            print(f"{name}: {rows[-1]['seconds']} s", file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
