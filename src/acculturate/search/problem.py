"""What a search is to solve: whose scores a soft prompt in one slot should reach, and by which questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError, setting
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers import ways
from acculturate.model.answers.by_view import InterviewsByView
from acculturate.model.pool.shared_interview import SharedInterview
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.formats import ROLES, Role
from acculturate.survey.instrument import Instrument
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import Questionnaire, part_of
from acculturate.survey.response import Response, joined
from acculturate.survey.targets import Target


@dataclass(frozen=True, eq=False)
class Problem:
    """Describe a search for a soft prompt; knows no file and no flag.

    Parameters
    ----------
    instrument, target
        What is asked, and the dimension scores to reach, in points.
    train, validation, heldout
        The questionnaires to search with, to count for half when the winner is chosen, and to judge by.
    everything
        The formats of all three, for the final measurement.
    slot, tokens
        Where the soft prompt stands, and its virtual tokens.
    answers
        What counts as an answer, one of ``answer_kind.ANSWERS``.
    batch
        Candidates per forward pass.
    constant, mas25
        The constant added to every dimension, in points; the legacy weight 25 in the second term of Masculinity.
    heldout_items
        Items that the search does not ask: the untuned model's answers stand in for them.
    anchor, mass_penalty
        Points of training loss per nat of Kullback-Leibler divergence from the untuned answers, and per nat of answer
        mass lost.
    consistency
        Share of the points by which items move apart between formats that is added to the training loss.
    response_style
        Share of the points that is added by which shifts common to a scale's items move the scores.
    fresh_formats
        Trained presentations of each generation, drawn anew; 0: all of them in every generation.
    """

    instrument: Instrument
    target: Target
    train: Questionnaire
    validation: Questionnaire | None
    heldout: Questionnaire | None
    everything: Questionnaire
    slot: str
    tokens: int
    answers: str = AnswerKind.PROBABILITIES
    batch: int = 1
    constant: float = 50.0
    mas25: bool = False
    heldout_items: tuple[str, ...] = ()
    anchor: float = 0.0
    mass_penalty: float = 0.0
    consistency: float = 0.0
    response_style: float = 0.0
    fresh_formats: int = 0

    def questionnaire(self, role: str) -> Questionnaire | None:
        """Return the questionnaire of one role; None where a run has none."""
        return {Role.TRAIN: self.train, Role.VALIDATION: self.validation, Role.HELDOUT: self.heldout}[Role(role)]

    @property
    def roles(self) -> list[Role]:
        """The role of every view of ``everything``."""
        by_role = [(role, self.questionnaire(role)) for role in ROLES]
        return [role for role, asked in by_role if asked is not None for _ in asked.views]

    def survey(self, asked: Questionnaire) -> Loss:
        """Build the arithmetic that scores a questionnaire against the target."""
        return survey_of(asked, self.target, constant=self.constant, mas25=self.mas25)

    def interview(self, respondent: Respondent, asked: Questionnaire) -> ways.Interviews:
        """Put a questionnaire to a model, and to its pool, with soft prompts of this problem's size in its slot."""
        slot, n = self.slot, self.tokens
        own = ways.interview(self.answers, respondent, asked, slot=slot, n_tokens=n, rows=self.batch)
        if respondent.pool is None:
            return own
        return SharedInterview(own, respondent, respondent.pool, answers=self.answers, slot=slot, n_tokens=n)

    def interview_on(self, role: str, respondent: Respondent, asked: Questionnaire) -> ways.Interviews:
        """Put the questionnaire of a role to a model; some trained formats can be asked alone where they are fresh."""
        if not self.fresh_formats or role != Role.TRAIN:
            return self.interview(respondent, asked)
        parts = [self.interview(respondent, part_of(asked, [view])) for view in range(len(asked.views))]
        return InterviewsByView(asked, parts)

    def untuned(self, respondent: Respondent, asked: Questionnaire, context: Context | None = None) -> Response:
        """Put a questionnaire to a model without a soft prompt."""
        return ways.ask(self.answers, respondent, asked, context)

    def check_window(self, respondent: Respondent, reply: int = 0) -> None:
        """Refuse, before a search, formats whose questions the model cannot read whole in the final measurement.

        ``reply``: tokens of a generated reply. Raises ``UserError``.
        """
        sequences = respondent.sequences(self.everything, self.slot, Context())
        respondent.check_window(sequences, self.tokens)
        if reply:
            respondent.check_window(sequences, self.tokens + reply, "its soft prompt and a reply")

    def check_replies(self, respondent: Respondent) -> None:
        """Refuse, before a search by generated text, a model whose replies leave questions without an answer."""
        if self.answers != AnswerKind.SAMPLED:
            return
        lost = np.isnan(self.untuned(respondent, self.everything).logprobs).any(axis=-1)
        if lost.any():
            raise SettingError(
                f"No reply of the untuned model to {lost.sum()} of {lost.size} questions could be read, so that no "
                f"prompt could be compared with it; ask with {setting('answers', 'probabilities')}, or choose a model "
                "that replies with a label alone."
            )


class RoleInterviews:
    """Put the questionnaires of all roles to a model, with soft prompts of a problem's size in its slot.

    What stands before the slot is computed once per role, when somebody first asks there: the search, or its judges.
    """

    def __init__(self, problem: Problem, respondent: Respondent) -> None:
        self._problem, self.respondent = problem, respondent
        self._by_role: dict[Role, ways.Interviews] = {}

    def on(self, role: str) -> ways.Interviews | None:
        """Return the interview on the formats of one role; None where a run has none."""
        asked = self._problem.questionnaire(role)
        if asked is None:
            return None
        if Role(role) not in self._by_role:
            self._by_role[Role(role)] = self._problem.interview_on(role, self.respondent, asked)
        return self._by_role[Role(role)]

    def __call__(self, prompts: Float[np.ndarray, "candidates tokens hidden"]) -> list[Response]:
        """Return the response of every soft prompt to ``Problem.everything``."""
        answers = [put(prompts) for role in ROLES if (put := self.on(role)) is not None]
        return [joined(parts) for parts in zip(*answers, strict=True)]


def survey_of(asked: Questionnaire, target: Target, *, constant: float = 50.0, mas25: bool = False) -> Loss:
    """Build the arithmetic that scores a questionnaire against a target; ``constant``: added to every dimension."""
    instrument = asked.instrument
    weights = instrument.weights(mas25=mas25)
    return Loss(
        instrument.values(),
        weights,
        instrument.constants(constant),
        target.vector(instrument.dimension_ids),
        asked.views,
        style_weights=weights @ instrument.scale_averages(),
    )
