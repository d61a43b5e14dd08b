"""Steering: from a finished DFGN run to a soft prompt for scores that nobody published.

A DFGN run leaves a linear model of the option log-probabilities around its prompt. They do not depend on what the
run was to reach, so the same model says which prompt to expect any other scores from, and how to move one dimension
without the others. Whether that is true is then measured, in float32, on formats trained on and held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.errors import RunDirectoryError, SettingError, setting
from acculturate.files.checksums import sha256_of
from acculturate.files.datafile import nearest
from acculturate.files.record import or_nan
from acculturate.files.run_directory import RunDirectory
from acculturate.files.tensor_file import write_tensors
from acculturate.judge.audit import Audit
from acculturate.judge.records import ModelIdentity, Result, Row, RowKind, View
from acculturate.judge.table import Judge
from acculturate.model.choice import ModelChoice
from acculturate.model.pool.parallel import check_parallel
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import FILE, SoftPrompt, read_prompt, write_prompt
from acculturate.runs.finished import RESULT, read_record
from acculturate.runs.provenance import made_with, named_files
from acculturate.runs.records import (
    Effects,
    EffectTable,
    MadeWith,
    RunKind,
    Steered,
    SteeredDimension,
    SteeredSearch,
    kind_of,
)
from acculturate.runs.resolve import prepare, space_with_origin
from acculturate.runs.skeleton import carry_out
from acculturate.runs.spec import RunSpec, make_spec
from acculturate.search.callbacks import SILENT, Callbacks
from acculturate.search.loop import Progress, Search, fitted_and_validated, unpack_search
from acculturate.search.methods import make_optimizer
from acculturate.search.objective import search_objective, validation_loss
from acculturate.search.optimizers.dfgn import DFGN
from acculturate.search.optimizers.dfgn_model import score_slopes, structured
from acculturate.search.optimizers.dfgn_state import DFGNState, corrected
from acculturate.search.problem import Problem, RoleInterviews
from acculturate.survey.formats import Role
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.targets import Target
from acculturate.version import VERSION

RECORD, DIRECTIONS = "steer.json", "directions.safetensors"

STEP = 5.0
"""Points that a step along a steering direction is predicted to give when its effects are measured."""
PROPOSALS = 8
"""Damping values, a factor of four apart, whose minimisers are the first proposals."""
FLOOR = 0.01
"""Share of the largest singular value below which a combination of dimensions counts as not steerable alone."""


@dataclass(frozen=True, eq=False)
class SteerableRun:
    """Hold what steering takes from the directory of a finished run.

    ``made_with``: spec.json. ``scores``: of the prompt on trained formats, in points.
    """

    spec: RunSpec
    made_with: MadeWith
    digest: str
    prompt: SoftPrompt
    state: DFGNState
    scores: Mapping[str, float]
    warning: str | None


@dataclass(frozen=True, eq=False)
class Directions:
    """Hold one move of the prompt per dimension, meant to give that dimension +1 point and the others none.

    ``vectors`` are in embedding units, to be added to the prompt. The effects are points per direction (row) on
    every dimension (column): ``predicted`` by the run's model, ``measured`` and ``heldout`` over a step of ``STEP``.
    """

    vectors: Float[np.ndarray, "dims tokens hidden"]
    predicted: Float[np.ndarray, "dims dims"]
    measured: Float[np.ndarray, "dims dims"]
    heldout: Float[np.ndarray, "dims dims"] | None


def read_run(path: Path) -> SteerableRun:
    """Read a finished DFGN run and leave it as it is; ``UserError`` when the directory holds none."""
    if not (path / "spec.json").is_file():
        raise SettingError(f"There is no run at '{path}'; give the directory of a finished acculturate align.")
    made = read_record(path / "spec.json", MadeWith)
    kind = kind_of(made)
    if kind is RunKind.STEER:
        raise SettingError(f"'{path}' holds a steered prompt; give the run of acculturate align that it came from.")
    if made.method != "dfgn":
        used = made.method or "another search"
        raise RunDirectoryError(
            f"The run at '{path}' was made with {used}; steering needs the model of a run with dfgn."
        )
    if kind is RunKind.MULTITASK:
        raise RunDirectoryError(
            f"'{path}' holds a run for several countries; steering takes runs of acculturate align."
        )
    if not (path / RESULT).is_file():
        raise RunDirectoryError(
            f"The run at '{path}' is not finished; give its acculturate align command again to finish it."
        )
    spec = make_spec(made.settings, f"'{path / 'spec.json'}'")
    stored = RunDirectory(path).newest()
    if stored is None:
        raise RunDirectoryError(
            f"The run at '{path}' has no readable checkpoint; steering needs the search state in it."
        )
    state, _ = unpack_search(DFGNState, *stored)
    if not len(state.directions):
        raise RunDirectoryError(
            f"The run at '{path}' ended before it probed a direction; make one with a larger {setting('budget')} "
            f"(its first {spec.population} evaluations are the starting prompts, and then it may compare some of them)."
        )
    result = read_record(path / RESULT, Result)
    measured = result.tuned.train.scores
    scores = {name: score for name, score in measured.items() if score is not None}
    if len(scores) < len(measured):
        raise RunDirectoryError(
            f"The prompt of the run at '{path}' left questions without an answer; steering needs all scores."
        )
    warning = None if result.audit is None else result.audit.warning
    return SteerableRun(spec, made, sha256_of(path / RESULT), read_prompt(path), state, scores, warning)


def steering_problem(run: SteerableRun, wanted: Mapping[str, float], free: bool) -> Problem:
    """Set the run's problem with other scores to reach: those named, and the run's own on the rest.

    ``free``: the rest may go anywhere. ``wanted``: dimension id (in any case) to points. Raises ``UserError`` for a
    dimension that the instrument lacks and for a score that no answers give.
    """
    if not wanted:
        example = setting("scores", {"PDI": 80})
        raise SettingError(f"There are no scores to steer to; name at least one, like {example}.")
    named = _named(run, wanted)
    kept = dict.fromkeys(run.scores) if free else run.scores
    target = Target("the wanted scores", "steered", "steering", {**kept, **named}, "named by the user")
    # What the run was started from is not asked for again: it may be gone.
    problem = prepare(run.spec.model_copy(update={"warm_start": None}), target).problem
    for ident, low, high in zip(problem.instrument.dimension_ids, *_attainable(problem), strict=True):
        if ident in named and not low <= named[ident] <= high:
            raise SettingError(
                f"No answers give {ident.upper()} = {named[ident]:g}; name a score from {low:g} to {high:g} points."
            )
    return problem


def _named(run: SteerableRun, wanted: Mapping[str, float]) -> dict[str, float]:
    """Return the wanted scores by the instrument's own dimension ids."""
    ids = {ident.casefold(): ident for ident in run.scores}
    for name in wanted:
        if name.casefold() not in ids:
            raise SettingError(
                f"Instrument '{run.spec.instrument}' has no dimension '{name}'{nearest(name.casefold(), ids)}; "
                f"name one of {', '.join(ids.values())}."
            )
    return {ids[name.casefold()]: float(value) for name, value in wanted.items()}


def _attainable(problem: Problem) -> tuple[Float[np.ndarray, " dims"], Float[np.ndarray, " dims"]]:
    """Compute the lowest and highest score of every dimension that answers can give, in points."""
    survey, there = problem.survey(problem.everything), problem.instrument.option_mask()
    least = np.where(there, survey.values, np.inf).min(axis=1)
    most = np.where(there, survey.values, -np.inf).max(axis=1)
    up, down = np.maximum(survey.weights, 0), np.minimum(survey.weights, 0)
    return up @ least + down @ most + survey.constants, up @ most + down @ least + survey.constants


def steering_moves(
    survey: Loss, state: DFGNState
) -> tuple[Float[np.ndarray, "dims m"], Float[np.ndarray, "dims dims"]]:
    """Compute the shortest move that gives each dimension +1 point and the others none, and the predicted effects.

    Moves are in units of the model's directions. Scores are linearised at its center and averaged over views. With
    the gradient of the scores in the span of the directions, the moves are its pseudo-inverse; singular values below
    ``FLOOR`` of the largest are damped, so that dimensions which only move together get a move that is too short
    rather than one beyond all measure.
    """
    effect = score_slopes(survey, state.center_answers[..., :-1], state.slopes[..., :-1]).mean(axis=0)
    # The directions are not orthogonal, and there may be more of them than coordinates.
    dual = state.directions.T @ np.linalg.pinv(state.directions @ state.directions.T, rcond=1e-10, hermitian=True)
    left, size, right = np.linalg.svd(effect @ dual.T, full_matrices=False)
    inverse = size / np.maximum(size, max(FLOOR * size[0], 1e-12)) ** 2
    moves = (left * inverse) @ right @ dual
    return moves, moves @ effect.T


class Steering:
    """Hold a run's model with its language model in memory: all that is measured while steering, in float32."""

    def __init__(self, run: SteerableRun, problem: Problem, respondent: Respondent) -> None:
        self.run, self.problem = run, problem
        self.judge = Judge(problem.everything, problem.survey(problem.everything), problem.roles)
        self.ask = RoleInterviews(problem, respondent)
        self.evaluate = search_objective(problem, respondent, Role.TRAIN, self.ask)
        self.survey = self.evaluate.survey
        self.validate = validation_loss(problem, respondent, self.ask)
        self.space = space_with_origin(respondent, run.spec, run.prompt.vectors)

    @cached_property
    def own(self) -> Evaluation:
        """The run's prompt, on the trained formats and with what is wanted now."""
        found = self.evaluate(self.run.prompt.vectors[None])[0]
        if not np.isfinite(found.loss):
            raise SettingError("The run's prompt gives no numbers in float32, so nothing can be steered from it.")
        return found

    @property
    def state(self) -> DFGNState:
        """The run's model, centred on its prompt, whose answers are measured anew."""
        told, here = self.run.state, np.zeros(self.space.dim)
        seen = self.own
        answers = structured(seen.response)
        return replace(
            told, start=here[None], x=here, loss=seen.loss, answers=answers,
            center=here, center_loss=seen.loss, center_answers=answers,
        )  # fmt: skip

    def refined(self, state: DFGNState) -> DFGNState:
        """Correct the model with what its steering directions really do.

        Its older slopes were measured around other centers; one evaluation a dimension sets right what matters most.
        """
        moves = STEP * steering_moves(self.survey, state)[0]
        seen = self.evaluate(self.space.decode(moves @ state.directions).astype(np.float32))
        answered = [i for i, one in enumerate(seen) if np.isfinite(one.loss)]
        return corrected(state, moves[answered], [seen[i] for i in answered]) if answered else state

    def directions(self, state: DFGNState, step: float = STEP) -> Directions:
        """Measure what the steering directions do over ``step`` points, on all formats."""
        moves, predicted = steering_moves(self.survey, state)
        prompt = self.run.prompt.vectors
        vectors = (self.space.decode(moves @ state.directions) - prompt).astype(np.float32)
        before, *after = self.ask(np.concatenate([prompt[None], prompt + np.float32(step) * vectors]))
        scores = np.stack([self.judge.survey.scores(seen.logprobs) for seen in (before, *after)])
        effects = {
            role: (scores[1:, those] - scores[0, those]).mean(axis=1) / step
            for role in (Role.TRAIN, Role.HELDOUT)
            if (those := [v for v, r in enumerate(self.problem.roles) if r is role])
        }
        return Directions(vectors, predicted, effects[Role.TRAIN], effects.get(Role.HELDOUT))

    def search(
        self, state: DFGNState, budget: int, directory: RunDirectory, callbacks: Callbacks
    ) -> tuple[SoftPrompt, Progress]:
        """Propose prompts for several dampings, go on with DFGN for ``budget`` candidates, and return the winner.

        Goes on from the directory's checkpoint where there is one.
        """
        spec = self.run.spec
        start = state.loss
        if self.validate is not None:
            start = fitted_and_validated(self.own, self.validate(self.run.prompt.vectors[None]))
        progress = Progress(spec.seed, 0, 0, state.x, state.loss, state.x, start, 0)
        options = spec.optimizer_options
        dfgn = make_optimizer("dfgn", options, survey=self.survey, budget=budget)
        assert isinstance(dfgn, DFGN)
        proposing = replace(dfgn, trials=PROPOSALS)
        state = proposing.solve(state)
        for optimizer, limit in ((proposing, PROPOSALS), (dfgn, PROPOSALS + budget)):
            search = Search(self.evaluate, self.space, optimizer, limit, self.validate)
            state, progress = search.go_on(state, progress, directory, callbacks)
        vectors = self.space.decode(progress.winner_x[None])[0].astype(np.float32)
        return SoftPrompt(vectors, spec.slot, self.run.prompt.identity), progress


def steer(
    run: Path,
    wanted: Mapping[str, float],
    out: Path,
    *,
    free: bool = False,
    budget: int = 100,
    parallel: str = "none",
    callbacks: Callbacks = SILENT,
    lent: Respondent | None = None,
) -> Steered:
    """Propose a soft prompt for the ``wanted`` scores (dimension to points).

    ``free``: let the dimensions that are not named go anywhere instead of keeping them where the run's prompt has
    them. ``budget``: candidate evaluations beyond the first proposals. ``parallel``: who makes
    them (``RunSpec.parallel``). ``out`` gets the prompt, the steering
    directions, the record, and the journal and checkpoints of its search: the same call goes on with an interrupted
    steering and returns a finished one as it is. The run's directory is only read. Raises ``UserError`` for every
    mistake in the run, the scores or the directory.
    """
    if budget < 0:
        raise SettingError(f"The budget is {budget}; expected 0 or more candidate evaluations.")
    return carry_out(Steer(run, wanted, free=free, budget=budget, parallel=parallel), out, callbacks, lent)


@dataclass(frozen=True, eq=False)
class Found:
    """Hold the steered prompt, how far its search came, and what was measured on the way."""

    steering: Steering
    directions: Directions
    prompt: SoftPrompt
    progress: Progress


class Steer:
    """Describe a run from a finished one to other scores: a prompt without another search from the start."""

    name, record, shape, beside = RunKind.STEER, RECORD, Steered, (FILE, DIRECTIONS)
    instrument = None  # the run that is steered from was audited

    def __init__(
        self, path: Path, wanted: Mapping[str, float], *, free: bool, budget: int, parallel: str = "none"
    ) -> None:
        check_parallel(parallel)
        self._path, self._run = path, read_run(path)
        self._problem = steering_problem(self._run, wanted, free)
        self._wanted, self._free, self._budget = _named(self._run, wanted), free, budget
        self.parallel = parallel

    @property
    def answers(self) -> str:
        return self._run.spec.answers

    @property
    def choice(self) -> ModelChoice:
        choice = self._run.spec.choice
        return choice if choice.quantize != "none" else replace(choice, dtype="float32")

    def settings(self) -> dict[str, Any]:
        return {
            "steered_from": self._run.digest,
            "set": self._wanted,
            "free": self._free,
            "budget": self._budget,
        }

    def made_with(self, respondent: Respondent) -> dict[str, Any]:
        return made_with(self._run.spec, respondent)

    def lay_out(self, respondent: Respondent) -> _Laid:
        _check_same(self._run, respondent, self._path)
        return _Laid(Steering(self._run, self._problem, respondent), self._budget)

    def measure(
        self, found: Found, respondent: Respondent, audit: Audit | None, directory: RunDirectory, callbacks: Callbacks
    ) -> Steered:
        record = self._record(found)
        directory.check_held()
        write_prompt(directory.path / FILE, found.prompt)
        _write_directions(directory.path / DIRECTIONS, found.directions, found.steering)
        return record

    def _record(self, found: Found) -> Steered:
        """Put the run's prompt and the steered one to all formats and say what was reached."""
        problem, run, judge = self._problem, self._run, found.steering.judge
        vectors, progress = found.prompt.vectors, found.progress
        answers = found.steering.ask(np.stack([run.prompt.vectors, vectors]))
        before = judge.row("run", "Run's prompt", RowKind.TUNED, answers[0])
        after = judge.row("steered", "Steered prompt", RowKind.TUNED, answers[1])
        moved = not np.array_equal(vectors, run.prompt.vectors)
        views = zip(problem.everything.view_names, problem.roles, strict=True)
        return Steered(
            steered_from=run.digest,
            wanted=self._wanted,
            free=self._free,
            budget=self._budget,
            schema=1,
            acculturate=VERSION,
            model=ModelIdentity(run.prompt.identity),
            dimensions=tuple(_dimension(ident, problem, before, after) for ident in problem.instrument.dimension_ids),
            sentences=tuple(_sentences(before, after, moved, run.warning)),
            effects=_effects(problem, found.directions),
            search=SteeredSearch(
                evaluations=progress.evaluations,
                best=progress.best_loss,
                winner=progress.winner_judged,
                winner_at=progress.winner_at,
            ),
            views=tuple(View(name=name, role=role) for name, role in views),
            rows=(before, after),
        )


class _Laid:
    """Hold a steering that is ready to begin.

    It is in float32 from the start, so it may keep its model for the measurement.
    """

    def __init__(self, steering: Steering, budget: int) -> None:
        self._steering, self._budget = steering, budget

    def search(self, directory: RunDirectory, callbacks: Callbacks) -> Found:
        callbacks.stage("measuring the steering directions")
        state = self._steering.refined(self._steering.state)
        directions = self._steering.directions(state)
        callbacks.stage("searching")
        prompt, progress = self._steering.search(state, self._budget, directory, callbacks)
        return Found(self._steering, directions, prompt, progress)


def _check_same(run: SteerableRun, respondent: Respondent, path: Path) -> None:
    """Refuse another model or questionnaire than the run's: its directions would mean nothing there."""
    files, now = run.made_with.files, named_files(run.spec)
    for key in ("instrument", "wording"):
        if files.get(key) != now.get(key):
            raise RunDirectoryError(
                f"The {key} file of the run at '{path}' has changed since; restore it, or make a new run."
            )
    if run.made_with.model_identity != respondent.identity:
        raise RunDirectoryError(f"The model of the run at '{path}' has changed since; restore it, or make a new run.")


def _effects(problem: Problem, directions: Directions) -> Effects:
    def table(effects: Float[np.ndarray, "dims dims"]) -> EffectTable:
        return tuple(map(tuple, effects.tolist()))

    return Effects(
        step=STEP,
        dimensions=problem.instrument.dimension_ids,
        predicted=table(directions.predicted),
        measured=table(directions.measured),
        heldout=None if directions.heldout is None else table(directions.heldout),
    )


def _dimension(ident: str, problem: Problem, run: Row, steered: Row) -> SteeredDimension:
    """Say what was wanted of a dimension, what the run's prompt scores, and what the steered one reaches and misses."""
    wanted = problem.target.scores[ident]
    trained = steered.train.scores[ident]
    heldout = None if steered.heldout is None else steered.heldout.scores[ident]

    def miss(reached: float | None) -> float | None:
        return None if reached is None or wanted is None else reached - wanted

    return SteeredDimension(
        id=ident,
        wanted=wanted,
        run=run.train.scores[ident],
        trained=trained,
        trained_miss=miss(trained),
        heldout=heldout,
        heldout_miss=miss(heldout),
    )


def _sentences(run: Row, steered: Row, moved: bool, warning: str | None) -> list[str]:
    """Say what the steered prompt is worth, in plain words; first the one that counts."""
    trained, before = or_nan(steered.train.mae), or_nan(run.train.mae)
    where = "points per dimension from the wanted scores on the formats it was trained on"
    if not moved:
        text = f"No candidate came nearer than the run's own prompt, which stays {trained:.1f} {where}."
    elif steered.heldout is None or run.heldout is None:
        text = f"The prompt is {trained:.1f} {where} (the run's prompt {before:.1f}); no format was held out."
    else:
        held, held_before = or_nan(steered.heldout.mae), or_nan(run.heldout.mae)
        how = "comes nearer too" if held < held_before else "comes no nearer"
        text = (
            f"The prompt is {trained:.1f} {where} (the run's prompt {before:.1f}); on formats it never saw it {how}: "
            f"{held:.1f} ({held_before:.1f})."
        )
    return [text, *([warning] if warning else [])]


def _write_directions(path: Path, directions: Directions, steering: Steering) -> None:
    """Write directions.safetensors: the moves in embedding units and their effects, in points per direction."""
    about = {
        "format": 1,
        "dimensions": list(steering.problem.instrument.dimension_ids),
        "slot": steering.run.prompt.slot,
        "step": STEP,
        "model": steering.run.prompt.identity,
    }
    tensors = {"directions": directions.vectors, "predicted": directions.predicted, "measured": directions.measured}
    whole = {name: np.asarray(values, dtype=np.float32) for name, values in tensors.items()}
    write_tensors(path, "acculturate", whole, about)
