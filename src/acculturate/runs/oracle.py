"""How far from the optimum did a search stop? Gradient descent on the same loss, for comparison only.

A search sees the model as a black box; the oracle sees its gradient. It begins where the search began, minimises the
same loss on the same formats, and is judged on the same held-out ones. Its prompt is not kept: where gradients can be
had and are wanted, prompt tuning is another tool's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from acculturate.errors import RunDirectoryError, SettingError
from acculturate.judge.gradient import LossGradient
from acculturate.judge.records import Result, Row
from acculturate.legible import shown
from acculturate.model.respondent import Respondent
from acculturate.runs.finished import RESULT, read_record
from acculturate.runs.provenance import named_files
from acculturate.runs.records import MadeWith, RunKind, kind_of
from acculturate.runs.resolve import Prepared, prepare
from acculturate.runs.spec import TEXT, make_spec
from acculturate.search.objective import Objective, search_objective
from acculturate.search.starts import starting_prompts
from acculturate.survey.formats import Role

Slope = Callable[[Float[np.ndarray, "*shape"]], tuple[float, Float[np.ndarray, "*shape"]]]
"""Compute a loss and its gradient, as ``LossGradient`` does for a soft prompt."""


@dataclass(frozen=True)
class Descent:
    """Hold the settings of the gradient descent: Adam (Kingma & Ba 2015) whose rate falls linearly to a fifth.

    ``steps``: gradients computed, one forward and one backward pass each. ``rate``: first step of every coordinate,
    in embedding standard deviations. ``every``: steps between two looks at the held-out formats.
    """

    steps: int = 60
    rate: float = 0.3
    every: int = 10

    def __post_init__(self) -> None:
        if not (1 <= self.steps <= 100_000 and self.every >= 1):
            raise SettingError(
                f"The oracle's steps are {shown(self.steps)}; expected a whole number from 1 to 100,000."
            )
        if not 0 < self.rate <= 1000:
            raise SettingError(f"The oracle's rate is {shown(self.rate)}; expected a number above 0 and up to 1,000.")


@dataclass(frozen=True)
class Point:
    """Hold the losses after ``step`` steps of descent, in points, float32; None where no format was held out."""

    step: int
    train: float
    heldout: float | None


@dataclass(frozen=True)
class OracleRecord:
    """Hold the descent beside the run's own figures: survey losses in points, measured in float32."""

    run: str
    optimizer: str
    evaluations: int
    untuned: tuple[float, float | None]
    tuned: tuple[float, float | None]
    curve: tuple[Point, ...]

    @property
    def lowest(self) -> Point:
        """Where the training loss was lowest: chosen without the held-out formats, as a search has to."""
        return min(self.curve, key=lambda point: point.train)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"lowest": asdict(self.lowest)}


def compare_with_oracle(run: Path, descent: Descent, watch: Callable[[str], None] = lambda _line: None) -> OracleRecord:
    """Descend from the start of a finished run; raises ``UserError`` where there is none. Writes nothing."""
    if not (run / RESULT).is_file():
        raise SettingError(f"There is no finished run in '{run}'; give the directory of one (acculturate align).")
    result = read_record(run / RESULT, Result)
    untuned, tuned = _losses(result.untuned), _losses(result.tuned)
    if kind_of(result) is RunKind.COUNTRY:
        raise SettingError(
            "This prompt was found in a run for several countries; the oracle follows runs of align only."
        )
    spec = make_spec(result.spec, f"'{run / RESULT}'")
    if spec.quantize != "none":
        raise SettingError("This run's model is quantised and has no gradients to go by; the oracle cannot be asked.")
    if spec.space == TEXT:
        raise SettingError("This run searched texts, of which there is no gradient; the oracle cannot be asked.")
    if spec.heldout_items:
        raise SettingError("This run held items out of its search; the oracle would see them, so it cannot be asked.")
    made_with = read_record(run / "spec.json", MadeWith)
    prepared = prepare(spec)
    watch("loading the model")
    respondent = Respondent(replace(spec.choice, dtype="float32"))
    if respondent.identity != result.model.root or named_files(spec) != made_with.files:
        raise RunDirectoryError(
            f"The model or a file of the run in '{run}' has changed since; restore it, or make a new run."
        )
    curve = _descend(prepared, respondent, descent, watch)
    search = result.search
    return OracleRecord(str(run), search.optimizer, search.evaluations, untuned, tuned, tuple(curve))


def _losses(row: Row) -> tuple[float, float | None]:
    """Return a row's survey losses on the trained and, where there are any, on the held-out formats."""
    train, heldout = row.train.loss, None if row.heldout is None else row.heldout.loss
    if train is None or (row.heldout is not None and heldout is None):
        raise SettingError(
            f"The run has no loss in the row '{row.label}', because answers were missing; "
            "there is nothing to set the oracle beside."
        )
    return train, heldout


def _descend(prepared: Prepared, respondent: Respondent, how: Descent, watch: Callable[[str], None]) -> list[Point]:
    problem = prepared.problem
    held = problem.heldout
    search = search_objective(problem, respondent, Role.TRAIN)
    slope = LossGradient(search.interview, search.survey)
    judges = [Objective(search.interview, problem.survey(problem.train))]
    if held is not None:
        judges.append(Objective(problem.interview(respondent, held), problem.survey(held)))
    watch("choosing the search's own start")
    population = starting_prompts(respondent, prepared.start, problem.target)
    first = population[int(np.argmin([one.loss for one in judges[0](population)]))]
    curve = []
    for step, prompt in descent(first, respondent.unit, [slope], how):
        if step % how.every == 0 or step == how.steps:
            losses = [judge(prompt[None])[0].loss for judge in judges]
            curve.append(Point(step, losses[0], losses[1] if held is not None else None))
            watch(f"step {step} of {how.steps}: {losses[0]:.1f} points on the trained formats")
    return curve


def descent(
    first: Float[np.ndarray, "*shape"], unit: float, slopes: Sequence[Slope], how: Descent
) -> Iterator[tuple[int, Float[np.ndarray, "*shape"]]]:
    """Yield the number of steps taken and the prompt after them, from 0 to ``how.steps``, by ``slopes`` in turns.

    ``unit``: one embedding standard deviation, the unit of ``how.rate``.
    """
    x = torch.tensor(first / unit, requires_grad=True)
    adam = torch.optim.Adam([x], lr=how.rate)
    for step in range(how.steps + 1):
        prompt = (x.detach().numpy() * unit).astype(np.float32)
        yield step, prompt
        if step < how.steps:
            adam.param_groups[0]["lr"] = how.rate * (1 - 0.8 * step / how.steps)
            x.grad = torch.as_tensor(slopes[step % len(slopes)](prompt)[1] * unit)
            adam.step()
