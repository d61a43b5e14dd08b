"""How much of what a soft prompt does in some wordings does it do in others? Derivatives of the answers, compared.

At a few prompts the script takes the derivatives of all expected answers by the virtual tokens, in eight wordings and
in four others. It prints three things a model.

- *common*: the share of the squared derivatives that is common to all trained ways of asking. Unrelated derivatives
  have one over their number.
- *cosine*: how the derivatives of the scores in an unseen wording point along the common ones, mean over ways.
- *left*: what the best regularised step leaves of the untuned distance in unseen wordings, by these derivatives. It
  is fitted on trained ways alone; its damping is the best in hindsight, so no search without a look at the unseen
  wordings can be expected to do better. *consistent*: with items held to move alike in all trained ways. *poles*: only
  along directions that imitate, in trained ways, what texts for the poles of the dimensions do to every item
  (`--pole-ways N` measures them in the first N trained ways).

Derivatives are kept in files, so the script goes on where it was stopped.

    python benchmarks/carrying.py --out results/carrying --answers cloze embedded
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from countries import COUNTRIES
from jaxtyping import Float

from acculturate.judge.gradient import answer_slopes
from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.search.culture import POLES
from acculturate.search.starts import BLANK, text_rows, vocabulary_rows
from acculturate.survey.formats import Role, parse_format
from acculturate.survey.instrument import Instrument
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.protocols import protocol_formats
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.scoring import Scoring
from acculturate.survey.targets import find_target

POINTS = ("blank:1", "blank:2", "vocabulary:0")
DAMPINGS = np.geomspace(1e-3, 30, 9)
AGREEMENTS = (0.0, 0.3, 1.0)
POLES_OF = "poles"
IMITATED = 0.1
"""Damping of the directions that imitate texts, as a share of the mean squared derivative of an answer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("results/carrying"))
    parser.add_argument("--answers", default="probabilities")
    parser.add_argument("--slot", default="response_start")
    parser.add_argument("--tokens", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--pole-ways", type=int, default=0)
    parser.add_argument("--points", default=",".join(POINTS), help="kind:offset in embedding standard deviations")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.models:
        respondent = Respondent(ModelChoice(name, dtype=given.dtype))
        prompts = {point: _prompt(respondent, point, given.tokens, given.seed) for point in given.points.split(",")}
        folder = given.out / f"{Path(name).stem}-{given.answers}-{given.slot}-{given.tokens}-{given.seed}"
        for role in (Role.TRAIN, Role.HELDOUT):
            for form in protocol_formats("crossed", role, in_words=given.answers.startswith("cloze")):
                file = _file(folder, role, form)
                if not file.exists():
                    _save(file, _measured(respondent, form, prompts, given.answers, given.slot))
        trained = protocol_formats("crossed", Role.TRAIN, in_words=given.answers.startswith("cloze"))
        for form in trained[: given.pole_ways]:
            file = _file(folder, POLES_OF, form)
            if not file.exists():
                _save(file, {"shifts": _pole_shifts(respondent, form, given.answers)})
    print(table(given.out))


def _file(folder: Path, role: str, form: str) -> Path:
    return folder / role / (form.replace("/", "_") + ".npz")


def _save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Save arrays so that a file is whole or not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with partial.open("wb") as open_file:
        np.savez(open_file, **arrays)  # type: ignore[arg-type]
    partial.rename(file)
    print(file.name, flush=True)


def _pole_shifts(respondent: Respondent, form: str, answers: str) -> Float[np.ndarray, "poles items"]:
    """Measure how far a text for each pole of each dimension moves every expected answer in one presentation."""
    instrument = load_instrument("vsm2013")
    asked = questionnaire(instrument, [parse_format(form)])

    def means(system: str | None) -> Float[np.ndarray, " items"]:
        answered = ways.ask(answers, respondent, asked, Context(system=system))
        return (np.exp(answered.logprobs) * instrument.values()).sum(axis=-1).mean(axis=0)

    untuned = means(None)
    poles = [" ".join(pole) for dimension in instrument.dimension_ids for pole in POLES[dimension]]
    return np.stack([means(text) - untuned for text in poles])


def _prompt(respondent: Respondent, point: str, tokens: int, seed: int) -> Float[np.ndarray, "tokens hidden"]:
    kind, offset = point.split(":")
    rng = np.random.default_rng(seed)
    rows = text_rows(respondent, BLANK, tokens) if kind == "blank" else vocabulary_rows(respondent, tokens, 1, rng)[0]
    noise = rng.standard_normal(rows.shape)
    return (rows + respondent.unit * float(offset) * noise).astype(np.float32)


def _measured(
    respondent: Respondent, form: str, prompts: dict[str, np.ndarray], answers: str, slot: str
) -> dict[str, np.ndarray]:
    """Measure one presentation, in both orders where it has labels: untuned answers, answers and slopes by prompt."""
    asked = questionnaire(load_instrument("vsm2013"), [parse_format(form)])
    tokens = len(next(iter(prompts.values())))
    interview = ways.interview(answers, respondent, asked, slot=slot, n_tokens=tokens, lazily=True)
    assert isinstance(interview, Interview)
    untuned = interview.ask_untuned() or ways.ask(answers, respondent, asked)
    arrays = {"untuned": (np.exp(untuned.logprobs) * asked.instrument.values()).sum(axis=-1).mean(axis=0)}
    for point, prompt in prompts.items():
        found = answer_slopes(interview, prompt)
        arrays[f"{point} means"] = found.means.mean(axis=0)
        slopes = found.slopes.mean(axis=0) * respondent.unit
        arrays[f"{point} slopes"] = slopes.reshape(len(slopes), -1).astype(np.float32)
        arrays[f"{point} mass"] = np.array(found.mass)
    return arrays


@dataclass(frozen=True, eq=False)
class Slopes:
    """Hold expected answers and their derivatives in several ways of asking."""

    untuned: Float[np.ndarray, "ways items"]
    means: Float[np.ndarray, "ways items"]
    slopes: Float[np.ndarray, "ways items dim"]

    def along(self, directions: Float[np.ndarray, "dim some"]) -> Slopes:
        """Return the derivatives by coordinates in the span of some directions."""
        return replace(self, slopes=self.slopes @ directions)


def table(folder: Path) -> str:
    """Tabulate what was measured."""
    instrument = load_instrument("vsm2013")
    heads = " | ".join(f"{country}: left, consistent, poles" for country in COUNTRIES)
    lines = [f"| model, answers, slot | prompt | common, items | common, scores | cosine | {heads} |"]
    lines.append("|---|---|---|---|---|" + "---|" * len(COUNTRIES))
    for one in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = {role: sorted((one / role).glob("*.npz")) for role in (Role.TRAIN, Role.HELDOUT)}
        if not all(files.values()):
            continue
        points = [key.removesuffix(" means") for key in np.load(files[Role.TRAIN][0]) if key.endswith(" means")]
        for point in points:
            train, unseen = (_read(files[role], point) for role in (Role.TRAIN, Role.HELDOUT))
            spanned = _imitating(one, point)
            lines.append(f"| {one.name} | {point} | " + " | ".join(_cells(instrument, train, unseen, spanned)) + " |")
    return "\n".join(lines)


def _read(files: list[Path], point: str) -> Slopes:
    loaded = [np.load(file) for file in files]
    keys = ("untuned", f"{point} means", f"{point} slopes")
    return Slopes(*(np.stack([one[key].astype(np.float64) for one in loaded]) for key in keys))


def _imitating(folder: Path, point: str) -> Float[np.ndarray, "dim poles"] | None:
    """Find the directions that imitate the texts for the poles, by damped least squares; None where not measured."""
    files = sorted((folder / POLES_OF).glob("*.npz"))
    if not files:
        return None
    shifts = np.concatenate([np.load(file)["shifts"] for file in files], axis=1)
    slopes = _read([folder / Role.TRAIN / file.name for file in files], point).slopes
    jacobian = slopes.reshape(-1, slopes.shape[-1])
    kernel = jacobian @ jacobian.T
    damped = kernel + IMITATED * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
    directions = jacobian.T @ np.linalg.solve(damped, shifts.T)
    return directions / np.linalg.norm(directions, axis=0)


def _cells(
    instrument: Instrument, train: Slopes, unseen: Slopes, spanned: Float[np.ndarray, "dim poles"] | None
) -> list[str]:
    weights = instrument.weights()
    scores, there = (np.einsum("di,wix->wdx", weights, one.slopes) for one in (train, unseen))
    common = scores.mean(axis=0)
    cosines = [float((one * common).sum() / np.sqrt((one**2).sum() * (common**2).sum())) for one in there]
    cells = [f"{_common(train.slopes):.2f}", f"{_common(scores):.2f}", f"{np.mean(cosines):+.2f}"]
    for country, target_set in COUNTRIES.items():
        target = find_target(country, target_set, instrument.dimension_ids).vector(instrument.dimension_ids)
        scoring = Scoring(weights, instrument.constants(50.0), target)
        left = [_left(scoring, train, unseen, agreement) for agreement in AGREEMENTS]
        cells.append(f"{left[0]:.0%}, {min(left[1:]):.0%}")
        if spanned is not None:
            cells[-1] += f", {_left(scoring, train.along(spanned), unseen.along(spanned), 0.0):.0%}"
    return cells


def _common(slopes: Float[np.ndarray, "ways _ dim"]) -> float:
    return float((slopes.mean(axis=0) ** 2).sum() / (slopes**2).mean(axis=0).sum())


def _left(scoring: Scoring, train: Slopes, unseen: Slopes, agreement: float) -> float:
    """Compute the least share of the untuned distance that a step fitted on trained ways leaves in unseen ones."""

    def distance(means: Float[np.ndarray, "ways items"]) -> float:
        return float(scoring.distances(scoring.scores(means)).mean())

    steps = (_step(scoring, train, agreement, damping) for damping in DAMPINGS)
    return min(distance(unseen.means + unseen.slopes @ step) for step in steps) / distance(unseen.untuned)


def _step(scoring: Scoring, train: Slopes, agreement: float, damping: float) -> Float[np.ndarray, " dim"]:
    """Minimise the mean L1 distance, with what items move apart and the damped square of the step, by reweighting."""
    count, weights = len(train.means), scoring.weights
    rows = [np.einsum("di,wix->wdx", weights, train.slopes).reshape(-1, train.slopes.shape[-1]) / count]
    residuals = [(scoring.scores(train.means) - scoring.target).ravel() / count]
    if agreement:
        points = agreement * np.abs(weights).sum(axis=0) / count
        moved = train.means - train.untuned
        rows.append(((train.slopes - train.slopes.mean(axis=0)) * points[:, None]).reshape(-1, rows[0].shape[1]))
        residuals.append(((moved - moved.mean(axis=0)) * points).ravel())
    jacobian, start = np.concatenate(rows), np.concatenate(residuals)
    kernel, left = jacobian @ jacobian.T, start.copy()
    dual = np.zeros_like(start)
    for _ in range(40):
        floor = np.maximum(np.abs(left), 0.3 / count)
        dual = np.linalg.solve(kernel + 2 * damping * np.diag(floor), start)
        left = start - kernel @ dual
    return -(jacobian.T @ dual)


if __name__ == "__main__":
    main()
