"""The loss of a response: its distance to a target, with the penalties that hold a search near what makes sense.

A *view* is the tuple of formats whose expected answers are averaged before they are scored (the two option orders of
one presentation, when the order is balanced). The loss is the L1 distance of the paper (arXiv:2503.16094), averaged
over views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from acculturate.survey.response import TINY, Response, divergences
from acculturate.survey.scoring import Scoring, dimension_scores
from acculturate.survey.views import views_alone


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Hold what a search learns of one candidate.

    Parameters
    ----------
    response
        The answers.
    scores
        Dimension scores in every view, in points.
    loss
        What the search minimises, in points; infinite where an answer it needs is missing.
    terms
        Parts of the loss by name, as the journal keeps them.
    regularisation
        Points of the loss that are no distance and no price, but hold the search to what makes sense: the anchor, and
        the disagreement between formats.
    objectives
        What a search for several objectives minimises in place of the loss; empty elsewhere.
    formats
        Places, among the trained formats, of those that were asked; None: all of them.
    """

    response: Response
    scores: Float[np.ndarray, "views dims"]
    loss: float
    terms: Mapping[str, float] = field(default_factory=dict)
    regularisation: float = 0.0
    objectives: tuple[float, ...] = ()
    formats: tuple[int, ...] | None = None

    @property
    def selection_loss(self) -> float:
        """Return the loss by which candidates are chosen, in points: the distance and the price of lost answers."""
        return self.loss - self.regularisation


@dataclass(frozen=True, eq=False)
class Loss:
    """Score the responses to one questionnaire against one target.

    Scores are ``weights @ means + constants`` (VSM 2013 manual, index formulas), in points. A dimension that needs a
    missing item is NaN.

    Parameters
    ----------
    values
        Value of every option, in the scale's own order.
    weights, constants
        The linear scores, in points per unit of item mean and in points.
    target
        Scores to reach, in points: one for all views, or one per view where the views belong to several countries. A
        dimension that the target lacks is NaN there and takes no part in the loss.
    views
        Indices of the formats whose item means are averaged before they are scored.
    anchor
        Points per nat of Kullback-Leibler divergence from the ``reference`` answers (the untuned model's), averaged
        over formats and items; 0 leaves the paper's loss.
    mass_penalty
        Points per nat of answer mass lost against ``reference_mass`` (the untuned model's), averaged likewise; a gain
        costs nothing.
    consistency
        Share of the disagreement between views that is added: how differently an item's expected answer moves away from
        the ``reference`` in them, in points (``disagreements``).
    response_style
        Share of the points that is added by which a response style moves the scores away from the ``reference``
        (``style_points``). At 1 nothing is gained by shifts that all items of a scale share.
    style_weights
        Points per unit of the mean shift of an item's scale (``instrument.scale_averages``).
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
    consistency: float = 0.0
    response_style: float = 0.0
    style_weights: Float[np.ndarray, "dims items"] | None = None

    def format_means(
        self, logprobs: Float[np.ndarray, "*batch formats items options"]
    ) -> Float[np.ndarray, "*batch formats items"]:
        """Compute the expected option value per format and item (NaN: missing)."""
        return np.sum(np.exp(logprobs) * self.values, axis=-1)

    def means(
        self, logprobs: Float[np.ndarray, "*batch formats items options"]
    ) -> Float[np.ndarray, "*batch views items"]:
        """Average expected item values over the formats of each view."""
        by_format = self.format_means(logprobs)
        return np.stack([by_format[..., list(view), :].mean(axis=-2) for view in self.views], axis=-2)

    def scores(self, logprobs: Float[np.ndarray, "formats items options"]) -> Float[np.ndarray, "views dims"]:
        """Compute the dimension scores of each view, in points."""
        return dimension_scores(self.means(logprobs), self.weights, self.constants)

    def losses(self, scores: Float[np.ndarray, "views dims"]) -> Float[np.ndarray, "views"]:
        """Compute the L1 distance to the target in every view, over the dimensions the target has, in points."""
        if self.target.ndim == 1:
            return self.scoring.distances(scores)
        by_view = (replace(self, target=own).scoring for own in self.target)
        return np.concatenate([scoring.distances(row[None]) for row, scoring in zip(scores, by_view, strict=True)])

    @property
    def scoring(self) -> Scoring:
        """Return the linear part, for one target."""
        return Scoring(self.weights, self.constants, self.target)

    @property
    def targets(self) -> Float[np.ndarray, "views dims"]:
        """Repeat the target for every view."""
        return np.broadcast_to(self.target, (len(self.views), self.target.shape[-1]))

    def on(self, views: Sequence[int]) -> Loss:
        """Keep some of the views, by their places."""
        formats, renumbered = views_alone(self.views, views)
        return replace(
            self,
            target=self.target if self.target.ndim == 1 else self.target[list(views)],
            views=renumbered,
            reference=None if self.reference is None else self.reference[formats],
            reference_mass=None if self.reference_mass is None else self.reference_mass[formats],
        )

    def evaluate(self, response: Response) -> Evaluation:
        """Score a response: the loss is the mean over views, infinite where an answer it needs is missing."""
        scores = self.scores(response.logprobs)
        distance = float(np.nan_to_num(self.losses(scores).mean(), nan=np.inf, posinf=np.inf))
        terms = {"survey": distance}
        if self.anchor:
            terms["anchor"] = self.anchor * self.divergence(response.logprobs)
        if self.mass_penalty:
            terms["mass"] = self.mass_penalty * float(self.lost(np.log(np.maximum(response.mass, TINY))).mean())
        if self.consistency:
            apart = np.abs(self.disagreements(self.means(response.logprobs))).sum(axis=1).mean()
            terms["consistency"] = self.consistency * float(apart)
        if self.response_style:
            styled = np.abs(self.style_points(self.means(response.logprobs))).sum(axis=1).mean()
            terms["response_style"] = self.response_style * float(styled)
        loss = sum(terms.values())
        regularisation = terms.get("anchor", 0.0) + terms.get("consistency", 0.0)
        return Evaluation(response, scores, loss if np.isfinite(loss) else np.inf, terms, regularisation)

    @cached_property
    def reference_means(self) -> Float[np.ndarray, "views items"]:
        """Expected option values of the reference in every view."""
        if self.reference is None:
            raise ValueError("a loss with consistency or a price on response style needs reference answers")
        return self.means(self.reference)

    @cached_property
    def item_points(self) -> Float[np.ndarray, " items"]:
        """Points by which a unit of each item's mean moves the scores that the target has."""
        present = ~np.isnan(self.targets[0])
        return np.abs(self.weights[present]).sum(axis=0)

    def disagreements(self, means: Float[np.ndarray, "*batch views items"]) -> Float[np.ndarray, "*batch views items"]:
        """Compute by how many points each item moves away from the reference otherwise than in the mean of all views.

        What moves an item in one way of asking and not in another moves no opinion on it.
        """
        shift = means - self.reference_means
        return (shift - shift.mean(axis=-2, keepdims=True)) * self.item_points

    def style_points(self, means: Float[np.ndarray, "*batch views items"]) -> Float[np.ndarray, "*batch views dims"]:
        """Compute by how many points the mean shift of each scale's items, away from the reference, moves the scores.

        A respondent who answers all questions of a kind more strongly has changed a way of answering and no opinion.
        Dimensions that the target lacks count as 0.
        """
        if self.style_weights is None:
            raise ValueError("a price on response style needs the weights of scale means")
        moved = dimension_scores(means - self.reference_means, self.style_weights, np.zeros_like(self.constants))
        return np.where(np.isnan(self.targets), 0.0, moved)

    def lost(self, log_mass: Float[np.ndarray, "formats items"]) -> Float[np.ndarray, "formats items"]:
        """Compute the nats of answer mass lost against the reference; 0 where the mass grew."""
        if self.reference_mass is None:
            raise ValueError("a penalty on lost answer mass needs the reference's mass")
        return np.maximum(np.log(np.maximum(self.reference_mass, TINY)) - log_mass, 0.0)

    def divergence(self, logprobs: Float[np.ndarray, "formats items options"]) -> float:
        """Average the Kullback-Leibler divergence of the answers from the reference's, in nats."""
        if self.reference is None:
            raise ValueError("an anchored loss needs reference answers")
        return float(divergences(self.reference, logprobs).mean())


def stacked(losses: Sequence[Loss], formats: int) -> Loss:
    """Join losses of questionnaires in the same ``formats`` formats: their formats and views follow each other.

    The joint loss is the mean of the losses when they have equally many views.
    """
    references = [loss.reference for loss in losses if loss.reference is not None]
    masses = [loss.reference_mass for loss in losses if loss.reference_mass is not None]
    return replace(
        losses[0],
        target=np.concatenate([loss.targets for loss in losses]),
        views=tuple(tuple(k * formats + form for form in view) for k, loss in enumerate(losses) for view in loss.views),
        reference=np.concatenate(references) if references else None,
        reference_mass=np.concatenate(masses) if masses else None,
    )
