"""Three ways to put a questionnaire to a model: probabilities of labels, sampled text, likelihood of option texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from acculturate.errors import SettingError, setting
from acculturate.model.answers.cloze import cloze_response
from acculturate.model.answers.sampled import Sampling, sampled_responses
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response

Ask = Callable[[Questionnaire, Context], Response]
"""Put a questionnaire in a context and give the response."""


@dataclass(frozen=True, eq=False)
class Answered:
    """Hold a response, with what there is to say about how it was read."""

    response: Response
    note: str | None = None


@runtime_checkable
class Way(Protocol):
    """Put a questionnaire to a model in one way, with or without a soft prompt."""

    def __call__(
        self, respondent: Respondent, questionnaire: Questionnaire, context: Context, soft: SoftPrompt | None = None
    ) -> Answered:
        """Give the response in the scale's own option order; raises ``UserError`` where the model cannot be asked."""
        ...


def by_probabilities(
    respondent: Respondent, questionnaire: Questionnaire, context: Context, soft: SoftPrompt | None = None
) -> Answered:
    """Read the probabilities of the option labels."""
    if soft is None:
        return Answered(Interview(respondent, questionnaire, context=context).ask())
    interview = Interview(respondent, questionnaire, slot=soft.slot, n_tokens=len(soft.vectors), context=context)
    return Answered(interview(soft.vectors[None])[0])


def by_sampling(
    respondent: Respondent, questionnaire: Questionnaire, context: Context, soft: SoftPrompt | None = None
) -> Answered:
    """Generate replies and read the label that each begins with."""
    slot, vectors = _placed(soft)
    how = Sampling()
    answers = sampled_responses(respondent, questionnaire, slot=slot, prompt=vectors, context=context, sampling=how)
    return Answered(answers.response(), answers.note(how))


def by_option_texts(
    respondent: Respondent, questionnaire: Questionnaire, context: Context, soft: SoftPrompt | None = None
) -> Answered:
    """Compare the likelihoods of the options' own words."""
    slot, vectors = _placed(soft)
    return Answered(
        cloze_response(respondent, questionnaire, slot=slot, prompt=vectors, context=context),
        "Likelihood of the options' own words per token; labels, layout and option order play no part.",
    )


def _placed(soft: SoftPrompt | None) -> tuple[str, np.ndarray | None]:
    return (Slot.RESPONSE_START, None) if soft is None else (soft.slot, soft.vectors)


WAYS: dict[str, Way] = {"probabilities": by_probabilities, "sampled": by_sampling, "cloze": by_option_texts}
ANSWERS = tuple(WAYS)


def way_of(answers: str) -> Way:
    """Find a way by its name in ``ANSWERS``; ``UserError`` for any other name."""
    if answers not in WAYS:
        raise SettingError(f"{setting('answers')} is '{answers}'; expected one of {', '.join(ANSWERS)}.")
    return WAYS[answers]


def asking(respondent: Respondent, answers: str = "probabilities") -> Ask:
    """Bind a loaded model to one of ``ANSWERS``, as something to audit."""
    way = way_of(answers)
    return lambda questionnaire, context: way(respondent, questionnaire, context).response
