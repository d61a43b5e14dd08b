"""How far could any search carry a soft prompt? Gradient descent in eight wordings, judged in four others.

The oracle sees gradients, which no search here does, and meets another way of asking at every step. What it leaves in
unseen wordings is what a black-box search of the same prompts can hope for; what it leaves in trained ones says how far
it came. Every country starts from line breaks. A country that is done is kept, so the script goes on where it was
stopped.

    python benchmarks/reach.py --out results/reach --answers cloze embedded
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from countries import COUNTRIES
from jaxtyping import Float

from acculturate.judge.gradient import LossGradient
from acculturate.judge.response_style import by_scale
from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.runs.oracle import Descent, descent
from acculturate.search.problem import survey_of
from acculturate.search.starts import BLANK, gaussian_noise, text_rows, vocabulary_rows
from acculturate.survey.formats import Role, parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.loss import Loss
from acculturate.survey.protocols import protocol_formats
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.response import Response
from acculturate.survey.targets import Target, find_target

SIDES = (Role.TRAIN, Role.HELDOUT)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("results/reach"))
    parser.add_argument("--answers", default="probabilities")
    parser.add_argument("--countries", default=",".join(COUNTRIES))
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=2)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--price", type=float, default=20.0, help="points a nat of answer mass lost, by labels")
    parser.add_argument("--every", type=int, default=32)
    parser.add_argument(
        "--subspaces", default="0", help="random directions to stay in; 0: all; words:N: embeddings of N random tokens"
    )
    parser.add_argument("--seeds", default="0", help="0: from line breaks; others: from near them, formats shuffled")
    parser.add_argument("--styles", default="0", help="shares of the points that a response style moves, as a price")
    parser.add_argument("--trained", type=int, help="train on the first so many formats only, for comparison")
    parser.add_argument("--packs", action="store_true", help="a run has shown that this model packs: compare nothing")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    how = Descent(given.steps, given.rate, given.every)
    price = given.price if given.answers == "probabilities" else 0.0
    for model in given.models:
        reached = None
        cells = itertools.product(
            given.countries.split(","),
            map(float, given.styles.split(",")),
            given.subspaces.split(","),
            map(int, given.seeds.split(",")),
        )
        for country, style, within, seed in cells:
            name = f"{Path(model).stem}-{given.answers}-{country}-{given.tokens}-{given.steps}-{given.rate:g}"
            name += f"-of{given.trained}" if given.trained else ""
            name += f"-in-{within.replace(':', '')}" if within != "0" else ""
            name += (f"-style{style:g}" if style else "") + (f"-seed{seed}" if seed else "")
            if (given.out / f"{name}.json").exists():
                continue
            if reached is None:
                respondent = Respondent(ModelChoice(model, dtype=given.dtype))
                if given.packs:
                    respondent.packed_sizes.update(dict.fromkeys((False, True), (sys.maxsize,) * 3))
                reached = Asked.of(respondent, given.answers, given.tokens, formats(given.answers, given.trained))
            prices = Prices(price, style)
            target = find_target(country, COUNTRIES[country])
            space = Subspace.of(reached.respondent, reached.start(seed), within)
            curve, prompt = reached.curve(target, how, prices, space, seed)
            means = reached.item_means(target, prompt)
            np.savez(given.out / f"{name}.npz", prompt=prompt, untuned=means["untuned"], tuned=means["tuned"])
            (given.out / f"{name}.json").write_text(json.dumps(curve), encoding="utf-8")
    print(table(given.out))


def formats(answers: str, trained: int | None = None) -> dict[Role, Sequence[str]]:
    """Name the ways of asking of the crossed protocol; ``trained``: so many of the trained ones, None: all."""
    sides = {role: protocol_formats("crossed", role, in_words=answers.startswith("cloze")) for role in SIDES}
    return {**sides, Role.TRAIN: sides[Role.TRAIN][:trained]}


@dataclass(frozen=True)
class Prices:
    """Hold points per nat of answer mass lost, and the share of the points that a response style moves."""

    mass: float
    style: float


@dataclass(frozen=True, eq=False)
class Asked:
    """Hold a model's questionnaires, laid out once for all countries, and its answers without a prompt."""

    respondent: Respondent
    interviews: Mapping[str, Mapping[str, ways.Interviews]]
    untuned: Mapping[str, Response]
    tokens: int

    @classmethod
    def of(cls, respondent: Respondent, answers: str, tokens: int, formats: Mapping[Role, Sequence[str]]) -> Asked:
        """Lay out trained and unseen ways of asking."""
        interviews, untuned = {}, {}
        for role, forms in formats.items():
            interviews[role] = {}
            for form in forms:
                asked = questionnaire(load_instrument("vsm2013"), [parse_format(form)])
                one = ways.interview(answers, respondent, asked, slot="response_start", n_tokens=tokens, lazily=True)
                shared = one.ask_untuned() if isinstance(one, Interview) else None
                interviews[role][form], untuned[form] = one, shared or ways.ask(answers, respondent, asked)
                print(form, flush=True)
        return cls(respondent, interviews, untuned, tokens)

    def start(self, seed: int) -> Float[np.ndarray, "tokens hidden"]:
        """Return where a descent starts: line breaks, with a tenth of a standard deviation of noise but for seed 0."""
        first = text_rows(self.respondent, BLANK, self.tokens)
        noise = gaussian_noise(self.respondent, self.tokens, 1, np.random.default_rng([seed, 2]))[0]
        return first + 0.1 * noise if seed else first

    def curve(
        self, target: Target, how: Descent, prices: Prices, space: Subspace, seed: int
    ) -> tuple[list[dict[str, Any]], Float[np.ndarray, "tokens hidden"]]:
        """Descend, one way of asking a step; give the distances on the way and the last prompt."""
        slopes, forms = [], list(self.interviews[Role.TRAIN])
        for form in np.random.default_rng([seed, 3]).permutation(forms) if seed else forms:
            interview = self.interviews[Role.TRAIN][form]
            untuned = self.untuned[form]
            priced = replace(
                _survey(interview, target),
                mass_penalty=prices.mass,
                response_style=prices.style,
                reference=untuned.logprobs,
                reference_mass=untuned.mass,
            )
            slopes.append(LossGradient(interview, priced))
        points = [{"step": 0, **self.without(target)}]
        prompt = space.first
        for step, place in descent(space.start, space.unit, [space.slope(one) for one in slopes], how):
            prompt = space.prompt(place)
            if step % how.every == 0 or step == how.steps:
                points.append({"step": step, **self.under(prompt, target)})
                print(target.code, step, points[-1], flush=True)
        return points, prompt

    def item_means(
        self, target: Target, prompt: Float[np.ndarray, "tokens hidden"]
    ) -> dict[str, Float[np.ndarray, "formats items"]]:
        """Tabulate expected answers without and with a prompt, in all trained ways and then all unseen ones."""
        surveys = {form: (_survey(one, target), one) for side in self.interviews.values() for form, one in side.items()}
        return {
            "untuned": np.concatenate([loss.means(self.untuned[f].logprobs) for f, (loss, _) in surveys.items()]),
            "tuned": np.concatenate([loss.means(one.ask(prompt).logprobs) for loss, one in surveys.values()]),
        }

    def without(self, target: Target) -> dict[str, dict[str, float]]:
        """Measure the untuned model by role."""
        return {
            role: self._mean(role, target, {form: self.untuned[form] for form in self.interviews[role]})
            for role in self.interviews
        }

    def under(self, prompt: Float[np.ndarray, "tokens hidden"], target: Target) -> dict[str, dict[str, float]]:
        """Measure a prompt by role."""
        return {
            role: self._mean(role, target, {form: one.ask(prompt) for form, one in by_form.items()})
            for role, by_form in self.interviews.items()
        }

    def _mean(self, role: str, target: Target, answered: Mapping[str, Response]) -> dict[str, float]:
        """Average over ways of asking: points left, points left by the shares of the shift alone, and answer mass."""
        left: list[list[float]] = []
        for form, response in answered.items():
            interview = self.interviews[role][form]
            survey = _survey(interview, target)
            before, after = survey.means(self.untuned[form].logprobs), survey.means(response.logprobs)
            style = by_scale(interview.questionnaire.instrument, after - before)
            ends = (after, before + style, after - style)
            scoring = survey.scoring
            left.append([float(scoring.distances(scoring.scores(end)).mean()) for end in ends])
        mass = float(np.mean([response.mass.mean() for response in answered.values()]))
        return dict(zip(("distance", "style", "within"), np.mean(left, axis=0).tolist(), strict=True)) | {"mass": mass}


@dataclass(frozen=True, eq=False)
class Subspace:
    """Move a prompt along some directions only, each of one embedding standard deviation a coordinate."""

    first: Float[np.ndarray, "tokens hidden"]
    unit: float
    directions: Float[np.ndarray, "dim tokens*hidden"] | None

    @classmethod
    def of(cls, respondent: Respondent, first: Float[np.ndarray, "tokens hidden"], named: str) -> Subspace:
        """Draw the directions: 0 for the whole space, a number of normal ones, or words:N for ordinary tokens."""
        if named == "0":
            return cls(first, respondent.unit, None)
        kind, _, count = named.rpartition(":")
        rng, dim, tokens = np.random.default_rng(0), int(count), len(first)
        if kind:
            drawn = vocabulary_rows(respondent, tokens, dim, rng)
            drawn = drawn - vocabulary_rows(respondent, tokens, 1000, rng).mean(axis=0)
        else:
            drawn = gaussian_noise(respondent, tokens, dim, rng)
        return cls(first, 1.0, drawn.reshape(dim, -1) / np.sqrt(dim))

    @property
    def start(self) -> Float[np.ndarray, "*shape"]:
        """Return the coordinates of the start."""
        return self.first if self.directions is None else np.zeros(len(self.directions), dtype=np.float32)

    def prompt(self, place: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "tokens hidden"]:
        """Return the prompt at some coordinates."""
        if self.directions is None:
            return place
        return (self.first + (place @ self.directions).reshape(self.first.shape)).astype(np.float32)

    def slope(self, of_prompt: LossGradient) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Return the loss with its gradient by the coordinates."""
        directions = self.directions
        if directions is None:
            return of_prompt

        def by_coordinate(place: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = of_prompt(self.prompt(place))
            return loss, (directions @ gradient.ravel()).astype(np.float32)

        return by_coordinate


def _survey(interview: ways.Interviews, target: Target) -> Loss:
    return survey_of(interview.questionnaire, target)


def table(folder: Path) -> str:
    """Tabulate what is left of the untuned distance in trained and in unseen ways, and the answer mass there."""
    lines = [
        "| model, answers, country, tokens, steps, rate | trained | unseen | style alone | within alone | mass |",
        "|---|---|---|---|---|---|",
    ]
    for file in sorted(folder.glob("*.json")):
        points = json.loads(file.read_text(encoding="utf-8"))
        first = points[0]
        sides = {
            role: ", ".join(f"{one[role]['distance'] / first[role]['distance']:.0%}" for one in points[1:])
            for role in SIDES
        }
        last, untuned = points[-1][Role.HELDOUT], first[Role.HELDOUT]["distance"]
        alone = " | ".join(f"{last[part] / untuned:.0%}" if part in last else "–" for part in ("style", "within"))
        lines.append(f"| {file.stem} | {sides[Role.TRAIN]} | {sides[Role.HELDOUT]} | {alone} | {last['mass']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
