"""An interview whose candidates several processes share."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
from jaxtyping import Float

from acculturate.model.answers.ways import Interviews
from acculturate.model.pool.protocol import Order, Pool, Recipe, Reply
from acculturate.model.respondent import Respondent
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response


class SharedInterview:
    """Put one questionnaire to the same model in several processes (an ``Interviews``).

    What shares a forward pass here shares one there, so a candidate's numbers do not depend on who computes them.

    Parameters
    ----------
    own
        The interview in this process.
    respondent, pool
        The model of this process, and the processes to share with.
    answers, slot, n_tokens
        As ``own`` was made with (``ways.interview``).
    """

    def __init__(
        self, own: Interviews, respondent: Respondent, pool: Pool, *, answers: str, slot: str, n_tokens: int
    ) -> None:
        self._own, self._respondent, self._pool = own, respondent, pool
        self._answers, self._slot, self._n_tokens = answers, slot, n_tokens
        self._name = uuid4().hex
        self.rows = own.rows

    @property
    def questionnaire(self) -> Questionnaire:
        """Return what is asked."""
        return self._own.questionnaire

    @property
    def tokens(self) -> int:
        """Count the tokens that one candidate costs."""
        return self._own.tokens

    def __call__(self, prompts: Float[np.ndarray, "candidates tokens hidden"]) -> list[Response]:
        """Return the response after every soft prompt, in order."""
        if len(prompts) <= self.rows:  # one forward pass: there is nothing to share
            return self._answered(prompts).responses
        recipe = self._recipe()
        key = f"{self._name} {recipe.rows} {recipe.packs} {recipe.batch}"
        orders = [Order(key, recipe, prompts[i : i + self.rows]) for i in range(0, len(prompts), self.rows)]
        replies = self._pool.respond(orders, self._answered)
        # Where memory ran out in one process, all go on with what that one has room for.
        self.rows = self._own.rows = min(reply.rows for reply in replies)
        return [response for reply in replies for response in reply.responses]

    def ask(self, prompt: Float[np.ndarray, "tokens hidden"] | None = None) -> Response:
        """Return the response after one soft prompt, or without."""
        return self._own.ask(prompt)

    def _answered(self, prompts: Float[np.ndarray, "rows tokens hidden"]) -> Reply:
        responses = self._own(prompts)
        return Reply(responses, self._own.rows)

    def _recipe(self) -> Recipe:
        respondent = self._respondent
        return Recipe(
            choice=respondent.choice,
            weights=respondent.weights_sum,
            answers=self._answers,
            questionnaire=self.questionnaire,
            slot=self._slot,
            n_tokens=self._n_tokens,
            rows=self._own.rows,
            packs=respondent.packs,
            batch=respondent.batch,
            packed_sizes=dict(respondent.packed_sizes),
        )
