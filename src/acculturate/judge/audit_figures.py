"""The figures of an audit: over all presentations, and of each one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from acculturate.judge.audit_records import AuditVerdict, CeilingRecord
from acculturate.judge.persona_audit import PersonaAudit
from acculturate.survey.reliability import mean_of_known


@dataclass(frozen=True)
class PresentationAudit:
    """Hold the figures of one presentation over both option orders.

    Parameters
    ----------
    name
        labels/layout/variant/language.
    mass, missing
        Mean answer mass and share of missing answers, 0 to 1.
    order_correlation
        Correlation of item means between the two orders.
    spread
        Standard deviation of item means, as share of the scale, mean over the orders.
    balanced_spread
        The same of item means averaged over the orders, from which scores are made.
    shift
        Mean difference of an item mean between the orders, as share of the scale.
    position_share
        Share of what moves the answers that is position and not content (reliability.position_share).
    wording_correlation
        Mean correlation with the presentations that differ in wording only, within scales.
    """

    name: str
    mass: float
    missing: float
    order_correlation: float
    spread: float
    balanced_spread: float
    shift: float
    position_share: float
    verdict: AuditVerdict
    wording_correlation: float = math.nan


@dataclass(frozen=True, kw_only=True)
class AuditFigures:
    """Hold the verdict of an audit and every figure behind it.

    What one way of answering cannot judge is NaN: mass and order for option texts.

    Parameters
    ----------
    order_correlation, order_interval
        Mean over presentations, and its 95 % bootstrap interval over items.
    correlations
        Mean correlation of order-balanced item means between presentations that differ in the named factor only.
    consistency
        Alpha of item means over presentations (reliability.cronbach_alpha).
    wording_correlation, wording_interval, by_scale
        How well wordings agree within scales (wording_agreement.WordingAgreement).
    ceilings
        How far texts move the model towards countries, where that was asked.
    answers
        How answers are read, one of ``answer_kind.ANSWERS``.
    """

    verdict: AuditVerdict
    mass: float
    missing: float
    spread: float
    position_share: float
    order_correlation: float
    order_interval: tuple[float, float]
    correlations: dict[str, float]
    consistency: float
    presentations: tuple[PresentationAudit, ...]
    persona: PersonaAudit | None = None
    short: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    answers: str = "probabilities"
    wording_correlation: float = math.nan
    wording_interval: tuple[float, float] = (math.nan, math.nan)
    by_scale: dict[str, float] = field(default_factory=dict)
    ceilings: tuple[CeilingRecord, ...] = ()

    @property
    def format_correlation(self) -> float:
        """Average the correlations between labels, layouts, wordings and languages that exist."""
        return mean_of_known(self.correlations.values())

    @property
    def persona_sensitivity(self) -> float | None:
        """Give ``PersonaAudit.sensitivity``; None where no personas were tested."""
        return None if self.persona is None else self.persona.sensitivity

    @property
    def usable(self) -> tuple[str, ...]:
        """Name the presentations whose options are read."""
        return tuple(p.name for p in self.presentations if p.verdict == AuditVerdict.READS)

    @property
    def noise(self) -> bool:
        """Tell whether tuning would only fit noise."""
        unreadable = (
            AuditVerdict.NO_ANSWER,
            AuditVerdict.FLAT,
            AuditVerdict.POSITION,
            AuditVerdict.UNCLEAR,
            AuditVerdict.WORDING,
        )
        return self.verdict in unreadable and not self.usable
