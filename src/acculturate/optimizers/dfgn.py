"""DFGN: random-subspace derivative-free Gauss-Newton on the structured response.

A population search learns one number from a candidate; a survey response is hundreds (the log-probability of
every option of every item in every format), and the loss is a known, smooth function of them up to the absolute
value. Each round probes a few random directions, fits a linear model of the *log-probabilities* in those
directions, and minimises the exact loss of that model. After Cartis & Roberts, *A derivative-free Gauss-Newton
method* (2019), and *Scalable subspace methods for derivative-free nonlinear least-squares* (2023); here the model
is of the log-probabilities rather than of the residuals, because scores saturate where log-probabilities do not,
and the L1 loss is met by reweighting (each residual counts with the inverse of its size).
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
    """``x``, ``loss``, ``logprobs``: the best candidate seen. ``center``: the point this round's probes surround.

    ``scale``: probe length s; ``mu``: damping; ``step``: the last accepted move. ``directions``: rows Z of this
    round, and ``coefficients``: its trial points in units of ``scale * directions``; both empty while probing.
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
    scale: float
    mu: float
    step: Float[np.ndarray, " dim"]
    directions: Float[np.ndarray, "h dim"]
    coefficients: Float[np.ndarray, "k h"]


@dataclass(frozen=True)
class DFGN:
    """The structured search. Needs the survey's arithmetic, hence expected scores (not sampled answers).

    ``h``: directions per round, each costs two evaluations (8..64). ``scale``: first probe length in embedding
    standard deviations per coordinate. ``smallest``: floor of the probe length; bfloat16 needs about 1, because
    its rounding moves scores by 1 to 2 points. ``mu``: first damping, points per squared coefficient.
    ``trials``: damping values tried per round, a factor of four apart. ``shrink``, ``grow``: change of the probe
    length after a round without and with success.
    """

    survey: Survey
    h: int = 16
    scale: float = 0.5
    smallest: float = 0.02
    mu: float = 1.0
    trials: int = 6
    shrink: float = 0.5
    grow: float = 1.2

    def __post_init__(self) -> None:
        if self.h < 1 or self.trials < 1:
            raise UserError(f"DFGN needs h and trials of at least 1, not {self.h} and {self.trials}.")
        if not (self.scale > 0 and self.smallest > 0 and self.mu > 0):
            raise UserError("DFGN needs scale, smallest and mu above 0.")
        if not (0 < self.shrink < 1 <= self.grow):
            raise UserError(f"DFGN needs 0 < shrink < 1 <= grow, not {self.shrink} and {self.grow}.")

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> DFGNState:
        dim = start.shape[1]
        return DFGNState(
            seed, 0, START, start, start[0], np.inf, np.zeros((0, 0, 0)), start[0], np.inf, self.scale, self.mu,
            np.zeros(dim), np.zeros((0, dim)), np.zeros((0, 0)),
        )  # fmt: skip

    def ask(self, state: DFGNState) -> Float[np.ndarray, "n dim"]:
        if state.phase == START:
            return state.start
        if state.phase == PROBE:
            offsets = state.scale * self._directions(state)
            return np.concatenate([state.center + offsets, state.center - offsets])
        return state.center + state.scale * state.coefficients @ state.directions

    def tell(self, state: DFGNState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> DFGNState:
        told = _keep_best(replace(state, generation=state.generation + 1), x, seen)
        if not np.isfinite(told.loss):  # nothing answered yet: look again where it started
            return replace(told, phase=START)
        if state.phase == PROBE:
            return self._with_trials(told, state, seen)
        if state.phase == TRIAL:
            told = self._adapted(told, seen)
        blank = np.zeros((0, x.shape[1])), np.zeros((0, 0))
        return replace(
            told,
            phase=PROBE,
            center=told.x,
            center_loss=told.loss,
            directions=blank[0],
            coefficients=blank[1],
        )

    def _directions(self, state: DFGNState) -> Float[np.ndarray, "h dim"]:
        """Gaussian directions; one of them the last accepted move, where progress was."""
        h = min(self.h, len(state.center))
        z = generator(state.seed, state.generation).standard_normal((h, len(state.center)))
        length = np.linalg.norm(state.step)
        if length > 0:
            z[0] = state.step * (np.sqrt(len(state.center)) / length)
        return z

    def _with_trials(self, told: DFGNState, state: DFGNState, seen: Sequence[Evaluation]) -> DFGNState:
        """Fit the linear model of the log-probabilities and propose its damped minimisers."""
        h = len(seen) // 2
        logprobs = np.stack([e.response.logprobs for e in seen])
        with np.errstate(invalid="ignore"):  # -inf - -inf where an item has fewer options
            slopes = np.nan_to_num(0.5 * (logprobs[:h] - logprobs[h:]), nan=0.0, posinf=0.0, neginf=0.0)
        damping = told.mu * 4.0 ** (np.arange(self.trials) - self.trials // 2)
        coefficients = np.stack([minimise(self.survey, state.logprobs, slopes, mu) for mu in damping])
        return replace(told, phase=TRIAL, directions=self._directions(state), coefficients=coefficients)

    def _adapted(self, told: DFGNState, seen: Sequence[Evaluation]) -> DFGNState:
        """Move the damping to the trial that did best, and the probe length with success or failure."""
        losses = _losses(seen)
        best = int(np.argmin(losses))
        mu = float(np.clip(told.mu * 4.0 ** (best - self.trials // 2), 1e-6, 1e6))
        if told.loss < told.center_loss:
            step = told.x - told.center
            return replace(told, mu=mu, step=step, scale=min(told.scale * self.grow, 4 * self.scale))
        return replace(told, mu=4.0 * told.mu, scale=max(told.scale * self.shrink, self.smallest))


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
    # d mean / d logit_o = p_o (value_o - mean); the slopes say how logits move with c.
    d_means = np.einsum("fio,hfio->fih", p * (survey.values - means[..., None]), slopes)
    present = ~np.isnan(survey.target)
    weights = survey.weights[present]
    views = [list(view) for view in survey.views]
    gaps = survey.constants[present] - survey.target[present]
    residuals = np.concatenate([weights @ means[v].mean(axis=0) + gaps for v in views])
    jacobian = np.concatenate([weights @ d_means[v].mean(axis=0) for v in views])
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
