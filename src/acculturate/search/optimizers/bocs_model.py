"""The model of BOCS: answers that are additive in the statements of a text, and the loss of such answers."""

from __future__ import annotations

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

    def __init__(self, chosen: Bool[np.ndarray, "n dim"], answers: Float[np.ndarray, "n outputs"]) -> None:
        n = len(answers)
        self._mean = answers.mean(axis=0)
        self._answers = answers - self._mean
        least = np.inf
        for power in POWERS:
            features = _features(chosen, power)
            middle = features.mean(axis=0)
            centred = features - middle
            values, vectors = np.linalg.eigh(centred @ centred.T)
            values, turned = np.maximum(values, 0.0), vectors.T @ self._answers
            for share in RIDGES:
                ridge = share * max(values.sum() / n, 1e-12)
                kept = values / (values + ridge)
                leverage = (vectors**2) @ kept + 1 / n
                errors = (self._answers - vectors @ (kept[:, None] * turned)) / np.maximum(1 - leverage, 1e-3)[:, None]
                if (error := float((errors**2).mean())) < least:
                    least, self._power, self._ridge = error, power, ridge
                    self._middle, self._centred = middle, centred
                    self._noise = np.sqrt((errors**2).mean(axis=0))

    def effects(self, draw: np.random.Generator | None = None) -> Float[np.ndarray, "dim outputs"]:
        """Return the expected effect of every statement, or a draw from the posterior (Thompson sampling).

        A draw is made by Matheron's rule: a draw from the prior, moved by what it would have had to learn.
        """
        centred, answers, ridge = self._centred, self._answers, self._ridge
        prior = np.zeros((centred.shape[1], answers.shape[1]))
        if draw is not None:
            prior = draw.standard_normal(prior.shape) * (self._noise / np.sqrt(ridge))
            answers = answers - draw.standard_normal(answers.shape) * self._noise
        kernel = centred @ centred.T + ridge * np.eye(len(centred))
        return prior + centred.T @ np.linalg.solve(kernel, answers - centred @ prior)

    def predict(
        self, effects: Float[np.ndarray, "dim outputs"], chosen: Bool[np.ndarray, "m dim"]
    ) -> Float[np.ndarray, "m outputs"]:
        """Predict the answers after some texts from the effects of their statements."""
        return self._mean + (_features(chosen, self._power) - self._middle) @ effects


def _features(chosen: Bool[np.ndarray, "n dim"], power: float) -> Float[np.ndarray, "n dim"]:
    return chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1) ** power


def modelled_losses(survey: Loss, answers: Float[np.ndarray, "m formats items columns"]) -> Float[np.ndarray, " m"]:
    """Compute the exact loss of modelled answers, in points: distance, prices and disagreement."""
    logprobs, odds = answers[..., :-1], answers[..., -1]
    logprobs = logprobs - np.logaddexp.reduce(logprobs, axis=-1, keepdims=True)
    means = survey.means(logprobs)
    scores = survey.scoring.scores(means)
    found = survey.scoring.distances(scores.reshape(-1, scores.shape[-1])).reshape(scores.shape[:2]).mean(axis=1)
    if survey.mass_penalty:
        lost = np.stack([survey.lost(-np.logaddexp(0.0, one)).mean() for one in odds])
        found = found + survey.mass_penalty * lost
    if survey.consistency:
        found = found + survey.consistency * np.abs(survey.disagreements(means)).sum(axis=-1).mean(axis=1)
    if survey.response_style:
        found = found + survey.response_style * np.abs(survey.style_points(means)).sum(axis=-1).mean(axis=1)
    return found
