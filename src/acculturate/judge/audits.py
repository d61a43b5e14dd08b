"""The audit of a model in whatever way it answers: each is judged by what can judge it."""

from __future__ import annotations

from acculturate.judge.audit import Audit, audit, default_targets
from acculturate.judge.cloze_audit import cloze_audit
from acculturate.model.answer_kind import AnswerKind, answers_of
from acculturate.model.answers.ways import asking
from acculturate.model.respondent import Respondent
from acculturate.survey.instrument import Instrument


def audit_model(
    respondent: Respondent, instrument: Instrument, answers: str, *, personas: bool = True, short: bool = False
) -> Audit:
    """Audit a model's answers of one kind, one of ``answer_kind.ANSWERS``; ``short`` leaves personas out."""
    targets = default_targets(instrument) if personas and not short else ()
    ask = asking(respondent, answers)
    if answers_of(answers).of_texts:
        return cloze_audit(ask, instrument, targets=targets, short=short, answers=answers)
    return audit(ask, instrument, targets=targets, short=short, answers=answers)


def short_audit(respondent: Respondent, instrument: Instrument, answers: str) -> Audit:
    """Audit a model as every run begins: few presentations, no personas.

    Where text is generated, the probabilities of the labels are audited, which tell the same of them at once.
    """
    way = AnswerKind.PROBABILITIES if answers == AnswerKind.SAMPLED else answers
    return audit_model(respondent, instrument, way, short=True)
