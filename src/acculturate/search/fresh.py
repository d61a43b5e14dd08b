"""Fresh formats: every generation of a search is asked in a few of the trained formats, drawn anew.

A search that sees the same formats throughout fits them. Sampling another wording at every step carries over better to
unseen ones (PAFT, arXiv:2502.12859). All candidates of one generation share its formats, so that they can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.model.answers.by_view import InterviewsByView
from acculturate.search.objective import Objective, Unasked
from acculturate.search.problem import Problem
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.questionnaire import Questionnaire

_STREAM = 2**32 - 3
"""Generations count from 0, so this stream is never one of a search's own."""


@dataclass(frozen=True, eq=False)
class FreshFormats:
    """Describe the formats of each generation.

    Parameters
    ----------
    interviews
        The trained formats, of which any views can be asked alone.
    survey
        The loss over all of them.
    size
        Views of each generation.
    seed
        Decides which.
    unasked
        Answers that stand in for items that are not asked.
    """

    interviews: InterviewsByView
    survey: Loss
    size: int
    seed: int
    unasked: Unasked | None = None

    def at(self, generation: int) -> PartObjective:
        """Build the objective of one generation."""
        views = drawn_views(self.interviews.questionnaire, self.size, generation, self.seed)
        formats = tuple(form for view in views for form in self.survey.views[view])
        unasked = None if self.unasked is None else self.unasked.on(formats)
        return PartObjective(Objective(self.interviews.on(views), self.survey.on(views), unasked), formats)


def fresh_formats(problem: Problem, whole: Objective, seed: int) -> FreshFormats | None:
    """Describe the formats of each generation of a search; None where all are asked in every generation.

    ``whole``: the objective on all trained formats.
    """
    if not problem.fresh_formats:
        return None
    assert isinstance(whole.interview, InterviewsByView)
    return FreshFormats(whole.interview, whole.survey, problem.fresh_formats, seed, whole.unasked)


@dataclass(frozen=True, eq=False)
class PartObjective:
    """Evaluate soft prompts on some of the trained formats (an ``Evaluator``), and say on which."""

    objective: Objective
    formats: tuple[int, ...]

    def __call__(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> list[Evaluation]:
        """Return one evaluation for every prompt."""
        return [replace(one, formats=self.formats) for one in self.objective(prompts)]


def drawn_views(asked: Questionnaire, size: int, generation: int, seed: int) -> tuple[int, ...]:
    """Draw some views of a questionnaire for a generation, from as many wordings as can be; in ascending order."""
    wordings: dict[tuple[str, int], list[int]] = {}
    for view, formats in enumerate(asked.views):
        form = asked.formats[formats[0]]
        wordings.setdefault((form.language, form.variant), []).append(view)
    rng = np.random.default_rng([seed, generation, _STREAM])
    decks = [[views[i] for i in rng.permutation(len(views))] for views in wordings.values()]
    order = [decks[i] for i in rng.permutation(len(decks))]
    dealt = [deck[place] for place in range(max(map(len, order))) for deck in order if place < len(deck)]
    return tuple(sorted(dealt[:size]))
