"""The model of BOCS: answers that are additive in the statements of a text, and the loss of such answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from acculturate.search.optimizers.dfgn_model import structured
from acculturate.survey.loss import Loss
from acculturate.survey.response import Response

POWERS = (0.0, 0.5, 1.0)
"""How a statement's effect fades among others: it is divided by the number of statements to this power."""
RIDGES = tuple(np.geomspace(0.01, 100.0, 9))
"""Regularisations that are tried, as shares of the mean squared length of a text's features."""
FLOOR = -30.0
"""Log-probability below which an option counts as impossible: a scale's missing options are, and stay so."""


def modelled(response: Response) -> Float[np.ndarray, "formats items columns"]:
    """Tabulate what the model predicts of a response: log-probabilities and, last, log-odds of no answer."""
    return np.maximum(structured(response), FLOOR)


@dataclass(frozen=True, eq=False)
class AdditiveModel:
    """Predict answers as a mean plus one effect for every statement of a text, by ridge regression.

    How strongly effects fade in longer texts, and the regularisation, are those with the least error when each text in
    turn is predicted from all others.

    Parameters
    ----------
    chosen
        Statements of every text that was asked.
    answers
        What was answered, as ``modelled`` gives it, flat.
    """

    chosen: Bool[np.ndarray, "n dim"]
    answers: Float[np.ndarray, "n outputs"]

    def __post_init__(self) -> None:
        n = len(self.answers)
        answers = self.answers - self.answers.mean(axis=0)
        found = (np.inf, 0.0, 1.0, np.zeros(0))
        for power in POWERS:
            features = _features(self.chosen, power)
            centred = features - features.mean(axis=0)
            values, vectors = np.linalg.eigh(centred @ centred.T)
            values, turned = np.maximum(values, 0.0), vectors.T @ answers
            for share in RIDGES:
                ridge = share * max(values.sum() / n, 1e-12)
                kept = values / (values + ridge)
                leverage = (vectors**2) @ kept + 1 / n
                errors = (answers - vectors @ (kept[:, None] * turned)) / np.maximum(1 - leverage, 1e-3)[:, None]
                error = float((errors**2).mean())
                if error < found[0]:
                    found = error, power, ridge, (errors**2).mean(axis=0)
        _, power, ridge, variances = found
        features = _features(self.chosen, power)
        object.__setattr__(self, "_power", power)
        object.__setattr__(self, "_ridge", ridge)
        object.__setattr__(self, "_noise", np.sqrt(variances))
        object.__setattr__(self, "_middle", features.mean(axis=0))
        object.__setattr__(self, "_centred", features - features.mean(axis=0))

    def effects(self, draw: np.random.Generator | None = None) -> Float[np.ndarray, "dim outputs"]:
        """Return the expected effect of every statement, or a draw from the posterior (Thompson sampling).

        A draw is made by Matheron's rule: a draw from the prior, moved by what it would have had to learn.
        """
        centred, answers = self._centred, self.answers - self.answers.mean(axis=0)  # type: ignore[attr-defined]
        ridge, noise = self._ridge, self._noise  # type: ignore[attr-defined]
        prior = np.zeros((centred.shape[1], answers.shape[1]))
        if draw is not None:
            prior = draw.standard_normal(prior.shape) * (noise / np.sqrt(ridge))
            answers = answers - draw.standard_normal(answers.shape) * noise
        kernel = centred @ centred.T + ridge * np.eye(len(centred))
        return prior + centred.T @ np.linalg.solve(kernel, answers - centred @ prior)

    def predict(
        self, effects: Float[np.ndarray, "dim outputs"], chosen: Bool[np.ndarray, "m dim"]
    ) -> Float[np.ndarray, "m outputs"]:
        """Predict the answers after some texts from the effects of their statements."""
        features = _features(chosen, self._power)  # type: ignore[attr-defined]
        return self.answers.mean(axis=0) + (features - self._middle) @ effects  # type: ignore[attr-defined]


def _features(chosen: Bool[np.ndarray, "n dim"], power: float) -> Float[np.ndarray, "n dim"]:
    return chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1) ** power


def modelled_losses(survey: Loss, answers: Float[np.ndarray, "m formats items columns"]) -> Float[np.ndarray, " m"]:
    """Compute the exact loss of modelled answers, in points: distance, price of lost mass and disagreement."""
    logprobs, odds = answers[..., :-1], answers[..., -1]
    logprobs = logprobs - np.logaddexp.reduce(logprobs, axis=-1, keepdims=True)
    by_format = (np.exp(logprobs) * survey.values).sum(axis=-1)
    means = np.stack([by_format[:, list(view)].mean(axis=1) for view in survey.views], axis=1)
    losses = np.abs(np.nan_to_num(means @ survey.weights.T + survey.constants - survey.targets)).sum(axis=-1)
    found = losses.mean(axis=1)
    if survey.mass_penalty:
        lost = np.stack([survey.lost(-np.logaddexp(0.0, one)).mean() for one in odds])
        found = found + survey.mass_penalty * lost
    if survey.consistency:
        shift = means - survey.reference_means
        apart = np.abs((shift - shift.mean(axis=1, keepdims=True)) * survey.item_points).sum(axis=-1)
        found = found + survey.consistency * apart.mean(axis=1)
    return found
