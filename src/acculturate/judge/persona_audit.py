"""Whether naming a country moves a model's answers, and moves them as published scores differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.errors import UserError
from acculturate.judge import baselines, ranks
from acculturate.model.respondent import Context
from acculturate.survey.instruments import Instrument
from acculturate.survey.questionnaire import Questionnaire, questionnaire
from acculturate.survey.reliability import mean_of_known, shares_of_scale
from acculturate.survey.scoring import Response, dimension_scores
from acculturate.survey.targets import Target

Ask = Callable[[Questionnaire, Context], Response]

PERSONA_SMALL = 0.1
"""Spread of persona scores, as share of the published spread, under which naming a country moves nothing."""
PERSONA_P = 0.05


@dataclass(frozen=True)
class PersonaAudit:
    """Hold what naming a country does.

    ``shift``: mean absolute change of an item mean against no persona, as share of the scale. ``spread`` and
    ``published_spread``: standard deviation of a dimension's score between the countries, mean over
    dimensions, points. ``towards``: share of scores that the persona brings nearer to its own country's.
    ``agreement``: mean correlation with the published scores across countries, and ``p``: how often
    relabelled countries agree as well.
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
        """Spread of the persona scores as a share of the published one: 0 is deaf, 1 differs as much as countries."""
        return self.spread / self.published_spread if self.published_spread else math.nan


def persona_context(country: str) -> Context:
    """The baseline's persona in its first descriptor."""
    return baselines.persona(country, baselines.DESCRIPTORS[0])


def persona_test(
    ask: Ask,
    asked: Questionnaire,
    response: Response,
    agreement: Sequence[float],
    targets: Sequence[Target],
    persona: Callable[[str], Context],
) -> PersonaAudit | str:
    """Ask as people from several countries, or say in a sentence why there is no test.

    ``response``: what was answered without a persona, in ``asked``. ``agreement`` of its views chooses the two that are
    asked again: those that asking otherwise changes least.
    """
    instrument = asked.instrument
    order = sorted(range(len(agreement)), key=lambda i: -np.nan_to_num(agreement[i], nan=-2.0))
    best = [asked.formats[asked.views[i][0]] for i in order[:2]]
    kept = [row for i in order[:2] for row in asked.views[i]]
    naive = Response(response.logprobs[kept], response.mass[kept])
    few = questionnaire(instrument, best, balanced=len(asked.views[0]) > 1)
    published = np.stack([target.vector(instrument.dimension_ids) for target in targets])
    try:
        told = [ask(few, persona(target.country)) for target in targets]
    except UserError as error:
        return f"Personas were not tested: {error}"
    base = scores_of(instrument, naive)
    scores = np.stack([scores_of(instrument, one) for one in told])
    untold = shares_of_scale(instrument, naive)
    shift = mean_of_known(mean_of_known(np.abs(shares_of_scale(instrument, one) - untold).ravel()) for one in told)
    nearer = np.abs(scores - published) < np.abs(base - published)
    known = ~np.isnan(scores - published)
    test = ranks.permutation_test(scores, published, instrument.dimension_ids)
    found = PersonaAudit(
        countries=tuple(target.country for target in targets),
        formats=tuple(form.presentation for form in best),
        shift=shift,
        spread=_between(scores),
        published_spread=_between(published),
        towards=float(nearer[known].mean()) if known.any() else math.nan,
        agreement=test.statistic,
        p=test.p,
        by_dimension=dict(test.by_dimension),
        sentence="",
    )
    return replace(found, sentence=_persona_sentence(found))


def _persona_sentence(found: PersonaAudit) -> str:
    if math.isnan(found.spread):
        return "Personas left too many answers missing to compare countries."
    spread = (
        f"the scores of {len(found.countries)} countries differ by {found.spread:.1f} points "
        f"(published ones by {found.published_spread:.0f})"
    )
    if not found.spread >= PERSONA_SMALL * found.published_spread:
        return f"Naming a country moves next to nothing: {spread}."
    p = "unknown" if math.isnan(found.p) else f"{found.p:.3f}"
    follows = f"mean correlation {signed(found.agreement)}, p = {p}"
    nearer = f"{share_in_words(found.towards)} of the scores come nearer to their own country's"
    if found.p <= PERSONA_P:
        how = "moves the scores as published ones differ"
    else:
        how = "moves the scores, but not as published ones differ"
    return f"Naming a country {how} ({follows}): {spread}, {nearer}."


def scores_of(instrument: Instrument, response: Response) -> Float[np.ndarray, "dims"]:
    """Scores of the answers averaged over all formats asked (C = 50), in points."""
    means = np.sum(np.where(instrument.option_mask(), np.exp(response.logprobs) * instrument.values(), 0.0), axis=-1)
    return dimension_scores(means.mean(axis=0), instrument.weights(), instrument.constants())


def _between(scores: Float[np.ndarray, "countries dims"]) -> float:
    return mean_of_known(float(np.nanstd(column)) for column in scores.T if (~np.isnan(column)).sum() > 1)


def signed(r: float) -> str:
    """A correlation in words."""
    return "none" if math.isnan(r) else f"{r:+.2f}"


def share_in_words(value: float) -> str:
    """A share, 0 to 1, in words."""
    return "none" if math.isnan(value) else f"{value:.0%}"
