"""From option probabilities to dimension scores and the loss; pure functions of arrays.

The words: a *response* is what a respondent answered in every format; a *view* is the tuple of formats whose
expected answers are averaged before they are scored (the two option orders of one presentation, when the order
is balanced); the loss is the L1 distance of the paper (arXiv:2503.16094), averaged over views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

# Float32 has nothing below this but zero, whose logarithm would spoil every sum it takes part in.
TINY = 1e-37


@dataclass(frozen=True, eq=False)
class Response:
    """What one respondent answered.

    ``logprobs``: natural log-probabilities renormalised over the options, in the *scale's* own option order
    whatever order was shown; -inf where an item has fewer options than the widest, NaN where the answer is
    missing. ``mass``: probability, 0..1, that the next token was any option at all.
    """

    logprobs: Float[np.ndarray, "formats items options"]
    mass: Float[np.ndarray, "formats items"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One candidate's response, its dimension scores in every view, its loss and the named terms of the loss.

    ``anchored``: points of the loss that only hold it near the reference answers, whatever the terms are named.
    """

    response: Response
    scores: Float[np.ndarray, "views dims"]
    loss: float
    terms: Mapping[str, float] = field(default_factory=dict)
    anchored: float = 0.0

    @property
    def unanchored(self) -> float:
        """The loss as a measure of the candidate, in points: the distance and the price of lost answers."""
        return self.loss - self.anchored


@dataclass(frozen=True, eq=False)
class Scoring:
    """Turn item means into dimension scores, and those into a distance: the linear part of ``Survey``.

    Scores are ``weights @ means + constants`` (VSM 2013 manual, index formulas), in points. A dimension that the
    ``target`` lacks is NaN there and takes no part in a distance.
    """

    weights: Float[np.ndarray, "dims items"]
    constants: Float[np.ndarray, "dims"]
    target: Float[np.ndarray, "dims"]

    def scores(self, means: Float[np.ndarray, "*batch items"]) -> Float[np.ndarray, "*batch dims"]:
        """Dimension scores of item means, in points."""
        return dimension_scores(means, self.weights, self.constants)

    def distances(self, scores: Float[np.ndarray, "views dims"]) -> Float[np.ndarray, "views"]:
        """L1 distance to the target in every view, in points (arXiv:2503.16094)."""
        present = ~np.isnan(self.target)
        return np.abs(scores[:, present] - self.target[present]).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Survey:
    """The arithmetic of one questionnaire against one target.

    Scores are ``weights @ means + constants`` (VSM 2013 manual, index formulas). A dimension that needs a
    missing item is NaN; a dimension that the target lacks is NaN there and takes no part in the loss.
    ``target`` is one for all views, or one per view where the views belong to several countries.
    ``anchor``: points of loss per nat of Kullback-Leibler divergence from the answers in ``reference`` (the
    untuned model's), averaged over formats and items; 0 leaves the paper's loss. ``mass_penalty``: points of loss per
    nat of answer mass lost against ``reference_mass`` (the untuned model's), averaged likewise; a gain costs nothing.
    """

    values: Float[np.ndarray, "items options"]
    weights: Float[np.ndarray, "dims items"]
    constants: Float[np.ndarray, "dims"]
    target: Float[np.ndarray, "dims"] | Float[np.ndarray, "views dims"]
    views: tuple[tuple[int, ...], ...]
    anchor: float = 0.0
    reference: Float[np.ndarray, "formats items options"] | None = None
    mass_penalty: float = 0.0
    reference_mass: Float[np.ndarray, "formats items"] | None = None

    def format_means(self, logprobs: Float[np.ndarray, "formats items options"]) -> Float[np.ndarray, "formats items"]:
        """Expected option value per format and item (NaN: missing)."""
        return np.sum(np.exp(logprobs) * self.values, axis=-1)

    def means(self, logprobs: Float[np.ndarray, "formats items options"]) -> Float[np.ndarray, "views items"]:
        """Expected item values, averaged over the formats of each view."""
        by_format = self.format_means(logprobs)
        return np.stack([by_format[list(view)].mean(axis=0) for view in self.views])

    def scores(self, logprobs: Float[np.ndarray, "formats items options"]) -> Float[np.ndarray, "views dims"]:
        """Dimension scores of each view, in points."""
        return dimension_scores(self.means(logprobs), self.weights, self.constants)

    def losses(self, scores: Float[np.ndarray, "views dims"]) -> Float[np.ndarray, "views"]:
        """L1 distance to the target in every view, over the dimensions the target has, in points."""
        if self.target.ndim == 1:
            return self.scoring.distances(scores)
        each = (replace(self, target=own).scoring for own in self.target)
        return np.concatenate([one.distances(row[None]) for row, one in zip(scores, each, strict=True)])

    @property
    def scoring(self) -> Scoring:
        """The linear part, for one target."""
        return Scoring(self.weights, self.constants, self.target)

    @property
    def targets(self) -> Float[np.ndarray, "views dims"]:
        """The target of every view."""
        return np.broadcast_to(self.target, (len(self.views), self.target.shape[-1]))

    def evaluate(self, response: Response) -> Evaluation:
        """Score a response: loss is the mean over views, infinite where an answer it needs is missing."""
        scores = self.scores(response.logprobs)
        survey = float(np.nan_to_num(self.losses(scores).mean(), nan=np.inf, posinf=np.inf))
        terms = {"survey": survey}
        if self.anchor:
            terms["anchor"] = self.anchor * self.divergence(response.logprobs)
        if self.mass_penalty:
            terms["mass"] = self.mass_penalty * float(self.lost(np.log(np.maximum(response.mass, TINY))).mean())
        loss = sum(terms.values())
        return Evaluation(response, scores, loss if np.isfinite(loss) else np.inf, terms, terms.get("anchor", 0.0))

    def lost(self, log_mass: Float[np.ndarray, "formats items"]) -> Float[np.ndarray, "formats items"]:
        """Nats of answer mass lost against the reference; 0 where the mass grew."""
        if self.reference_mass is None:
            raise ValueError("a penalty on lost answer mass needs the reference's mass")
        return np.maximum(np.log(np.maximum(self.reference_mass, TINY)) - log_mass, 0.0)

    def divergence(self, logprobs: Float[np.ndarray, "formats items options"]) -> float:
        """Mean Kullback-Leibler divergence of the answers from the reference's, in nats."""
        if self.reference is None:
            raise ValueError("an anchored loss needs reference answers")
        return float(_divergences(self.reference, logprobs).mean())


def departure(untuned: Response, response: Response) -> float:
    """Compute the mean Kullback-Leibler divergence of the next token, untuned to tuned, in nats.

    Outcomes are the options and "no option". By the chain rule it is the divergence of answering at all, plus the
    probability of answering untuned times the divergence among the options.
    """
    m, n = (np.clip(one.mass, TINY, 1.0 - 1e-7) for one in (untuned, response))
    answering = m * np.log(m / n) + (1 - m) * (np.log1p(-m) - np.log1p(-n))
    return float((answering + m * _divergences(untuned.logprobs, response.logprobs)).mean())


def _divergences(
    reference: Float[np.ndarray, "formats items options"], logprobs: Float[np.ndarray, "formats items options"]
) -> Float[np.ndarray, "formats items"]:
    there = np.isfinite(reference)
    gap = np.where(there, reference, 0.0) - np.where(there, logprobs, 0.0)
    return (np.where(there, np.exp(reference), 0.0) * gap).sum(axis=-1)


def stacked(surveys: Sequence[Survey], formats: int) -> Survey:
    """One survey out of several that ask the same ``formats`` formats: their formats and views follow each other.

    Its loss is the mean of theirs when they have equally many views.
    """
    references = [survey.reference for survey in surveys if survey.reference is not None]
    masses = [survey.reference_mass for survey in surveys if survey.reference_mass is not None]
    return replace(
        surveys[0],
        target=np.concatenate([survey.targets for survey in surveys]),
        views=tuple(
            tuple(k * formats + form for form in view) for k, survey in enumerate(surveys) for view in survey.views
        ),
        reference=np.concatenate(references) if references else None,
        reference_mass=np.concatenate(masses) if masses else None,
    )


def dimension_scores(
    means: Float[np.ndarray, "*batch items"],
    weights: Float[np.ndarray, "dims items"],
    constants: Float[np.ndarray, "dims"],
) -> Float[np.ndarray, "*batch dims"]:
    """Linear dimension scores in points; only the items a dimension uses can make it missing (NaN)."""
    used = weights != 0
    # NaN * 0 is NaN, which would let an unused missing item spoil every dimension.
    filled = np.where(np.isnan(means), 0.0, means)
    lacking = (np.isnan(means)[..., None, :] & used).any(axis=-1)
    return np.where(lacking, np.nan, filled @ weights.T + constants)
