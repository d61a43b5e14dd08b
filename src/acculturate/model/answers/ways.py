"""Ways to put a questionnaire to a model: labels, labels or option texts less their own pull, option texts, samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from acculturate.model.answer_kind import AnswerKind, answers_of
from acculturate.model.answers.cloze import ClozeReading
from acculturate.model.answers.labels import LabelReading
from acculturate.model.answers.reading import Read
from acculturate.model.answers.sampled import SampledInterview
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.survey.questionnaire import Questionnaire, part_of
from acculturate.survey.response import Response, joined

Ask = Callable[[Questionnaire, Context], Response]
"""Put a questionnaire in a context and give the response."""


@runtime_checkable
class Interviews(Protocol):
    """Put one questionnaire to one respondent, after soft prompts of one size in one slot."""

    rows: int

    @property
    def questionnaire(self) -> Questionnaire: ...

    @property
    def tokens(self) -> int:
        """Count the tokens that one candidate costs."""
        ...

    def __call__(self, prompts: Float[np.ndarray, "candidates tokens hidden"]) -> list[Response]:
        """Return the response after every soft prompt."""
        ...

    def ask(self, prompt: Float[np.ndarray, "tokens hidden"] | None = None) -> Response:
        """Return the response after one soft prompt, or without."""
        ...


def interview(
    answers: str,
    respondent: Respondent,
    questionnaire: Questionnaire,
    *,
    slot: str = Slot.RESPONSE_START,
    n_tokens: int = 0,
    context: Context | None = None,
    rows: int = 1,
    lazily: bool = False,
) -> Interviews:
    """Make an interview that reads answers in one way; the parameters are those of ``Interview``."""
    way = answers_of(answers)
    if way is AnswerKind.SAMPLED:
        return SampledInterview(respondent, questionnaire, slot=slot, n_tokens=n_tokens, context=context)
    read = _read(way, respondent, questionnaire)
    return Interview(
        respondent,
        questionnaire,
        slot=slot,
        n_tokens=n_tokens,
        context=context or Context(),
        rows=rows,
        read=read,
        lazily=lazily,
    )


def _read(way: AnswerKind, respondent: Respondent, questionnaire: Questionnaire) -> Read:
    """Choose how answers are read; what is divided out is the untuned model's, alike for every respondent."""
    if way is AnswerKind.PROBABILITIES:
        return LabelReading
    if way is AnswerKind.CALIBRATED:
        return partial(LabelReading, prior=_without_items(respondent, questionnaire, LabelReading))
    if way is AnswerKind.CLOZE_PRIOR:
        return partial(ClozeReading, prior=_without_items(respondent, questionnaire, ClozeReading))
    return partial(ClozeReading, per_token=way is AnswerKind.CLOZE)


def _without_items(
    respondent: Respondent, questionnaire: Questionnaire, read: type[LabelReading] | type[ClozeReading]
) -> Response:
    return by_view(questionnaire, lambda part: Interview(respondent, part, read=partial(read, bare=True)).ask())


def ask(answers: str, respondent: Respondent, questionnaire: Questionnaire, context: Context | None = None) -> Response:
    """Ask without a soft prompt; raises ``UserError`` where the model cannot be asked."""
    return by_view(questionnaire, lambda part: interview(answers, respondent, part, context=context).ask())


def by_view(questionnaire: Questionnaire, put: Callable[[Questionnaire], Response]) -> Response:
    """Ask every view by itself: its answers are the same to the last digit whatever else is asked, and can be kept."""
    return joined([put(part_of(questionnaire, [view])) for view in range(len(questionnaire.views))])


@dataclass(frozen=True, eq=False)
class Answered:
    """Hold a response, with what there is to say about how it was read."""

    response: Response
    note: str | None = None


def answered(
    answers: str,
    respondent: Respondent,
    questionnaire: Questionnaire,
    context: Context,
    soft: SoftPrompt | None = None,
) -> Answered:
    """Ask with or without a soft prompt; raises ``UserError`` where the model cannot be asked."""
    way = answers_of(answers)
    if way is AnswerKind.SAMPLED:
        slot, n = (Slot.RESPONSE_START, 0) if soft is None else (soft.slot, len(soft.vectors))
        sampled = SampledInterview(respondent, questionnaire, slot=slot, n_tokens=n, context=context)
        texts = sampled.texts(None if soft is None else soft.vectors)
        return Answered(texts.response(), texts.note(sampled.sampling))
    if soft is None:
        return Answered(ask(answers, respondent, questionnaire, context), way.note)
    put = interview(answers, respondent, questionnaire, slot=soft.slot, n_tokens=len(soft.vectors), context=context)
    return Answered(put(soft.vectors[None])[0], way.note)


def asking(respondent: Respondent, answers: str = AnswerKind.PROBABILITIES) -> Ask:
    """Bind a loaded model to one of ``ANSWERS``, as something to audit."""
    answers_of(answers)
    return lambda questionnaire, context: ask(answers, respondent, questionnaire, context)
