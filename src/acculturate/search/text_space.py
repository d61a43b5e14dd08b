"""The space of texts: system messages made of short statements, and what a model answers after one.

A text stands in the system slot by the embeddings of its own tokens, so it is searched, measured, exported and served
as any soft prompt is; and it can be read, and given to any model as a system message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float

from acculturate.model.respondent import Respondent
from acculturate.search.objective import Objective, objective, search_survey
from acculturate.search.optimizers.bocs import keys_of, order_of
from acculturate.search.problem import Problem
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.response import Response

TEXT_FILE = "prompt.txt"
"""The words of a prompt that is a text, in its run's directory."""


@dataclass(frozen=True)
class TextSpace:
    """Choose and order statements: a candidate has a key for each (``optimizers.bocs``).

    Parameters
    ----------
    statements
        What a text may be made of.
    most
        Statements of a text, at most.
    """

    statements: tuple[str, ...]
    most: int

    @property
    def dim(self) -> int:
        """Count the coordinates of a candidate."""
        return len(self.statements)

    def decode(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n 1 dim"]:
        """Return the keys as they are: what they say is a text of any length (``words``)."""
        return x[:, None]

    def encode(self, prompts: Float[np.ndarray, "n 1 dim"]) -> Float[np.ndarray, "n dim"]:
        """Return the keys as they are."""
        return prompts[:, 0]

    def words(self, keys: Float[np.ndarray, " dim"]) -> str:
        """Write the text of a candidate, a statement to a line."""
        return "\n".join(self.statements[place] for place in order_of(keys, self.most))

    def drawn(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
        """Draw texts of random statements and lengths, the first of the first statement alone."""
        most = min(self.most, self.dim)
        texts = [keys_of(rng.permutation(self.dim)[: int(rng.integers(1, most + 1))], self.dim) for _ in range(count)]
        return np.stack([keys_of(np.zeros(1, dtype=np.int64), self.dim), *texts[1:]])


@dataclass(frozen=True, eq=False)
class Texts:
    """Put texts to a model in the system slot of a problem."""

    problem: Problem
    respondent: Respondent
    space: TextSpace

    def rows(self, words: str) -> Float[np.ndarray, "tokens hidden"]:
        """Embed a text by the model's own tokens."""
        return self.respondent.rows(self.respondent.chat.plain(words)).astype(np.float32)

    @cached_property
    def longest(self) -> int:
        """Count the tokens of the longest text that there can be."""
        lengths = sorted(len(self.respondent.chat.plain(one + "\n")) for one in self.space.statements)
        return sum(lengths[-self.space.most :])

    def sized(self, tokens: int) -> Problem:
        """Return the problem with a soft prompt of this many tokens."""
        return replace(self.problem, tokens=tokens)

    def objective(self, role: str) -> TextObjective | None:
        """Build what is minimised on the formats of a role; None where there are none.

        The longest text is laid out at once: what cannot be asked is said before a search, not in it.
        """
        asked = self.problem.questionnaire(role)
        if asked is None:
            return None
        untuned = cache(lambda: self.problem.untuned(self.respondent, asked))
        found = TextObjective(self, role, search_survey(self.problem, role, untuned), untuned)
        found.of_length(self.longest)
        return found


@dataclass(frozen=True, eq=False)
class TextObjective:
    """Evaluate texts against one target (an ``Evaluator``); candidates are keys of a ``TextSpace``."""

    texts: Texts
    role: str
    survey: Loss
    untuned: Callable[[], Response]

    def of_length(self, tokens: int) -> Objective:
        """Build what is minimised for texts of this many tokens."""
        return objective(self.texts.sized(tokens), self.texts.respondent, self.role, self.survey, self.untuned)

    def __call__(self, prompts: Float[np.ndarray, "n 1 dim"]) -> list[Evaluation]:
        """Return one evaluation for every text."""
        rows = (self.texts.rows(self.texts.space.words(keys)) for keys in prompts[:, 0])
        return [self.of_length(len(one))(one[None])[0] for one in rows]
