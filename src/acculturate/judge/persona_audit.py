"""Test whether naming a country moves a model's answers, and moves them as published scores differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.errors import UserError
from acculturate.judge import ranks
from acculturate.judge.persona import persona
from acculturate.judge.statistics import scores_of, share_in_words, signed
from acculturate.model.answers.ways import Ask
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.questionnaire import questionnaire as lay_out
from acculturate.survey.reliability import mean_of_known, shares_of_scale
from acculturate.survey.response import Response
from acculturate.survey.targets import Target

PERSONA_SMALL = 0.1
"""Spread of persona scores, as share of the published spread, under which naming a country moves nothing."""
PERSONA_P = 0.05


@dataclass(frozen=True)
class PersonaAudit:
    """Hold the figures of the persona test, and the sentence that explains them.

    Parameters
    ----------
    countries, formats
        Whom the model was asked to be, and in which presentations.
    shift
        Mean absolute change of an item mean against no persona, as share of the scale.
    spread, published_spread
        Standard deviation of a dimension's score between the countries, mean over dimensions, in points.
    towards
        Share of scores that the persona brings nearer to its own country's.
    agreement, p
        Mean correlation with the published scores across countries, and how often relabelled countries agree as well.
    by_dimension
        The same correlation for each dimension.
    """

    countries: tuple[str, ...]
    formats: tuple[str, ...]
    shift: float
    spread: float
    published_spread: float
    towards: float
    agreement: float
    p: float
    by_dimension: dict[str, float]
    sentence: str

    @property
    def sensitivity(self) -> float:
        """Compare the spread of persona scores with the published one: 0 is deaf, 1 differs as much as countries."""
        return self.spread / self.published_spread if self.published_spread else math.nan


def personas_in_words(
    ask: Ask,
    questionnaire: Questionnaire,
    response: Response,
    agreement: Sequence[float],
    targets: Sequence[Target],
) -> tuple[PersonaAudit | None, tuple[str, ...]]:
    """Run the persona test where there are targets, and give its sentence, or the reason why it could not be run."""
    if not targets:
        return None, ()
    try:
        figures = persona_test(ask, questionnaire, response, agreement, targets)
    except UserError as error:
        return None, (f"Personas were not tested: {error}",)
    return figures, (figures.sentence,)


def persona_test(
    ask: Ask,
    questionnaire: Questionnaire,
    response: Response,
    agreement: Sequence[float],
    targets: Sequence[Target],
) -> PersonaAudit:
    """Ask as people from several countries, and compare the scores with the published ones.

    Parameters
    ----------
    ask
        Puts a questionnaire and gives the response.
    questionnaire, response
        What was asked without a persona, and the answers.
    agreement
        Per view of the questionnaire; the two with the highest are asked again.
    targets
        The countries, with their published scores.

    Raises
    ------
    UserError
        Where the model cannot be asked with a persona, as without a place for a system message.
    """
    instrument = questionnaire.instrument
    order = sorted(range(len(agreement)), key=lambda i: -np.nan_to_num(agreement[i], nan=-2.0))
    best = [questionnaire.formats[questionnaire.views[i][0]] for i in order[:2]]
    kept = [row for i in order[:2] for row in questionnaire.views[i]]
    impersonal = Response(response.logprobs[kept], response.mass[kept])
    few = lay_out(instrument, best, balanced=len(questionnaire.views[0]) > 1)
    published = np.stack([target.vector(instrument.dimension_ids) for target in targets])
    responses = [ask(few, persona(target.country)) for target in targets]
    scores = np.stack([scores_of(instrument, one) for one in responses])
    means = shares_of_scale(instrument, impersonal)
    shift = mean_of_known(mean_of_known(np.abs(shares_of_scale(instrument, one) - means).ravel()) for one in responses)
    nearer = np.abs(scores - published) < np.abs(scores_of(instrument, impersonal) - published)
    there = ~np.isnan(scores - published)
    towards = float(nearer[there].mean()) if there.any() else math.nan
    test = ranks.permutation_test(scores, published, instrument.dimension_ids)
    spread, published_spread = _between(scores), _between(published)
    return PersonaAudit(
        countries=tuple(target.country for target in targets),
        formats=tuple(form.presentation for form in best),
        shift=shift,
        spread=spread,
        published_spread=published_spread,
        towards=towards,
        agreement=test.statistic,
        p=test.p,
        by_dimension=dict(test.by_dimension),
        sentence=_sentence(len(targets), spread, published_spread, towards, test),
    )


def _sentence(
    countries: int, spread: float, published_spread: float, towards: float, test: ranks.PermutationTest
) -> str:
    if math.isnan(spread):
        return "Personas left too many answers missing to compare countries."
    differences = (
        f"the scores of {countries} countries differ by {spread:.1f} points (published ones by {published_spread:.0f})"
    )
    if not spread >= PERSONA_SMALL * published_spread:
        return f"Naming a country moves next to nothing: {differences}."
    p = "unknown" if math.isnan(test.p) else f"{test.p:.3f}"
    follows = f"mean correlation {signed(test.statistic)}, p = {p}"
    nearer = f"{share_in_words(towards)} of the scores come nearer to their own country's"
    if test.p <= PERSONA_P:
        how = "moves the scores as published ones differ"
    else:
        how = "moves the scores, but not as published ones differ"
    return f"Naming a country {how} ({follows}): {differences}, {nearer}."


def _between(scores: Float[np.ndarray, "countries dims"]) -> float:
    """Average over dimensions the standard deviation between countries."""
    return mean_of_known(float(np.nanstd(column)) for column in scores.T if (~np.isnan(column)).sum() > 1)
