"""Responses: what a respondent answered in every format, and how far the answers of two lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Float32 has nothing below this but zero, whose logarithm would spoil every sum it takes part in.
TINY = 1e-37


@dataclass(frozen=True, eq=False)
class Response:
    """Hold what one respondent answered.

    Parameters
    ----------
    logprobs
        Natural log-probabilities renormalised over the options, in the *scale's* own option order whatever order was
        shown; -inf where an item has fewer options than the widest, NaN where the answer is missing.
    mass
        Probability, 0 to 1, that the next token was any option at all.
    """

    logprobs: Float[np.ndarray, "formats items options"]
    mass: Float[np.ndarray, "formats items"]


def joined(parts: Sequence[Response]) -> Response:
    """Join responses to the same items in different formats, which follow each other."""
    return Response(np.concatenate([part.logprobs for part in parts]), np.concatenate([part.mass for part in parts]))


def without_prior(
    logprobs: Float[np.ndarray, "*respondents formats items options"], prior: Float[np.ndarray, "formats items options"]
) -> Float[np.ndarray, "*respondents formats items options"]:
    """Subtract a log prior, and renormalise over the options; -inf (no such option) stays.

    Parameters
    ----------
    logprobs
        Log-probabilities or log-likelihoods of the options.
    prior
        What the options have where nothing is asked. A constant per item makes no difference.
    """
    there = np.isfinite(prior)
    figures = np.where(there, logprobs - np.where(there, prior, 0.0), -np.inf)
    top = figures.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # NaN: a missing answer stays missing
        return figures - top - np.log(np.exp(figures - top).sum(axis=-1, keepdims=True))


def departure(untuned: Response, response: Response) -> float:
    """Compute the mean Kullback-Leibler divergence of the next token, untuned to tuned, in nats.

    Outcomes are the options and "no option". By the chain rule it is the divergence of answering at all, plus the
    probability of answering untuned times the divergence among the options.
    """
    m, n = (np.clip(answers.mass, TINY, 1.0 - 1e-7) for answers in (untuned, response))
    answering = m * np.log(m / n) + (1 - m) * (np.log1p(-m) - np.log1p(-n))
    return float((answering + m * divergences(untuned.logprobs, response.logprobs)).mean())


def divergences(
    reference: Float[np.ndarray, "formats items options"], logprobs: Float[np.ndarray, "formats items options"]
) -> Float[np.ndarray, "formats items"]:
    """Compute the Kullback-Leibler divergence of each answer from the reference's, in nats."""
    there = np.isfinite(reference)
    gap = np.where(there, reference, 0.0) - np.where(there, logprobs, 0.0)
    return (np.where(there, np.exp(reference), 0.0) * gap).sum(axis=-1)
