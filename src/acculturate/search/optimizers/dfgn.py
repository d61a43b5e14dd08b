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

from acculturate.errors import UserError
from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.variation import STEPS, check_number
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.response import TINY, Response

START, COMPARE, PROBE, TRIAL = "start", "compare", "probe", "trial"

MU = (1e-6, 1e6)
"""Lowest and highest damping."""
RATIO = 4.0
"""Between the damping values that a round tries."""
ROUNDING = 0.1
"""A loss that is higher by this share may be no worse. Bfloat16 moves losses by some hundredths, and the lowest of
hundreds is then a lucky one: a search that went back to it would stay there."""
BOLD = 0.01
"""Trials whose losses differ by less than this share count as ties. Ties go to the longest move, else rounding noise
would favour ever shorter ones."""
LIFT = 0.05
"""If the median probe lies more than this share of the center's loss above it, probes are too long and become shorter:
they straddle the valley."""
GROW, SHRINK = 1.1, 1.5
"""By how much probes become longer every round, or shorter where they are lifted too much. Short ones measure rounding
and say nothing about the landscape beyond, so they are as long as can be."""
STEEP = 2.0 / 3.0
"""Share of the highest promise that makes a start as promising as the best: a few directions tell a steep start from a
flat one, and not much else."""
BLUR = 0.5
"""Moves shorter than this many probe lengths correct the model in part only: what they change is mostly rounding."""


@dataclass(frozen=True, eq=False)
class DFGNState:
    """``x``, ``loss``, ``answers`` (see ``structured``): the best candidate. ``center*``: what the model surrounds.

    ``directions`` Z, newest first, and ``slopes``: change of the answers per unit of each. ``mu``: damping. ``scale``:
    probe length, of this round or, once it has probed, of the next.
    ``coefficients``: this round's trial moves, in units of the directions; empty while probing. ``rival*``: starts that
    are being compared; empty before and after. What has not been seen yet is empty too, whatever the shape of a
    response.
    """

    seed: int
    generation: int
    phase: str
    start: Float[np.ndarray, "pop dim"]
    x: Float[np.ndarray, " dim"]
    loss: float
    answers: Float[np.ndarray, "formats items columns"]
    center: Float[np.ndarray, " dim"]
    center_loss: float
    center_answers: Float[np.ndarray, "_ _ _"]
    mu: float
    scale: float
    directions: Float[np.ndarray, "m dim"]
    slopes: Float[np.ndarray, "m _ _ _"]
    coefficients: Float[np.ndarray, "k _"]
    rivals: Float[np.ndarray, "r dim"]
    rival_losses: Float[np.ndarray, " r"]
    rival_answers: Float[np.ndarray, "r _ _ _"]


@dataclass(frozen=True)
class Parts:
    """Candidates for several countries: the first ``shared`` coordinates move all answers, the k-th of ``count`` equal
    parts of the others only the k-th of as many equal parts of the formats.

    A probe of all own parts at once is therefore ``count`` directions for the price of one.
    """

    shared: int
    count: int

    def one_kind(self, z: Float[np.ndarray, "h dim"]) -> Float[np.ndarray, "h dim"]:
        """The first third of the directions in the shared coordinates only, the others in the own ones only."""
        z = z.copy()
        first = self.of_all(len(z))
        z[:first, self.shared :] = 0.0
        z[first:, : self.shared] = 0.0
        return z

    def apart(
        self, z: Float[np.ndarray, "h dim"], slopes: Float[np.ndarray, "h formats items options"]
    ) -> tuple[Float[np.ndarray, "m dim"], Float[np.ndarray, "m formats items options"]]:
        """Directions of ``one_kind`` with their slopes, those in the own parts once for each part."""
        first = self.of_all(len(z))
        coordinates = np.array_split(np.arange(self.shared, z.shape[1]), self.count)
        formats = np.array_split(np.arange(slopes.shape[1]), self.count)
        directions, changes = [z[:first]], [slopes[:first]]
        for x, f in zip(coordinates, formats, strict=True):
            directions.append(np.zeros_like(z[first:]))
            directions[-1][:, x] = z[first:, x]
            changes.append(np.zeros_like(slopes[first:]))
            changes[-1][:, f] = slopes[first:, f]
        return np.concatenate(directions), np.concatenate(changes)

    def of_all(self, h: int) -> int:
        """How many of h directions are in the shared coordinates."""
        return -(-h // 3) if self.shared else 0


@dataclass(frozen=True)
class DFGN:
    """The structured search. Needs the survey's arithmetic, hence expected scores (not sampled answers).

    ``h``: new directions per round (8..64). ``scale``: first probe length, in embedding standard deviations per
    coordinate; with ``adapt`` it follows the landscape, up to ten times as long or short (``LIFT``). ``central``
    differences take two evaluations a direction instead of one. ``memory``: directions kept in the model, new ones
    included; with every round that they have been in it the older ones shrink to ``fade`` of their length (0 to 1),
    which leaves what they say and lets them be used less. ``mu``: first damping, points per squared coefficient.
    ``trials``: damping values tried per round, ``RATIO`` apart. ``starts``: how many of the best starting points are
    probed, with the same directions, before the most promising one becomes the first center; fewer where that would
    cost more than a tenth of the ``budget`` (None: no matter). ``parts``: the structure of a search for several
    countries.
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

    def __post_init__(self) -> None:
        check_number(self.h, "DFGN h", low=1, high=1024)
        check_number(self.trials, "DFGN trials", low=1, high=16)  # 4**16 between the first and the last damping
        check_number(self.starts, "DFGN starts", low=1, high=1000)
        check_number(self.memory, "DFGN memory", low=1, high=4096)  # a matrix of memory x memory is solved
        check_number(self.scale, "DFGN scale", low=STEPS[0], high=STEPS[1])
        check_number(self.mu, "DFGN mu", low=MU[0], high=MU[1])
        check_number(self.fade, "DFGN fade", low=0, high=1, strict=True)  # 1: older directions count in full
        if self.parts is not None and self.parts.shared and self.h < 2:
            raise UserError("DFGN needs h of at least 2 where a prompt has shared tokens and own ones.")
        if self.memory < self.h:
            raise UserError(f"DFGN needs a memory of at least h directions, not {self.memory} with h = {self.h}.")

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> DFGNState:
        formats = 1 + max(form for view in self.survey.views for form in view)
        items, options = self.survey.values.shape
        none = np.zeros((formats, items, options + 1))
        return DFGNState(
            seed, 0, START, start, start[0], np.inf, none, start[0], np.inf, none, self.mu, self.scale,
            np.zeros((0, start.shape[1])), np.zeros((0, *none.shape)), np.zeros((0, 0)),
            np.zeros((0, start.shape[1])), np.zeros(0), np.zeros((0, *none.shape)),
        )  # fmt: skip

    def ask(self, state: DFGNState) -> Float[np.ndarray, "n dim"]:
        if state.phase == START:
            return state.start
        if state.phase == TRIAL:
            return state.center + state.coefficients @ state.directions
        offsets = state.scale * self._fresh(state)
        if self.central:
            offsets = np.concatenate([offsets, -offsets])
        centers = state.rivals if state.phase == COMPARE else state.center[None]
        return (centers[:, None] + offsets).reshape(-1, offsets.shape[1])

    def tell(self, state: DFGNState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> DFGNState:
        told = _keep_best(replace(state, generation=state.generation + 1), x, seen)
        if not np.isfinite(told.loss):  # nothing answered yet: look again where it started
            return replace(told, phase=START)
        if state.phase == COMPARE:
            return self.solve(self._chosen(told, seen))
        if state.phase == PROBE:
            return self.solve(self._extended(told, seen))
        if state.phase == TRIAL:
            told = self._learned(told, x, seen)
        told = replace(self._centered(told, x, seen), phase=PROBE, coefficients=np.zeros((0, len(told.directions))))
        return self._with_rivals(told, x, seen) if state.phase == START else told

    def _with_rivals(self, told: DFGNState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> DFGNState:
        """Compare the best starts, if there are several that are no worse than the best by more than rounding."""
        losses = _losses(seen)
        probes = self.h * (2 if self.central else 1)
        most = self.starts if self.budget is None else min(self.starts, self.budget // (10 * probes))
        best = [i for i in np.argsort(losses, kind="stable")[:most] if losses[i] <= (1.0 + ROUNDING) * told.loss]
        if len(best) < 2:
            return told
        answers = np.stack([structured(seen[i].response) for i in best])
        return replace(told, phase=COMPARE, rivals=x[best], rival_losses=losses[best], rival_answers=answers)

    def _chosen(self, told: DFGNState, seen: Sequence[Evaluation]) -> DFGNState:
        """The model around the lowest of the starts from which it leads farthest.

        The lowest loss alone is no guide: where nothing moves the answers none are lost either, and a start that is
        ahead by a few points because it is flat stays behind for the rest of the search.
        """
        probes = len(seen) // len(told.rivals)
        none = replace(told, rivals=told.rivals[:0], rival_losses=np.zeros(0), rival_answers=told.rival_answers[:0])
        models = [
            self._extended(
                replace(none, center=x, center_loss=float(told.rival_losses[k]), center_answers=told.rival_answers[k]),
                seen[k * probes : (k + 1) * probes],
            )
            for k, x in enumerate(told.rivals)
        ]
        promises = [self._promise(model) for model in models]
        steep = [model for model, promise in zip(models, promises, strict=True) if promise >= STEEP * max(promises)]
        return min(steep or models, key=lambda model: model.center_loss)

    def _promise(self, state: DFGNState) -> float:
        """Points of distance that the model expects of its first move. Getting back what the start paid for lost answer
        mass, or for straying from the untuned answers, is no progress.
        """
        bare = replace(self.survey, anchor=0.0, mass_penalty=0.0)
        move = minimise(self.survey, state.center_answers, state.slopes, state.mu)
        before, after = (linearised(bare, state.center_answers, state.slopes, c) for c in (0.0 * move, move))
        return before.loss - after.loss

    def _centered(self, told: DFGNState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> DFGNState:
        """Around the best of these candidates, or the best ever where they are worse by more than rounding."""
        losses = _losses(seen)
        best = int(np.argmin(losses))
        if losses[best] > (1.0 + ROUNDING) * told.loss:
            return replace(told, center=told.x, center_loss=told.loss, center_answers=told.answers)
        answers = structured(seen[best].response)
        return replace(told, center=x[best], center_loss=float(losses[best]), center_answers=answers)

    def _fresh(self, state: DFGNState) -> Float[np.ndarray, "h dim"]:
        """This round's new Gaussian directions."""
        z = generator(state.seed, state.generation).standard_normal((self.h, len(state.center)))
        return z if self.parts is None else self.parts.one_kind(z)

    def _extended(self, told: DFGNState, seen: Sequence[Evaluation]) -> DFGNState:
        """The linear model of the answers with this round's directions."""
        fresh, slopes = self._measured(told, seen)
        if self.parts is not None:
            fresh, slopes = self.parts.apart(fresh, slopes)
        memory = self.memory * len(fresh) // self.h  # as many rounds, however many directions a probe gave
        directions = np.concatenate([fresh, self.fade * told.directions])[:memory]
        slopes = np.concatenate([slopes, self.fade * told.slopes])[:memory]
        none = np.zeros((0, len(directions)))
        scale = self._length(told, seen) if self.adapt else told.scale
        return replace(told, scale=scale, directions=directions, slopes=slopes, coefficients=none)

    def _measured(
        self, told: DFGNState, seen: Sequence[Evaluation]
    ) -> tuple[Float[np.ndarray, "h dim"], Float[np.ndarray, "h formats items columns"]]:
        """This round's directions and the change of the answers per unit of each, as its probes show them.

        Unless central, both are differences from the mean of the probes, not from the center: what all probes have in
        common, the curvature that lifts them and whatever luck the center's own answers had, is then in no slope. That
        leaves one direction less than there are probes. One probe alone has only the center to be compared with.
        """
        fresh = self._fresh(replace(told, generation=told.generation - 1))
        answers = np.stack([structured(e.response) for e in seen])
        answered = np.isfinite(_losses(seen))
        with np.errstate(invalid="ignore"):  # -inf - -inf where an item has fewer options
            change = (answers[: self.h] - answers[self.h :]) / 2 if self.central else answers - told.center_answers
            for kind in self._kinds():
                rows = kind[answered[kind]]
                if len(rows) > 1:
                    fresh[rows] -= fresh[rows].mean(axis=0)
                    change[rows] = answers[rows] - answers[rows].mean(axis=0)
        return fresh, np.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0) / told.scale

    def _kinds(self) -> list[np.ndarray]:
        """Group the probes whose mean is subtracted: those that move the same coordinates.

        Central probes need no groups; each has its opposite.
        """
        if self.central:
            return []
        return np.split(np.arange(self.h), [0 if self.parts is None else self.parts.of_all(self.h)])

    def _length(self, told: DFGNState, seen: Sequence[Evaluation]) -> float:
        """The next probe length, after probes of this one."""
        if np.median(_losses(seen)) > (1.0 + LIFT) * told.center_loss:
            return max(told.scale / SHRINK, self.scale / 10.0)
        return min(told.scale * GROW, self.scale * 10.0)

    def solve(self, state: DFGNState) -> DFGNState:
        """The state that asks the damped minimisers of the loss of its model around its center, whatever the survey.

        The slopes are of answers, so a model found for one target serves any other.
        """
        damping = state.mu * RATIO ** (np.arange(self.trials) - self.trials // 2)
        moves = np.stack([minimise(self.survey, state.center_answers, state.slopes, mu) for mu in damping])
        return replace(state, phase=TRIAL, coefficients=moves)

    def _learned(self, told: DFGNState, x: Float[np.ndarray, "k dim"], seen: Sequence[Evaluation]) -> DFGNState:
        """Correct the model with the move that did best, and let the damping follow the boldest that did as well."""
        losses = _losses(seen)
        best = int(np.argmin(losses))
        if not np.isfinite(losses[best]):
            return replace(told, mu=min(RATIO**2 * told.mu, MU[1]))
        slopes = corrected(told, told.coefficients[best][None], seen[best : best + 1], blur=BLUR * told.scale).slopes
        bold = int(np.argmax(losses <= (1.0 + BOLD) * losses[best]))  # dampings rise
        mu = told.mu * RATIO ** (bold - self.trials // 2)
        if losses[best] > (1.0 + ROUNDING) * told.center_loss:
            mu = RATIO * max(mu, told.mu)
        return replace(told, slopes=slopes, mu=float(np.clip(mu, *MU)))


def corrected(
    state: DFGNState, coefficients: Float[np.ndarray, "k m"], seen: Sequence[Evaluation], *, blur: float = 0.0
) -> DFGNState:
    """The state whose model reproduces what these moves from its center really did, changed as little as that takes.

    Broyden's (1965) rank-one update, for several moves at once; ``coefficients`` are in units of the directions. Moves
    much shorter than ``blur`` change next to nothing.
    """
    with np.errstate(invalid="ignore"):  # -inf - -inf where an item has fewer options
        change = np.stack([structured(e.response) for e in seen]) - state.center_answers
    change = np.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0)
    missed = change - np.tensordot(coefficients, state.slopes, axes=1)
    gain = np.linalg.pinv(coefficients)
    if blur:
        gain = coefficients.T @ np.linalg.inv(coefficients @ coefficients.T + blur**2 * np.eye(len(coefficients)))
    return replace(state, slopes=state.slopes + np.tensordot(gain, missed, axes=1))


def _losses(seen: Sequence[Evaluation]) -> Float[np.ndarray, " n"]:
    return np.array([e.loss if np.isfinite(e.loss) else np.inf for e in seen])


def _keep_best(state: DFGNState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> DFGNState:
    losses = _losses(seen)
    best = int(np.argmin(losses))
    if losses[best] >= state.loss:
        return state
    return replace(state, x=x[best], loss=float(losses[best]), answers=structured(seen[best].response))


def structured(response: Response) -> Float[np.ndarray, "formats items columns"]:
    """What DFGN models of a response: the options' log-probabilities and, last, the log-odds of no answer at all.

    Both are near linear in the model's logits, where probabilities and answer mass saturate.
    """
    mass = np.clip(response.mass, TINY, 1.0 - 1e-7)  # float32 knows nothing nearer to 1
    return np.concatenate([response.logprobs, (np.log1p(-mass) - np.log(mass))[..., None]], axis=-1)


def minimise(
    survey: Loss,
    answers: Float[np.ndarray, "formats items columns"],
    slopes: Float[np.ndarray, "h formats items columns"],
    mu: float,
    *,
    rounds: int = 12,
) -> Float[np.ndarray, " h"]:
    """Coefficients c that minimise ``loss(answers + c slopes) + mu |c|^2``, by reweighted Gauss-Newton.

    Each round solves the normal equations of the residuals (score minus target, per view and dimension, with the
    anchor and the penalty on lost mass where there are any) weighted with 1/max(|r|, 1/4 point), and halves the step
    until the penalised loss falls.
    """
    c = np.zeros(len(slopes))
    now = linearised(survey, answers, slopes, c)
    for _ in range(rounds):
        hessian = now.jacobian.T @ (now.weights[:, None] * now.jacobian) + now.curvature + 2 * mu * np.eye(len(c))
        gradient = now.jacobian.T @ (now.weights * now.residuals) + now.pull + 2 * mu * c
        move = -np.linalg.solve(hessian, gradient)
        penalised = now.loss + mu * c @ c
        for _ in range(6):
            trial = linearised(survey, answers, slopes, c + move)
            if trial.loss + mu * (c + move) @ (c + move) < penalised:
                break
            move = move / 2
        else:
            break
        c, now = c + move, trial
    return c


@dataclass(frozen=True, eq=False)
class LinearModel:
    """The loss at some coefficients; residuals with Jacobian and weights; gradient and curvature of the other terms."""

    loss: float
    residuals: Float[np.ndarray, " r"]
    jacobian: Float[np.ndarray, "r h"]
    weights: Float[np.ndarray, " r"]
    pull: Float[np.ndarray, " h"]
    curvature: Float[np.ndarray, "h h"]


def linearised(
    survey: Loss,
    answers: Float[np.ndarray, "formats items columns"],
    slopes: Float[np.ndarray, "h formats items columns"],
    c: Float[np.ndarray, " h"],
) -> LinearModel:
    """Compute the loss of ``survey.loss.Loss`` and its first-order model at ``answers + c slopes``.

    ``answers`` and ``slopes`` are as ``structured`` has them.
    """
    moved = answers + np.tensordot(c, slopes, axes=1)
    logprobs, odds = moved[..., :-1], moved[..., -1]
    slopes, odds_slopes = slopes[..., :-1], slopes[..., -1]
    logprobs = logprobs - np.logaddexp.reduce(logprobs, axis=-1, keepdims=True)
    p = np.exp(logprobs)
    means = (p * survey.values).sum(axis=-1)
    by_view = score_slopes(survey, logprobs, slopes)
    off, slope = [], []
    for view, target, change in zip(survey.views, survey.targets, by_view, strict=True):
        present = ~np.isnan(target)
        gap = survey.constants[present] - target[present]
        off.append(survey.weights[present] @ means[list(view)].mean(axis=0) + gap)
        slope.append(change[present])
    residuals, jacobian = np.concatenate(off), np.concatenate(slope)
    share = 1.0 / len(survey.views)
    loss = share * float(np.abs(residuals).sum())
    pull, curvature = np.zeros(len(c)), np.zeros((len(c), len(c)))
    if survey.anchor and survey.reference is not None:
        loss += survey.anchor * survey.divergence(logprobs)
        gap = p - np.exp(survey.reference)  # d KL / d logit_o
        rate = survey.anchor / (p.shape[0] * p.shape[1])
        pull += rate * np.einsum("fio,hfio->h", gap, slopes)
        centred = slopes - (p * slopes).sum(axis=-1, keepdims=True)
        curvature += rate * np.einsum("fio,hfio,gfio->hg", p, centred, centred, optimize=True)
    if survey.mass_penalty:
        log_mass = -np.logaddexp(0.0, odds)
        lost = survey.lost(log_mass)
        loss += survey.mass_penalty * float(lost.mean())
        rate = survey.mass_penalty / lost.size
        none = -np.expm1(log_mass) * (lost > 0)  # probability of no answer = d (-log mass) / d log-odds
        pull += rate * np.einsum("fi,hfi->h", none, odds_slopes)
        curvature += rate * np.einsum(
            "fi,hfi,gfi->hg", none * np.exp(log_mass), odds_slopes, odds_slopes, optimize=True
        )
    return LinearModel(loss, residuals, jacobian, share / np.maximum(np.abs(residuals), 0.25), pull, curvature)


def score_slopes(
    survey: Loss,
    logprobs: Float[np.ndarray, "formats items options"],
    slopes: Float[np.ndarray, "h formats items options"],
) -> Float[np.ndarray, "views dims h"]:
    """Change of every score, in points, per unit of every direction, at these answers."""
    p = np.exp(logprobs)
    means = (p * survey.values).sum(axis=-1)
    # d mean / d logit_o = p_o (value_o - mean); the slopes say how logits move.
    d_means = np.einsum("fio,hfio->fih", p * (survey.values - means[..., None]), slopes)
    return np.stack([survey.weights @ d_means[list(view)].mean(axis=0) for view in survey.views])
