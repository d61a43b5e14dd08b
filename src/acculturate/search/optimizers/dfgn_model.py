"""The model of DFGN: answers that are linear in a move, and the exact loss of such answers with its derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.survey.loss import Loss
from acculturate.survey.response import TINY, Response


def structured(response: Response) -> Float[np.ndarray, "formats items columns"]:
    """Tabulate what DFGN models of a response: log-probabilities of the options and, last, log-odds of no answer.

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
    """Find coefficients c that minimise ``loss(answers + c slopes) + mu |c|^2``, by reweighted Gauss-Newton.

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
    """Hold the loss at some coefficients, with what a Gauss-Newton step takes.

    Parameters
    ----------
    loss
        The exact loss of the modelled answers, in points.
    residuals, jacobian, weights
        Score minus target by view and dimension, its derivatives by coefficient, and the weights of the L1 loss.
    pull, curvature
        Gradient and curvature of the other terms of the loss.
    """

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
    weights = share / np.maximum(np.abs(residuals), 0.25)
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
    for extra, extra_slopes, rate in _other_residuals(survey, means, logprobs, slopes):
        loss += share * rate * float(np.abs(extra).sum())
        pulls = share * rate / np.maximum(np.abs(extra), 0.25)
        pull += extra_slopes.T @ (pulls * extra)
        curvature += extra_slopes.T @ (pulls[:, None] * extra_slopes)
    return LinearModel(loss, residuals, jacobian, weights, pull, curvature)


def _other_residuals(
    survey: Loss,
    means: Float[np.ndarray, "formats items"],
    logprobs: Float[np.ndarray, "formats items options"],
    slopes: Float[np.ndarray, "h formats items options"],
) -> Iterator[tuple[Float[np.ndarray, " r"], Float[np.ndarray, "r h"], float]]:
    """Yield residuals that are no distance, in points, with their change per unit of every direction and their rate.

    What items move apart between views, and what a response style moves the scores.
    """
    if not (survey.consistency or survey.response_style):
        return
    by_view = np.stack([means[list(view)].mean(axis=0) for view in survey.views])
    mean_slopes = _mean_slopes(survey, logprobs, slopes)
    if survey.consistency:
        apart = survey.disagreements(by_view)
        apart_slopes = (mean_slopes - mean_slopes.mean(axis=0)) * survey.item_points[:, None]
        yield apart.ravel(), apart_slopes.reshape(apart.size, -1), survey.consistency
    if survey.response_style and survey.style_weights is not None:
        styled = survey.style_points(by_view)
        styled_slopes = np.einsum("di,vih->vdh", survey.style_weights, mean_slopes)
        styled_slopes[np.isnan(survey.targets)] = 0.0
        yield styled.ravel(), styled_slopes.reshape(styled.size, -1), survey.response_style


def score_slopes(
    survey: Loss,
    logprobs: Float[np.ndarray, "formats items options"],
    slopes: Float[np.ndarray, "h formats items options"],
) -> Float[np.ndarray, "views dims h"]:
    """Compute the change of every score, in points, per unit of every direction, at these answers."""
    return np.einsum("di,vih->vdh", survey.weights, _mean_slopes(survey, logprobs, slopes))


def _mean_slopes(
    survey: Loss,
    logprobs: Float[np.ndarray, "formats items options"],
    slopes: Float[np.ndarray, "h formats items options"],
) -> Float[np.ndarray, "views items h"]:
    """Compute the change of every item's expected answer in every view, per unit of every direction."""
    p = np.exp(logprobs)
    means = (p * survey.values).sum(axis=-1)
    # d mean / d logit_o = p_o (value_o - mean); the slopes say how logits move.
    d_means = np.einsum("fio,hfio->fih", p * (survey.values - means[..., None]), slopes)
    return np.stack([d_means[list(view)].mean(axis=0) for view in survey.views])
