"""Records of what a model's answers are worth: the parts of an audit, and how far texts move a model."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from acculturate.files.record import Figure, Interval, Record


class AuditVerdict(StrEnum):
    """Tell what a model's answers rest on before anything is tuned on them."""

    NO_ANSWER = "does not answer"
    FLAT = "gives flat answers"
    POSITION = "answers by position"
    READS = "reads the options"
    WEAK = "mixed: weakly reads the options"
    UNCLEAR = "mixed: content and position cannot be told apart"
    WORDING = "answers by wording"
    ONE_WORDING = "cannot be told from one wording"


class PersonaRecord(Record):
    """Hold what naming a country does (``judge.persona_audit.PersonaAudit``)."""

    countries: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    shift: Figure = None
    spread: Figure = None
    published_spread: Figure = None
    towards: Figure = None
    agreement: Figure = None
    p: Figure = None
    by_dimension: dict[str, Figure] = Field(default_factory=dict)
    sentence: str | None = None


class PresentationRecord(Record):
    """Hold one presentation in both option orders (``judge.audit.PresentationAudit``)."""

    name: str
    mass: Figure = None
    missing: Figure = None
    order_correlation: Figure = None
    spread: Figure = None
    balanced_spread: Figure = None
    shift: Figure = None
    position_share: Figure = None
    verdict: AuditVerdict
    wording_correlation: Figure = None


class TextLoss(Record):
    """Hold the loss after one text on the formats that the best was chosen on, in points."""

    name: str
    loss: Figure


class CeilingRecord(Record):
    """Hold how far texts move a model towards a country.

    Parameters
    ----------
    text, words
        Name and words of the best text, chosen on the views ``chosen_on``.
    tried
        Every text with its loss there.
    untuned, best
        Distance to the country on the views ``measured_on`` without a text and after the best, in points; None where
        nothing was measured.
    why
        Why there is no text, where there is none.
    """

    country: str
    text: str | None = None
    words: str | None = None
    tried: tuple[TextLoss, ...] = ()
    chosen_on: tuple[str, ...] = ()
    measured_on: tuple[str, ...] = ()
    untuned: Figure = None
    best: Figure = None
    why: str | None = None


class AuditRecord(Record):
    """Hold what a model's answers are worth before tuning (``judge.audit.Audit``, which says what each figure is)."""

    verdict: AuditVerdict
    sentences: tuple[str, ...] = ()
    mass: Figure = None
    missing: Figure = None
    spread: Figure = None
    position_share: Figure = None
    order_correlation: Figure = None
    order_interval: Interval = None
    correlations: dict[str, Figure] = Field(default_factory=dict)
    consistency: Figure = None
    presentations: tuple[PresentationRecord, ...] = ()
    persona: PersonaRecord | None = None
    short: bool = False
    scores: dict[str, Figure] = Field(default_factory=dict)
    answers: str = "probabilities"
    wording_correlation: Figure = None
    wording_interval: Interval = None
    by_scale: dict[str, Figure] = Field(default_factory=dict)
    format_correlation: Figure = None
    persona_sensitivity: Figure = None
    usable: tuple[str, ...] = ()
    noise: bool | None = None
    warning: str | None = None
    ceilings: tuple[CeilingRecord, ...] = ()
    thresholds: dict[str, Figure] = Field(default_factory=dict)
