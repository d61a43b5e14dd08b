"""Could texts reach a country if their effects could be mixed and made stronger at will? Answers only, no search.

Texts (value statements and personas for four countries) are put to a model in two wordings. Three things are printed.

- *shift*: how far a text moves the items (root mean square, points of the scale), beside their scale's mean shift, and
  how well that agrees between the wordings (Pearson's r, median over texts).
- *needed*: the smallest shift of items beside each other, with every scale's mean where it is, that leaves 60 % of a
  country's distance.
- *left*: the distance that the best weighted sum of all texts' effects leaves in the wording on which its weights were
  not fitted, with its sum of absolute weights; its damping is the best in hindsight. A weight of 1 in all is what one
  text is given.

Answers are kept (docs/method.md), those of `benchmarks/reading.py` too.

    python benchmarks/mixtures.py embedded path/to/model.gguf --dtype bfloat16
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from countries import COUNTRIES
from jaxtyping import Float
from scipy.optimize import minimize

from acculturate.judge.audits import formats_there
from acculturate.judge.texts import texts_towards
from acculturate.model.answer_kind import answers_of
from acculturate.model.answers.ways import asking
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Context, Respondent
from acculturate.search.problem import survey_of
from acculturate.survey.formats import Role
from acculturate.survey.instrument import Instrument
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import part_of, questionnaire
from acculturate.survey.reliability import pearson
from acculturate.survey.targets import find_target

DAMPINGS = np.geomspace(0.01, 1e4, 25)
LEFT = 0.6
"""Share of the distance that a needed shift leaves."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--answers", default="probabilities")
    parser.add_argument("--texts", type=int, default=4, help="a country, the most promising first")
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    instrument = load_instrument("vsm2013")
    names = " | ".join(COUNTRIES)
    print(f"| model, answers | texts | shift | beside each other | r between wordings | {names} |")
    print("|---|---|---|---|---|" + "---|" * len(COUNTRIES))
    for name in given.models:
        respondent = Respondent(ModelChoice(name, dtype=given.dtype))
        effects = measured(respondent, instrument, given.answers, given.texts)
        cells = [f"{Path(name).stem}, {given.answers}", str(len(effects.shifts)), *effects.sizes()]
        print("| " + " | ".join([*cells, *(effects.towards(country) for country in COUNTRIES)]) + " |", flush=True)


@dataclass(frozen=True, eq=False)
class Effects:
    """Hold how texts shift the expected answers in two wordings, and the answers without any."""

    instrument: Instrument
    untuned: Float[np.ndarray, "2 items"]
    shifts: Float[np.ndarray, "texts 2 items"]

    @property
    def within(self) -> Float[np.ndarray, "texts 2 items"]:
        """Leave out what all items of a scale share."""
        return self.shifts - self.shifts @ self.instrument.scale_averages()

    def sizes(self) -> list[str]:
        """Show the size of shifts, of those within scales, and how the latter agree between wordings."""
        compared = np.diag(self.instrument.scale_averages()) < 1
        agreement = np.median([pearson(*text[:, compared]) for text in self.within])
        sizes = (f"{np.median(np.sqrt(np.square(all_).mean(axis=(1, 2)))):.2f}" for all_ in (self.shifts, self.within))
        return [*sizes, f"{agreement:+.2f}"]

    def towards(self, country: str) -> str:
        """Show the shift that is needed for a country, and what the best sum of effects leaves."""
        weights, constants = self.instrument.weights(), self.instrument.constants(50.0)
        target = find_target(country, COUNTRIES[country]).vector(self.instrument.dimension_ids)
        gaps = self.untuned @ weights.T + constants - target
        moves = self.within @ weights.T
        left, size = mixed(moves, gaps)
        within = weights @ (np.eye(weights.shape[1]) - self.instrument.scale_averages())
        return f"needs {needed(within, gaps.mean(axis=0)):.2f}; left {left:.0%} at weights of {size:.0f}"


def measured(respondent: Respondent, instrument: Instrument, answers: str, count: int) -> Effects:
    """Put the texts of all countries to a model in the first two trained wordings of the balanced protocol."""
    formats = formats_there(instrument, answers_of(answers), Role.TRAIN)
    asked = part_of(questionnaire(instrument, formats), range(2))
    ask = asking(respondent, answers)
    untuned = ask(asked, Context())
    before = survey_of(asked, find_target(*next(iter(COUNTRIES.items())))).means(untuned.logprobs)
    shifts: list[Float[np.ndarray, "2 items"]] = []
    for code, table in COUNTRIES.items():
        target = find_target(code, table)
        survey = survey_of(asked, target)
        scores = survey.scores(untuned.logprobs).mean(axis=0)
        texts = texts_towards(instrument, target.country, survey.target, scores)[:count]
        for text in sorted(texts, key=lambda one: -len(one.system)):
            shifts.append(survey.means(ask(asked, Context(system=text.system)).logprobs) - before)
    return Effects(instrument, before, np.stack(shifts))


def mixed(moves: Float[np.ndarray, "texts 2 dims"], gaps: Float[np.ndarray, "2 dims"]) -> tuple[float, float]:
    """Fit weights of the texts in each wording; give the distance left in the other, and the sum of weights."""
    best = (np.inf, 0.0)
    for damping in DAMPINGS:
        left, size = [], []
        for here, there in ((0, 1), (1, 0)):
            kernel = moves[:, here] @ moves[:, here].T + damping * np.eye(len(moves))
            weights = -np.linalg.solve(kernel, moves[:, here] @ gaps[here])
            left.append(np.abs(gaps[there] + weights @ moves[:, there]).sum() / np.abs(gaps[there]).sum())
            size.append(np.abs(weights).sum())
        best = min(best, (float(np.mean(left)), float(np.mean(size))))
    return best


def needed(within: Float[np.ndarray, "dims items"], gap: Float[np.ndarray, " dims"]) -> float:
    """Compute the smallest shift, root mean square over items, after which ``LEFT`` of the distance is left."""
    dims, items = within.shape
    cost = np.r_[np.zeros(items), np.ones(dims)]
    bounds = [
        {"type": "ineq", "fun": lambda v: LEFT * np.abs(gap).sum() - cost @ v, "jac": lambda _: -cost},
        *(
            {
                "type": "ineq",
                "fun": lambda v, sign=sign: v[items:] - sign * (within @ v[:items] + gap),
                "jac": lambda _, sign=sign: np.hstack([-sign * within, np.eye(dims)]),
            }
            for sign in (1.0, -1.0)
        ),
    ]
    found = minimize(
        lambda v: float(v[:items] @ v[:items]),
        np.r_[np.zeros(items), np.abs(gap)],
        jac=lambda v: np.r_[2 * v[:items], np.zeros(dims)],
        constraints=bounds,
        method="SLSQP",
        options={"maxiter": 500},
    )
    return float(np.sqrt(np.square(found.x[:items]).mean()))


if __name__ == "__main__":
    main()
