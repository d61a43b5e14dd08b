"""The search loop: ask, decode, evaluate, tell, record; resumable after any generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError, setting
from acculturate.files.run_directory import RunDirectory
from acculturate.search.callbacks import SILENT, Callbacks
from acculturate.search.fresh import FreshFormats
from acculturate.search.history import Generation
from acculturate.search.optimizers.protocol import Optimizer
from acculturate.search.optimizers.state import pack, unpack
from acculturate.search.spaces import Space
from acculturate.survey.loss import Evaluation

S = TypeVar("S")


@runtime_checkable
class Evaluator(Protocol):
    """Evaluate soft prompts; row order is part of the contract."""

    def __call__(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> list[Evaluation]:
        """Return one evaluation for every prompt."""
        ...


SHORTLIST = 12
"""Successive best candidates that a search remembers: the first and the latest."""


@dataclass(frozen=True, eq=False)
class Progress:
    """Hold how far a search is. ``best``: lowest training loss. ``winner``: the prompt that a run delivers.

    Where there is a validation loss, ``winner_judged`` is ``fitted_and_validated``; else the winner is the best.
    ``shortlist``: the first best candidate and the latest, each with what it was judged and the number of evaluations
    after which it was there (``search.shortlist``).
    """

    seed: int
    generation: int
    evaluations: int
    best_x: Float[np.ndarray, " dim"]
    best_loss: float
    winner_x: Float[np.ndarray, " dim"]
    winner_judged: float
    winner_at: int
    shortlist_x: Float[np.ndarray, "n _"] = field(default_factory=lambda: np.zeros((0, 0)))
    shortlist_judged: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))
    shortlist_at: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def before(cls, start: Float[np.ndarray, "pop dim"], seed: int) -> Progress:
        """Return the progress of a search that has evaluated nothing yet."""
        return cls(seed, 0, 0, start[0], np.inf, start[0], np.inf, 0)


@dataclass(frozen=True)
class Search:
    """Search for a soft prompt: ask the optimizer, decode, evaluate and tell, until the budget is spent.

    ``fresh``: the formats of each generation, where these differ; ``evaluate`` then asks in all of them.
    ``validate`` gives the loss that counts for half when the winner is chosen among the successive best candidates
    (None: the training loss alone decides); it sees formats that are neither trained on nor reported as held out.
    """

    evaluate: Evaluator
    space: Space
    optimizer: Optimizer[Any]
    budget: int
    validate: Callable[[Float[np.ndarray, "1 tokens hidden"]], float] | None = None
    fresh: FreshFormats | None = None

    def run(
        self,
        start: Float[np.ndarray, "pop dim"],
        seed: int,
        directory: RunDirectory,
        callbacks: Callbacks = SILENT,
    ) -> Progress:
        """Search until the budget is spent; goes on from the directory's checkpoint where there is one.

        Raises ``UserError`` where no candidate had a loss, or no best one a validation loss: there is no winner then.
        """
        _, progress = self.go_on(self.optimizer.init(start, seed), Progress.before(start, seed), directory, callbacks)
        if not np.isfinite(progress.winner_judged):
            raise SettingError(
                f"None of the {progress.evaluations} candidates gave numbers for all answers that count, so there "
                f"is no prompt to deliver. Where the model's own numbers overflow, try {setting('dtype', 'float32')} "
                f"or 'bfloat16'; where text is generated, replies that cannot be read are no answers, and a model that "
                f"replies with a label alone is needed. Another {setting('start')} or a smaller {setting('spread')} "
                "may help too, in a new directory."
            )
        return progress

    def go_on(
        self, state: S, progress: Progress, directory: RunDirectory, callbacks: Callbacks = SILENT
    ) -> tuple[S, Progress]:
        """Search on from an optimizer's state and return the last one too. A checkpoint takes precedence.

        Where a callback stopped this search, now or before, it ends there.
        """
        stored = directory.restore()
        if stored is not None:
            state, progress = unpack_search(type(state), *stored)
        callbacks.resumed(progress.evaluations)
        stopped = directory.stopped()
        search = self if stopped is None else replace(self, budget=min(stopped, self.budget))
        for after, reached, generation in search.steps(state, progress):
            state, progress = after, reached
            directory.append(generation.to_json())
            self._save(directory, state, progress)
            if callbacks.generation(generation) and progress.evaluations < self.budget:
                directory.stop(progress.evaluations)
                break
        return state, progress

    def steps(self, state: S, progress: Progress) -> Iterator[tuple[S, Progress, Generation]]:
        """Yield generation after generation until the budget is spent; keeps nothing."""
        while progress.evaluations < self.budget:
            candidates = self.optimizer.ask(state)
            progress, evaluations, generation = self.spend(progress, candidates)
            # A last generation cut short by the budget is counted but cannot be told: row order is the contract.
            if len(evaluations) == len(candidates):
                state = self.optimizer.tell(state, candidates, evaluations)
                if self.fresh is not None:
                    progress, generation = self._followed(progress, generation, state)
            yield state, progress, generation

    def spend(
        self, progress: Progress, asked: Float[np.ndarray, "n dim"]
    ) -> tuple[Progress, list[Evaluation], Generation]:
        """Evaluate as many of the candidates as the budget allows (at least one); the generation comes with it."""
        x = asked[: self.budget - progress.evaluations]
        evaluate = self.evaluate if self.fresh is None else self.fresh.at(progress.generation)
        seen = evaluate(self._prompts(x))
        after, generation = self._record(progress, x, seen)
        return after, seen, generation

    def judge(self, x: Float[np.ndarray, " dim"]) -> float:
        """Compute the loss by which a candidate is chosen, on all trained formats and validation ones, in points."""
        prompts = self._prompts(x[None])
        seen = self.evaluate(prompts)[0]
        return (
            seen.selection_loss if self.validate is None else fitted_and_validated(seen, float(self.validate(prompts)))
        )

    def _prompts(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n tokens hidden"]:
        return self.space.decode(x).astype(np.float32)

    def _save(self, directory: RunDirectory, state: Any, progress: Progress) -> None:
        arrays: dict[str, np.ndarray] = {}
        scalars: dict[str, Any] = {}
        for name, value in (("optimizer.", state), ("search.", progress)):
            some, rest = pack(value)
            arrays |= {name + key: array for key, array in some.items()}
            scalars |= {name + key: scalar for key, scalar in rest.items()}
        directory.checkpoint(progress.generation, arrays, scalars)

    def _record(
        self, before: Progress, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]
    ) -> tuple[Progress, Generation]:
        losses = [e.loss for e in seen]
        best = int(np.argmin([loss if np.isfinite(loss) else np.inf for loss in losses]))
        after = replace(before, generation=before.generation + 1, evaluations=before.evaluations + len(x))
        validation = None
        if self.fresh is None and losses[best] < before.best_loss:
            after, validation = self._bettered(after, x[best], float(losses[best]), seen[best].selection_loss)
        return after, Generation(
            generation=after.generation,
            evaluations=after.evaluations,
            best=after.best_loss,
            median=_median(losses),
            validation=validation,
            winner_at=after.winner_at,
            losses=losses,
            terms=[dict(e.terms) for e in seen],
            mass=[float(e.response.mass.mean()) for e in seen],
            scores=[e.scores for e in seen],
            formats=None if self.fresh is None else seen[0].formats,
        )

    def _followed(self, progress: Progress, generation: Generation, state: Any) -> tuple[Progress, Generation]:
        """Follow the center of a search whose generations have formats of their own: the best is where it stands.

        Its loss is over all formats, in part expected and not asked (``optimizers.dfgn_fresh``).
        """
        x, loss = state.center, float(state.center_loss)
        if not np.isfinite(loss) or (np.isfinite(progress.best_loss) and np.array_equal(x, progress.best_x)):
            return progress, generation
        progress, validation = self._bettered(progress, x, loss, loss)
        return progress, replace(generation, best=loss, validation=validation, winner_at=progress.winner_at)

    def _bettered(
        self, progress: Progress, x: Float[np.ndarray, " dim"], loss: float, fitted: float
    ) -> tuple[Progress, float | None]:
        """Take in a new best candidate: validate it, list it and see whether it wins; its validation loss is second.

        ``fitted``: the training loss that counts beside the validation loss.
        """
        validation, judged = None, loss
        if self.validate is not None:
            validation = float(self.validate(self._prompts(x[None])))
            judged = halves(fitted, validation)
        progress = _shortlisted(replace(progress, best_x=x, best_loss=loss), x, judged)
        if judged < progress.winner_judged:
            progress = replace(progress, winner_x=x, winner_judged=judged, winner_at=progress.evaluations)
        return progress, validation


def _shortlisted(progress: Progress, x: Float[np.ndarray, " dim"], judged: float) -> Progress:
    """Add a best candidate to the shortlist; the first stays, of the others the oldest goes."""

    def appended(array: np.ndarray, one: np.ndarray | float) -> np.ndarray:
        new = np.array([one], dtype=np.float64)
        both = new if not len(array) else np.concatenate([array, new])
        return both if len(both) <= SHORTLIST else np.delete(both, 1, axis=0)

    return replace(
        progress,
        shortlist_x=appended(progress.shortlist_x, x),
        shortlist_judged=appended(progress.shortlist_judged, judged),
        shortlist_at=appended(progress.shortlist_at, float(progress.evaluations)),
    )


def _median(losses: Sequence[float]) -> float:
    """Compute the median of the losses that are numbers; NaN where none is."""
    known = [loss for loss in losses if np.isfinite(loss)]
    return float(np.median(known)) if known else np.nan


def fitted_and_validated(seen: Evaluation, validation: float) -> float:
    """Average a candidate's losses on trained and on validation formats, without the anchor, to choose the winner.

    One validation format is one sample of how questions can be put. It may move away from the target while all others
    come nearer, and alone it would then deliver a prompt of the first generation, which is nowhere nearer.
    """
    return halves(seen.selection_loss, validation)


def halves(fitted: float, validation: float) -> float:
    """Let a training loss and a validation loss count for half each."""
    return (fitted + validation) / 2


def unpack_search(kind: type[S], arrays: Mapping[str, np.ndarray], scalars: Mapping[str, Any]) -> tuple[S, Progress]:
    """Unpack the optimizer's state, of this kind, and the progress of a checkpoint; ``UserError`` if it lacks them."""

    def part(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key.removeprefix(name): value for key, value in values.items() if key.startswith(name)}

    return (
        unpack(kind, part("optimizer.", arrays), part("optimizer.", scalars)),
        unpack(Progress, part("search.", arrays), part("search.", scalars)),
    )
