"""The audit of a model in whatever way it answers: each is judged by what can judge it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from acculturate.errors import SettingError
from acculturate.judge.audit import Audit, audit, default_targets
from acculturate.judge.audit_records import CeilingRecord
from acculturate.judge.ceiling import ceiling, ceiling_sentence
from acculturate.judge.cloze_audit import cloze_audit
from acculturate.model.answer_kind import AnswerKind, answers_of
from acculturate.model.answers.ways import asking
from acculturate.model.respondent import Respondent
from acculturate.survey.formats import Format, Role
from acculturate.survey.instrument import Instrument
from acculturate.survey.protocols import protocol_formats
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.targets import Target


def audit_model(
    respondent: Respondent, instrument: Instrument, answers: str, *, personas: bool = True, short: bool = False
) -> Audit:
    """Audit a model's answers of one kind, one of ``answer_kind.ANSWERS``; ``short`` leaves personas out."""
    targets = default_targets(instrument) if personas and not short else ()
    ask = asking(respondent, answers)
    if answers_of(answers).of_texts:
        return cloze_audit(ask, instrument, targets=targets, short=short, answers=answers)
    return audit(ask, instrument, targets=targets, short=short, answers=answers)


def ceilings(
    respondent: Respondent,
    instrument: Instrument,
    answers: str,
    targets: Sequence[Target],
    *,
    most: int | None = None,
    watch: Callable[[str], None] = lambda _stage: None,
) -> tuple[CeilingRecord, ...]:
    """Measure how far texts move a model towards some countries, in the balanced formats of a run.

    Texts are chosen on formats that a run would be trained on, and measured on those that it would hold out.
    ``most``: texts to try, the most promising first; None for all.
    """
    train, heldout = (
        questionnaire(instrument, formats_there(instrument, answers_of(answers), role))
        for role in (Role.TRAIN, Role.HELDOUT)
    )
    ask = asking(respondent, answers)
    found = []
    for target in targets:
        watch(f"texts for {target.country}")
        found.append(ceiling(ask, train, heldout, target, most=most))
    return tuple(found)


def formats_there(instrument: Instrument, kind: AnswerKind, role: Role) -> list[Format]:
    """List the balanced formats for a role whose wording an instrument has; raises ``UserError`` for none."""
    forms = kind.formats(protocol_formats("balanced", role, in_words=kind.of_texts))
    there = [f for f in forms if f.language in instrument.languages and f.variant < instrument.variants(f.language)]
    if not there:
        raise SettingError(
            f"Instrument '{instrument.id}' has too few wordings to choose a text on some and measure it on others; "
            "leave the country out."
        )
    return there


def with_ceilings(audit: Audit, records: Sequence[CeilingRecord]) -> Audit:
    """Add to an audit how far texts move the model, with a sentence a country."""
    sentences = (*audit.sentences, *(ceiling_sentence(one) for one in records))
    return replace(audit, ceilings=tuple(records), sentences=sentences)


def short_audit(respondent: Respondent, instrument: Instrument, answers: str) -> Audit:
    """Audit a model as every run begins: few presentations, no personas.

    Where text is generated, the probabilities of the labels are audited, which tell the same of them at once.
    """
    return audit_model(respondent, instrument, AnswerKind(answers).weighed, short=True)
