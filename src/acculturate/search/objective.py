"""Objectives of a search: from soft prompts to evaluations, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float

from acculturate.model.answers.ways import Interviews
from acculturate.model.respondent import Respondent
from acculturate.search.problem import Problem, RoleInterviews
from acculturate.survey.formats import Role
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.questionnaire import without
from acculturate.survey.response import Response


@dataclass(frozen=True, eq=False)
class Unasked:
    """Hold the untuned model's answers to all items, and the places of those that an interview asks nevertheless.

    They stand in for the items left out (questionnaire.without), so that every dimension has its whole score and only
    what is asked can move it.
    """

    answers: Response
    asked: tuple[int, ...]

    def on(self, formats: Sequence[int]) -> Unasked:
        """Keep some of the formats, by their places."""
        rows = list(formats)
        return replace(self, answers=Response(self.answers.logprobs[rows], self.answers.mass[rows]))

    def complete(self, response: Response) -> Response:
        """Complete a response to the items that are asked to one to all items."""
        places, options = list(self.asked), response.logprobs.shape[-1]
        logprobs, mass = self.answers.logprobs.copy(), self.answers.mass.copy()
        logprobs[:, places], mass[:, places] = -np.inf, response.mass
        logprobs[:, places, :options] = response.logprobs
        return Response(logprobs, mass)


class Objective:
    """Evaluate soft prompts of one size in one slot against one target (an ``Evaluator``)."""

    def __init__(self, interview: Interviews, survey: Loss, unasked: Unasked | None = None) -> None:
        self.interview, self.survey, self.unasked = interview, survey, unasked

    def __call__(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> list[Evaluation]:
        """Return one evaluation for every prompt."""
        responses = self.interview(prompts)
        if self.unasked is not None:
            responses = [self.unasked.complete(response) for response in responses]
        return [self.survey.evaluate(response) for response in responses]


def search_survey(problem: Problem, role: str, untuned: Callable[[], Response]) -> Loss:
    """Build the loss of one role: training loss with all terms, validation loss without anchor and consistency.

    Those two are no distance but a help on the way. ``untuned``: the answers without a prompt, asked for where a term
    needs them.
    """
    asked = problem.questionnaire(role)
    assert asked is not None
    survey = problem.survey(asked)
    anchor, consistency = (problem.anchor, problem.consistency) if role == Role.TRAIN else (0.0, 0.0)
    fresh = problem.fresh_formats if role == Role.TRAIN else 0
    if not (anchor or consistency or fresh or problem.mass_penalty or problem.response_style):
        return survey
    answers = untuned()
    return replace(
        survey,
        anchor=anchor,
        reference=answers.logprobs,
        mass_penalty=problem.mass_penalty,
        reference_mass=answers.mass,
        consistency=consistency,
        response_style=problem.response_style,
    )


def search_objective(
    problem: Problem, respondent: Respondent, role: str, interviews: RoleInterviews | None = None
) -> Objective:
    """Build what a search minimises on the formats of a role; the untuned model is asked once, where it is needed.

    ``interviews``: those of the problem with this model, where they are at hand.
    """
    asked = problem.questionnaire(role)
    assert asked is not None
    untuned = cache(lambda: problem.untuned(respondent, asked))
    survey = search_survey(problem, role, untuned)
    at_hand = None if interviews is None or problem.heldout_items else interviews.on(role)
    return objective(problem, respondent, role, survey, untuned) if at_hand is None else Objective(at_hand, survey)


def validation_loss(
    problem: Problem, respondent: Respondent, interviews: RoleInterviews | None = None
) -> Callable[[np.ndarray], float] | None:
    """Build the loss that counts for half when the winner is chosen; None where there are no validation formats."""
    if problem.validation is None:
        return None
    evaluate = search_objective(problem, respondent, Role.VALIDATION, interviews)
    return lambda prompts: evaluate(prompts)[0].loss


def objective(
    problem: Problem, respondent: Respondent, role: str, survey: Loss, untuned: Callable[[], Response] | None = None
) -> Objective:
    """Build an objective on one role's formats; the untuned model answers the items that are held out.

    ``untuned``: its answers on these formats, where they are at hand.
    """
    asked = problem.questionnaire(role)
    assert asked is not None
    if not problem.heldout_items:
        return Objective(problem.interview_on(role, respondent, asked), survey)
    ids = asked.instrument.item_ids
    places = tuple(place for place, item in enumerate(ids) if item not in problem.heldout_items)
    answers = untuned() if untuned is not None else problem.untuned(respondent, asked)
    interview = problem.interview_on(role, respondent, without(asked, problem.heldout_items))
    return Objective(interview, survey, Unasked(answers, places))
