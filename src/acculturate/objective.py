"""From soft prompts to evaluations: the in-process evaluator of a search."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from acculturate.formats import Questionnaire
from acculturate.respondent import Interview
from acculturate.scoring import Evaluation, Survey
from acculturate.targets import Target


def survey_of(asked: Questionnaire, target: Target, *, constant: float = 50.0, mas25: bool = False) -> Survey:
    """The arithmetic that scores this questionnaire against this target."""
    instrument = asked.instrument
    return Survey(
        instrument.values(),
        instrument.weights(mas25=mas25),
        instrument.constants(constant),
        target.vector(instrument.dimension_ids),
        asked.views,
    )


class Objective:
    """Evaluates soft prompts of one size in one slot against one target (the Evaluator seam)."""

    def __init__(self, interview: Interview, survey: Survey) -> None:
        self.interview, self.survey = interview, survey

    def __call__(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> list[Evaluation]:
        return [self.survey.evaluate(response) for response in self.interview(prompts)]
