"""DFGN: random-subspace derivative-free Gauss-Newton on the structured response.

A population search learns one number from a candidate; a survey response is hundreds (the log-probability of
every option of every item in every format), and the loss is a known, smooth function of them up to the absolute
value. Each round probes a few random directions, extends a linear model of the *log-probabilities* with them, and
minimises the exact loss of that model. After Cartis & Roberts, *A derivative-free Gauss-Newton method* (2019), and
*Scalable subspace methods for derivative-free nonlinear least-squares optimization* (2023). What differs: the model
is of the log-probabilities rather than of the residuals, because scores saturate where log-probabilities do not; the
L1 loss is met by reweighting (each residual counts with the inverse of its size); and directions of earlier rounds
stay in the model, kept true to every accepted move by Broyden's (1965) rank-one update. A larger subspace reaches
the same predicted scores with a shorter, hence more truthful, move, and these directions cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.errors import UserError
from acculturate.optimizers.seam import generator
from acculturate.scoring import Evaluation, Survey

START, PROBE, TRIAL = "start", "probe", "trial"


@dataclass(frozen=True, eq=False)
class DFGNState:
    """``x``, ``loss``, ``logprobs``: the best candidate seen. ``center*``: the point this round's model surrounds.

    ``directions`` Z, newest first, and ``slopes``: change of the log-probabilities per unit of each. ``mu``: damping.
    ``coefficients``: this round's trial moves, in units of the directions; empty while probing.
    """

    seed: int
    generation: int
    phase: str
    start: Float[np.ndarray, "pop dim"]
    x: Float[np.ndarray, " dim"]
    loss: float
    logprobs: Float[np.ndarray, "formats items options"]
    center: Float[np.ndarray, " dim"]
    center_loss: float
    center_logprobs: Float[np.ndarray, "formats items options"]
    mu: float
    directions: Float[np.ndarray, "m dim"]
    slopes: Float[np.ndarray, "m formats items options"]
    coefficients: Float[np.ndarray, "k m"]


@dataclass(frozen=True)
class DFGN:
    """The structured search. Needs the survey's arithmetic, hence expected scores (not sampled answers).

    ``h``: new directions per round (8..64). ``scale``: probe length in embedding standard deviations per coordinate;
    small values give true slopes in float32, while bfloat16, whose rounding moves scores by 1 to 2 points, needs
    about 1 and ``central`` differences (two evaluations a direction instead of one). ``memory``: directions kept in
    the model, new ones included. ``mu``: first damping, points per squared coefficient. ``trials``: damping values
    tried per round, a factor of four apart.
    """

    survey: Survey
    h: int = 12
    scale: float = 0.05
    central: bool = False
    memory: int = 192
    mu: float = 512.0
    trials: int = 4

    def __post_init__(self) -> None:
        if self.h < 1 or self.trials < 1:
            raise UserError(f"DFGN needs h and trials of at least 1, not {self.h} and {self.trials}.")
        if self.memory < self.h:
            raise UserError(f"DFGN needs a memory of at least h directions, not {self.memory} with h = {self.h}.")
        if not (self.scale > 0 and self.mu > 0):
            raise UserError(f"DFGN needs scale and mu above 0, not {self.scale} and {self.mu}.")

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> DFGNState:
        formats = 1 + max(f for view in self.survey.views for f in view)
        none = np.full((formats, *self.survey.values.shape), np.nan)
        return DFGNState(
            seed, 0, START, start, start[0], np.inf, none, start[0], np.inf, none, self.mu,
            np.zeros((0, start.shape[1])), np.zeros((0, *none.shape)), np.zeros((0, 0)),
        )  # fmt: skip

    def ask(self, state: DFGNState) -> Float[np.ndarray, "n dim"]:
        if state.phase == START:
            return state.start
        if state.phase == TRIAL:
            return state.center + state.coefficients @ state.directions
        offsets = self.scale * self._fresh(state)
        return state.center + (np.concatenate([offsets, -offsets]) if self.central else offsets)

    def tell(self, state: DFGNState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> DFGNState:
        told = _keep_best(replace(state, generation=state.generation + 1), x, seen)
        if not np.isfinite(told.loss):  # nothing answered yet: look again where it started
            return replace(told, phase=START)
        if state.phase == PROBE:
            return self._with_trials(told, seen)
        if state.phase == TRIAL:
            told = self._learned(told, x, seen)
        return replace(
            told,
            phase=PROBE,
            center=told.x,
            center_loss=told.loss,
            center_logprobs=told.logprobs,
            coefficients=np.zeros((0, len(told.directions))),
        )

    def _fresh(self, state: DFGNState) -> Float[np.ndarray, "h dim"]:
        """This round's new Gaussian directions."""
        return generator(state.seed, state.generation).standard_normal((self.h, len(state.center)))

    def _with_trials(self, told: DFGNState, seen: Sequence[Evaluation]) -> DFGNState:
        """Extend the linear model of the log-probabilities and propose its damped minimisers."""
        fresh = self._fresh(replace(told, generation=told.generation - 1))
        logprobs = np.stack([e.response.logprobs for e in seen])
        h = self.h
        with np.errstate(invalid="ignore"):  # -inf - -inf where an item has fewer options
            gap = logprobs[:h] - logprobs[h:] if self.central else logprobs - told.center_logprobs
        gap = np.nan_to_num(gap, nan=0.0, posinf=0.0, neginf=0.0) / (2 * self.scale if self.central else self.scale)
        directions = np.concatenate([fresh, told.directions])[: self.memory]
        slopes = np.concatenate([gap, told.slopes])[: self.memory]
        none = np.zeros((0, len(directions)))
        return self.solve(replace(told, directions=directions, slopes=slopes, coefficients=none))

    def solve(self, state: DFGNState) -> DFGNState:
        """The state that asks the damped minimisers of the loss of its model around its center, whatever the survey.

        The slopes are of log-probabilities, so a model found for one target serves any other.
        """
        damping = state.mu * 4.0 ** (np.arange(self.trials) - self.trials // 2)
        moves = np.stack([minimise(self.survey, state.center_logprobs, state.slopes, mu) for mu in damping])
        return replace(state, phase=TRIAL, coefficients=moves)

    def _learned(self, told: DFGNState, x: Float[np.ndarray, "k dim"], seen: Sequence[Evaluation]) -> DFGNState:
        """Correct the model with the move that did best, and let the damping follow it."""
        losses = _losses(seen)
        best = int(np.argmin(losses))
        if not np.isfinite(losses[best]):
            return replace(told, mu=min(16.0 * told.mu, 1e6))
        slopes = corrected(told, told.coefficients[best][None], seen[best : best + 1]).slopes
        mu = told.mu * 4.0 ** (best - self.trials // 2)
        if losses[best] >= told.center_loss:
            mu = max(mu, told.mu) * 4.0
        return replace(told, slopes=slopes, mu=float(np.clip(mu, 1e-6, 1e6)))


def corrected(state: DFGNState, coefficients: Float[np.ndarray, "k m"], seen: Sequence[Evaluation]) -> DFGNState:
    """The state whose model reproduces what these moves from its center really did, changed as little as that takes.

    Broyden's (1965) rank-one update, for several moves at once; ``coefficients`` are in units of the directions.
    """
    with np.errstate(invalid="ignore"):  # -inf - -inf where an item has fewer options
        change = np.nan_to_num(np.stack([e.response.logprobs for e in seen]) - state.center_logprobs)
    missed = change - np.tensordot(coefficients, state.slopes, axes=1)
    return replace(state, slopes=state.slopes + np.tensordot(np.linalg.pinv(coefficients), missed, axes=1))


def _losses(seen: Sequence[Evaluation]) -> Float[np.ndarray, " n"]:
    return np.array([e.loss if np.isfinite(e.loss) else np.inf for e in seen])


def _keep_best(state: DFGNState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> DFGNState:
    losses = _losses(seen)
    best = int(np.argmin(losses))
    if losses[best] >= state.loss:
        return state
    return replace(state, x=x[best], loss=float(losses[best]), logprobs=seen[best].response.logprobs)


def minimise(
    survey: Survey,
    logprobs: Float[np.ndarray, "formats items options"],
    slopes: Float[np.ndarray, "h formats items options"],
    mu: float,
    *,
    rounds: int = 12,
) -> Float[np.ndarray, " h"]:
    """Coefficients c that minimise ``loss(logprobs + c slopes) + mu |c|^2``, by reweighted Gauss-Newton.

    Each round solves the normal equations of the residuals (score minus target, per view and dimension, and the
    anchor where there is one) weighted with 1/max(|r|, 1/4 point), and halves the step until the penalised loss
    falls.
    """
    c = np.zeros(len(slopes))
    value, residuals, jacobian, weights, pull, curvature = _linearised(survey, logprobs, slopes, c)
    for _ in range(rounds):
        hessian = jacobian.T @ (weights[:, None] * jacobian) + curvature + 2 * mu * np.eye(len(c))
        gradient = jacobian.T @ (weights * residuals) + pull + 2 * mu * c
        move = -np.linalg.solve(hessian, gradient)
        penalised = value + mu * c @ c
        for _ in range(6):
            trial = _linearised(survey, logprobs, slopes, c + move)
            if trial[0] + mu * (c + move) @ (c + move) < penalised:
                break
            move = move / 2
        else:
            break
        c = c + move
        value, residuals, jacobian, weights, pull, curvature = trial
    return c


def _linearised(
    survey: Survey,
    logprobs: Float[np.ndarray, "formats items options"],
    slopes: Float[np.ndarray, "h formats items options"],
    c: Float[np.ndarray, " h"],
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Loss at c with residuals, their Jacobian and weights, and the anchor's gradient and curvature."""
    moved = logprobs + np.tensordot(c, slopes, axes=1)
    moved = moved - np.logaddexp.reduce(moved, axis=-1, keepdims=True)
    p = np.exp(moved)
    means = (p * survey.values).sum(axis=-1)
    present = ~np.isnan(survey.target)
    weights = survey.weights[present]
    views = [list(view) for view in survey.views]
    gaps = survey.constants[present] - survey.target[present]
    residuals = np.concatenate([weights @ means[v].mean(axis=0) + gaps for v in views])
    jacobian = np.concatenate(list(score_slopes(survey, moved, slopes)[:, present]))
    share = 1.0 / len(views)
    value = share * float(np.abs(residuals).sum())
    pull, curvature = np.zeros(len(c)), np.zeros((len(c), len(c)))
    if survey.anchor and survey.reference is not None:
        value += survey.anchor * survey.divergence(moved)
        gap = p - np.exp(survey.reference)  # d KL / d logit_o
        rate = survey.anchor / (p.shape[0] * p.shape[1])
        pull = rate * np.einsum("fio,hfio->h", gap, slopes)
        centred = slopes - (p * slopes).sum(axis=-1, keepdims=True)
        curvature = rate * np.einsum("fio,hfio,gfio->hg", p, centred, centred, optimize=True)
    return value, residuals, jacobian, share / np.maximum(np.abs(residuals), 0.25), pull, curvature


def score_slopes(
    survey: Survey,
    logprobs: Float[np.ndarray, "formats items options"],
    slopes: Float[np.ndarray, "h formats items options"],
) -> Float[np.ndarray, "views dims h"]:
    """Change of every score, in points, per unit of every direction, at these answers."""
    p = np.exp(logprobs)
    means = (p * survey.values).sum(axis=-1)
    # d mean / d logit_o = p_o (value_o - mean); the slopes say how logits move.
    d_means = np.einsum("fio,hfio->fih", p * (survey.values - means[..., None]), slopes)
    return np.stack([survey.weights @ d_means[list(view)].mean(axis=0) for view in survey.views])
