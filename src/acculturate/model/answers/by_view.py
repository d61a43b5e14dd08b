"""Interviews view by view: a questionnaire of which some views can be asked alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from acculturate.model.answers.ways import Interviews
from acculturate.survey.questionnaire import Questionnaire, part_of
from acculturate.survey.response import Response, joined


class InterviewsByView:
    """Put the views of a questionnaire to a respondent one after the other (an ``Interviews``).

    Parameters
    ----------
    questionnaire
        The instrument in its formats.
    parts
        An interview for each view, in order.
    """

    def __init__(self, questionnaire: Questionnaire, parts: Sequence[Interviews]) -> None:
        self.questionnaire, self._parts = questionnaire, tuple(parts)
        self.rows = min(part.rows for part in self._parts)

    @property
    def tokens(self) -> int:
        """Count the tokens that one candidate costs in all views."""
        return sum(part.tokens for part in self._parts)

    def on(self, views: Sequence[int]) -> InterviewsByView:
        """Keep some of the views, by their places."""
        return InterviewsByView(part_of(self.questionnaire, views), [self._parts[view] for view in views])

    def __call__(self, prompts: Float[np.ndarray, "candidates tokens hidden"]) -> list[Response]:
        """Return the response after every soft prompt."""
        answers = [part(prompts) for part in self._parts]
        self.rows = min(part.rows for part in self._parts)  # memory may have run out
        return [joined(one) for one in zip(*answers, strict=True)]

    def ask(self, prompt: Float[np.ndarray, "tokens hidden"] | None = None) -> Response:
        """Return the response after one soft prompt, or without."""
        return joined([part.ask(prompt) for part in self._parts])
