"""What is exported: a run's prompt with its model, its record and the questionnaire that it is compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from acculturate.export.slot_template import conversations
from acculturate.judge.records import ModelIdentity, Result
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers import ways
from acculturate.model.answers.reading import Reading
from acculturate.model.engine.forward import Answers, head_of
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.engine.plain import PlainEngine
from acculturate.model.interview import Interview
from acculturate.model.loading import EMBEDDED
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import Questionnaire

EMBEDDED_FROM = f"HuggingFaceTB/{EMBEDDED}"


@dataclass(frozen=True, eq=False)
class Subject:
    """Hold what an export is made from.

    Parameters
    ----------
    respondent
        The model in float32. An export may change it: it is nobody else's.
    prompt, result
        The run's prompt and record.
    questionnaire, loss
        Every question of the run, and the arithmetic that scores the answers.
    answers
        How the run reads answers, one of ``answer_kind.ANSWERS``.
    source, gguf
        Where another library finds the model: a folder or a hub id; its GGUF files, where it is in that format.
    """

    respondent: Respondent
    prompt: SoftPrompt
    result: Result
    questionnaire: Questionnaire
    loss: Loss
    answers: str
    source: str
    gguf: Sequence[Path] = ()

    @cached_property
    def identity(self) -> dict[str, str]:
        """What identifies the model, without the place where it lies on this machine."""
        return public_identity(self.respondent.identity)

    @cached_property
    def base_model(self) -> str:
        """The name of the model as a reader of the card may look for it."""
        name = self.identity["model"]
        return EMBEDDED_FROM if name == "embedded" else name

    @cached_property
    def reading(self) -> Reading:
        """The questionnaire as texts for the model."""
        return self._interview(0).reading

    @cached_property
    def tuned(self) -> Answers:
        """The model's own answers with the prompt."""
        return self._interview(len(self.prompt.vectors)).engine(self.prompt.vectors[None])

    @cached_property
    def conversations(self) -> tuple[SlottedTokens, ...]:
        """Questions as users ask and a survey does not: behind an earlier reply, behind a system message."""
        questions, chat = self.questionnaire.questions(), self.respondent.chat
        texts = questions[0].text, questions[-1].text
        return tuple(chat.encode(turns, self.prompt.slot) for turns in conversations(chat, texts)[1:])

    @cached_property
    def in_conversations(self) -> Answers:
        """The model's own answers to them with the prompt, among the options of the survey's last question."""
        options = np.repeat(self.reading.options[-1:], len(self.conversations), axis=0)
        return PlainEngine(self.respondent.model, self.conversations, options)(self.prompt.vectors[None])

    @cached_property
    def untuned(self) -> Answers:
        """The model's own answers without a prompt."""
        return self._interview(0).engine(np.zeros((1, 0, self.respondent.hidden), dtype=np.float32))

    @cached_property
    def recorded(self) -> Mapping[str, Mapping[str, float | None]]:
        """The scores of every view, in points, as the run recorded them.

        Where it read generated text, they are those of the labels' probabilities, which are compared in its place.
        """
        if self.answers == self._way:
            return {one.view: one.scores for one in self.result.tuned.by_view}
        scores = self.loss.scores(self.reading.responses(self.tuned)[0].logprobs)
        ids = self.questionnaire.instrument.dimension_ids
        return {
            name: dict(zip(ids, row.tolist(), strict=True))
            for name, row in zip(self.questionnaire.view_names, scores, strict=True)
        }

    def share_of(self, ids: Sequence[int]) -> Float[np.ndarray, "sequences"]:
        """Compute the probability that the model with the prompt gives to some token ids after each question.

        Ids beyond the end of its vocabulary have none.
        """
        there = [i for i in ids if i < head_of(self.respondent.model).weight.shape[0]]
        if not there:
            return np.zeros(len(self.reading.sequences))
        options = np.tile(np.array(there), (len(self.reading.sequences), 1, 1))
        engine = PlainEngine(self.respondent.model, self.reading.sequences, options, batch=self.respondent.batch)
        return np.exp(engine(self.prompt.vectors[None]).log_mass[0])

    @property
    def _way(self) -> AnswerKind:
        """How answers are read where they are compared."""
        return AnswerKind(self.answers).weighed

    def _interview(self, n_tokens: int) -> Interview:
        put = ways.interview(self._way, self.respondent, self.questionnaire, slot=self.prompt.slot, n_tokens=n_tokens)
        assert isinstance(put, Interview)  # only generated text is asked by another
        return put


def public_identity(identity: dict[str, str]) -> dict[str, str]:
    """Name a model without the place where it lies on this machine."""
    return {**identity, "model": ModelIdentity(identity).shown}
