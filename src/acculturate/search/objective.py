"""From soft prompts to evaluations: the in-process evaluator of a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.model.respondent import Interview
from acculturate.survey.formats import Questionnaire
from acculturate.survey.scoring import Evaluation, Response, Survey
from acculturate.survey.targets import Target


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


@dataclass(frozen=True, eq=False)
class Unasked:
    """The untuned model's answers to all items, and the places of those that an interview asks nevertheless.

    They stand in for the items left out (formats.without), so that every dimension has its whole score and only
    what is asked can move it.
    """

    answers: Response
    asked: tuple[int, ...]

    def complete(self, response: Response) -> Response:
        """A response to the items asked as one to all items."""
        places, options = list(self.asked), response.logprobs.shape[-1]
        logprobs, mass = self.answers.logprobs.copy(), self.answers.mass.copy()
        logprobs[:, places], mass[:, places] = -np.inf, response.mass
        logprobs[:, places, :options] = response.logprobs
        return Response(logprobs, mass)


class Objective:
    """Evaluates soft prompts of one size in one slot against one target (the Evaluator seam)."""

    def __init__(self, interview: Interview, survey: Survey, unasked: Unasked | None = None) -> None:
        self.interview, self.survey, self._unasked = interview, survey, unasked

    def __call__(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> list[Evaluation]:
        responses = self.interview(prompts)
        if self._unasked is not None:
            responses = [self._unasked.complete(response) for response in responses]
        return [self.survey.evaluate(response) for response in responses]
