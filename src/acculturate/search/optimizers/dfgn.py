"""DFGN: random-subspace derivative-free Gauss-Newton on the structured response.

A population search learns one number from a candidate; a survey response is hundreds (the log-probability of
every option of every item in every format), and the loss is a known, smooth function of them up to the absolute
value. Each round probes a few random directions, extends a linear model of the *log-probabilities* with them, and
minimises the exact loss of that model. After Cartis & Roberts, *A derivative-free Gauss-Newton method* (2019), and
*Scalable subspace methods for derivative-free nonlinear least-squares optimization* (2023). What differs: the model
is of the log-probabilities rather than of the residuals, because scores saturate where log-probabilities do not; the
L1 loss is met by reweighting (each residual counts with the inverse of its size); and directions of earlier rounds
stay in the model, fading, and kept true to every move by Broyden's (1965) rank-one update. A larger subspace reaches
the same predicted scores with a shorter, hence more truthful, move, and these directions cost nothing. The log-odds
that no option is answered are modelled beside the options, so that a penalty on lost answer mass is met as well.

Losses are taken for what low precision makes of them: nothing hangs on one being lower than another by a hair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError
from acculturate.search.optimizers.dfgn_fresh import in_all_formats, with_center
from acculturate.search.optimizers.dfgn_model import linearised, minimise, structured
from acculturate.search.optimizers.dfgn_parts import Parts
from acculturate.search.optimizers.dfgn_state import (
    COMPARE,
    PROBE,
    START,
    TRIAL,
    DFGNState,
    corrected,
    with_best,
)
from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.variation import STEPS, check_number, finite_losses
from acculturate.survey.loss import Evaluation, Loss

MU = (1e-6, 1e6)
"""Lowest and highest damping."""
RATIO = 4.0
"""Factor between the damping values that a round tries."""
ROUNDING = 0.1
"""Losses within this share of each other count as equal. Bfloat16 moves losses by some hundredths, so the lowest of
hundreds is a lucky one, and a search that went back to it would stay there."""
BOLD = 0.01
"""Trials whose losses differ by less than this share count as ties. Ties go to the longest move, else rounding noise
would favour ever shorter ones."""
LIFT = 0.05
"""If the median probe lies more than this share of the center's loss above it, probes are too long and become shorter:
they straddle the valley."""
GROW, SHRINK = 1.1, 1.5
"""Factors by which probes become longer every round, or shorter where they lie too high. Short probes measure rounding
and say nothing about the landscape beyond, so they are kept as long as can be."""
STEEP = 2.0 / 3.0
"""Starts that promise at least this share of the highest promise count as equally steep: a few directions tell a steep
start from a flat one, and not much else."""
BLUR = 0.5
"""Moves shorter than this many probe lengths correct the model only in part: what they change is mostly rounding."""


@dataclass(frozen=True)
class DFGN:
    """Search with Gauss-Newton steps on a model of the answers, which must be expected scores and not sampled ones.

    Parameters
    ----------
    survey
        The loss to minimise, as a function of the answers.
    h
        New directions per round, usually 8 to 64.
    scale
        First probe length, in embedding standard deviations per coordinate.
    central
        Take central differences: two evaluations a direction instead of one.
    memory
        Directions kept in the model, new ones included.
    mu
        First damping, in points per squared coefficient.
    trials
        Damping values tried per round, ``RATIO`` apart.
    fade
        The older directions shrink to this share of their length every round, above 0 and up to 1. That leaves what
        they say and lets them be used less.
    adapt
        Let the probe length follow the landscape, up to ten times as long or short (``LIFT``).
    starts
        How many of the best starting points are probed, with the same directions, before the most promising one
        becomes the first center; fewer where that would cost more than a tenth of the budget.
    budget
        Candidate evaluations of the whole search; None: unlimited.
    parts
        The structure of a search for several countries.
    fresh
        Whether every generation is asked in other formats (``search.fresh``).
    """

    survey: Loss
    h: int = 12
    scale: float = 0.05
    central: bool = False
    memory: int = 192
    mu: float = 512.0
    trials: int = 4
    fade: float = 0.9
    adapt: bool = True
    starts: int = 4
    budget: int | None = None
    parts: Parts | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        check_number(self.h, "DFGN h", low=1, high=1024)
        check_number(self.trials, "DFGN trials", low=1, high=16)  # 4**16 between the first and the last damping
        check_number(self.starts, "DFGN starts", low=1, high=1000)
        check_number(self.memory, "DFGN memory", low=1, high=4096)  # a matrix of memory x memory is solved
        check_number(self.scale, "DFGN scale", low=STEPS[0], high=STEPS[1])
        check_number(self.mu, "DFGN mu", low=MU[0], high=MU[1])
        check_number(self.fade, "DFGN fade", low=0, high=1, strict=True)  # 1: older directions count in full
        if self.parts is not None and self.parts.shared and self.h < 2:
            raise SettingError("DFGN needs h of at least 2 where a prompt has shared tokens and own ones.")
        if self.memory < self.h:
            raise SettingError(f"DFGN needs a memory of at least h directions, not {self.memory} with h = {self.h}.")

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> DFGNState:
        """Return the state before anything was evaluated."""
        formats = 1 + max(form for view in self.survey.views for form in view)
        items, options = self.survey.values.shape
        none = np.zeros((formats, items, options + 1))
        return DFGNState(
            seed, 0, START, start, start[0], np.inf, none, start[0], np.inf, none, self.mu, self.scale,
            np.zeros((0, start.shape[1])), np.zeros((0, *none.shape)), np.zeros((0, 0)),
            np.zeros((0, start.shape[1])), np.zeros(0), np.zeros((0, *none.shape)),
        )  # fmt: skip

    def ask(self, state: DFGNState) -> Float[np.ndarray, "n dim"]:
        """Return the start, then in turn probes around the center and trial moves from it."""
        if state.phase == START:
            return state.start
        if state.phase == TRIAL:
            moves = state.coefficients @ state.directions
            return state.center + (with_center(moves) if self.fresh else moves)
        offsets = state.scale * self._fresh(state)
        if self.central:
            offsets = np.concatenate([offsets, -offsets])
        if self.fresh:
            offsets = with_center(offsets)
        centers = state.rivals if state.phase == COMPARE else state.center[None]
        return (centers[:, None] + offsets).reshape(-1, offsets.shape[1])

    def tell(self, state: DFGNState, x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]) -> DFGNState:
        """Return the state with a model of what the probes show, or with what the trial moves taught."""
        if self.fresh:
            state, x, evaluations = in_all_formats(self.survey, state, x, evaluations)
        after = with_best(replace(state, generation=state.generation + 1), x, evaluations)
        if not np.isfinite(after.loss):  # nothing answered yet: look again where it started
            return replace(after, phase=START)
        if state.phase == COMPARE:
            return self.solve(self._chosen(after, evaluations))
        if state.phase == PROBE:
            return self.solve(self._extended(after, evaluations))
        if state.phase == TRIAL:
            after = self._learned(after, evaluations)
        after = replace(
            self._centered(after, x, evaluations), phase=PROBE, coefficients=np.zeros((0, len(after.directions)))
        )
        return self._with_rivals(after, x, evaluations) if state.phase == START else after

    def _with_rivals(
        self, after: DFGNState, x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]
    ) -> DFGNState:
        """Compare the best starts, if there are several that are no worse than the best by more than rounding."""
        losses = finite_losses(evaluations)
        probes = self.h * (2 if self.central else 1)
        most = self.starts if self.budget is None else min(self.starts, self.budget // (10 * probes))
        best = [i for i in np.argsort(losses, kind="stable")[:most] if losses[i] <= (1.0 + ROUNDING) * after.loss]
        if len(best) < 2:
            return after
        answers = np.stack([structured(evaluations[i].response) for i in best])
        return replace(after, phase=COMPARE, rivals=x[best], rival_losses=losses[best], rival_answers=answers)

    def _chosen(self, after: DFGNState, evaluations: Sequence[Evaluation]) -> DFGNState:
        """Build the model around the lowest of the starts from which it leads farthest.

        The lowest loss alone is no guide: where nothing moves the answers none are lost either, and a start that is
        ahead by a few points because it is flat stays behind for the rest of the search.
        """
        probes = len(evaluations) // len(after.rivals)
        none = replace(after, rivals=after.rivals[:0], rival_losses=np.zeros(0), rival_answers=after.rival_answers[:0])
        models = [
            self._extended(
                replace(
                    none, center=x, center_loss=float(after.rival_losses[k]), center_answers=after.rival_answers[k]
                ),
                evaluations[k * probes : (k + 1) * probes],
            )
            for k, x in enumerate(after.rivals)
        ]
        promises = [self._promise(model) for model in models]
        steep = [model for model, promise in zip(models, promises, strict=True) if promise >= STEEP * max(promises)]
        return min(steep or models, key=lambda model: model.center_loss)

    def _promise(self, state: DFGNState) -> float:
        """Predict the points of distance that the model's first move gains.

        Getting back what the start paid for lost answer mass, or for straying from the untuned answers, is no progress.
        """
        bare = replace(self.survey, anchor=0.0, mass_penalty=0.0)
        move = minimise(self.survey, state.center_answers, state.slopes, state.mu)
        before, after = (linearised(bare, state.center_answers, state.slopes, c) for c in (0.0 * move, move))
        return before.loss - after.loss

    def _centered(
        self, after: DFGNState, x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]
    ) -> DFGNState:
        """Center the model on the best of these candidates, or on the best ever where they are clearly worse."""
        losses = finite_losses(evaluations)
        best = int(np.argmin(losses))
        # Where the center was asked again with its rivals, the better one is no matter of luck.
        if losses[best] > (1.0 if self.fresh and after.phase == TRIAL else 1.0 + ROUNDING) * after.loss:
            return replace(after, center=after.x, center_loss=after.loss, center_answers=after.answers)
        answers = structured(evaluations[best].response)
        return replace(after, center=x[best], center_loss=float(losses[best]), center_answers=answers)

    def _fresh(self, state: DFGNState) -> Float[np.ndarray, "h dim"]:
        """Draw this round's new Gaussian directions."""
        z = generator(state.seed, state.generation).standard_normal((self.h, len(state.center)))
        return z if self.parts is None else self.parts.one_kind(z)

    def _extended(self, after: DFGNState, evaluations: Sequence[Evaluation]) -> DFGNState:
        """Extend the linear model of the answers with this round's directions."""
        fresh, slopes = self._measured(after, evaluations)
        if self.parts is not None:
            fresh, slopes = self.parts.apart(fresh, slopes)
        memory = self.memory * len(fresh) // self.h  # as many rounds, however many directions a probe gave
        directions = np.concatenate([fresh, self.fade * after.directions])[:memory]
        slopes = np.concatenate([slopes, self.fade * after.slopes])[:memory]
        none = np.zeros((0, len(directions)))
        scale = self._length(after, evaluations) if self.adapt else after.scale
        return replace(after, scale=scale, directions=directions, slopes=slopes, coefficients=none)

    def _measured(
        self, after: DFGNState, evaluations: Sequence[Evaluation]
    ) -> tuple[Float[np.ndarray, "h dim"], Float[np.ndarray, "h formats items columns"]]:
        """Measure the change of the answers per unit of each of this round's directions.

        Unless central, both are differences from the mean of the probes, not from the center: what all probes have in
        common, the curvature that lifts them and whatever luck the center's own answers had, is then in no slope. That
        leaves one direction less than there are probes. One probe alone has only the center to be compared with.
        """
        fresh = self._fresh(replace(after, generation=after.generation - 1))
        answers = np.stack([structured(e.response) for e in evaluations])
        answered = np.isfinite(finite_losses(evaluations))
        with np.errstate(invalid="ignore"):  # -inf - -inf where an item has fewer options
            change = (answers[: self.h] - answers[self.h :]) / 2 if self.central else answers - after.center_answers
            for kind in self._kinds():
                rows = kind[answered[kind]]
                if len(rows) > 1:
                    fresh[rows] -= fresh[rows].mean(axis=0)
                    change[rows] = answers[rows] - answers[rows].mean(axis=0)
        return fresh, np.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0) / after.scale

    def _kinds(self) -> list[np.ndarray]:
        """Group the probes whose mean is subtracted: those that move the same coordinates.

        Central probes need no groups; each has its opposite.
        """
        if self.central:
            return []
        return np.split(np.arange(self.h), [0 if self.parts is None else self.parts.of_all(self.h)])

    def _length(self, after: DFGNState, evaluations: Sequence[Evaluation]) -> float:
        """Return the next probe length, after probes of this one."""
        if np.median(finite_losses(evaluations)) > (1.0 + LIFT) * after.center_loss:
            return max(after.scale / SHRINK, self.scale / 10.0)
        return min(after.scale * GROW, self.scale * 10.0)

    def solve(self, state: DFGNState) -> DFGNState:
        """Return the state that asks for damped minimisers of the loss of its model around its center.

        The slopes are of answers, so a model found for one target serves any other.
        """
        damping = state.mu * RATIO ** (np.arange(self.trials) - self.trials // 2)
        moves = np.stack([minimise(self.survey, state.center_answers, state.slopes, mu) for mu in damping])
        return replace(state, phase=TRIAL, coefficients=moves)

    def _learned(self, after: DFGNState, evaluations: Sequence[Evaluation]) -> DFGNState:
        """Correct the model with the move that did best, and let the damping follow the boldest that did as well."""
        losses = finite_losses(evaluations)
        best = int(np.argmin(losses))
        if not np.isfinite(losses[best]):
            return replace(after, mu=min(RATIO**2 * after.mu, MU[1]))
        slopes = corrected(
            after, after.coefficients[best][None], evaluations[best : best + 1], blur=BLUR * after.scale
        ).slopes
        bold = int(np.argmax(losses <= (1.0 + BOLD) * losses[best]))  # dampings rise
        mu = after.mu * RATIO ** (bold - self.trials // 2)
        if losses[best] > (1.0 + ROUNDING) * after.center_loss:
            mu = RATIO * max(mu, after.mu)
        return replace(after, slopes=slopes, mu=float(np.clip(mu, *MU)))
