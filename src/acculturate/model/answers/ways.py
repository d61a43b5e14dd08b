"""Put a questionnaire to a model in one of three ways: probabilities, sampled text, or option texts."""

from __future__ import annotations

from collections.abc import Callable

from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response

Ask = Callable[[Questionnaire, Context], Response]
"""Put a questionnaire in a context and give the response."""


def probabilities_from(respondent: Respondent) -> Ask:
    """Read the probabilities of the option labels."""
    return lambda questionnaire, context: Interview(respondent, questionnaire, context=context).ask()
