"""Answers of a model to the questions of a task, asked some at a time and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from acculturate.knowledge.asking import sheet
from acculturate.knowledge.task import Question, Task, TaskKind
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers import ways
from acculturate.model.answers.ways import Interviews
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response

TOGETHER = 32
"""Questions that are laid out and kept together: an interrupted evaluation goes on at the last of them."""

Watch = Callable[[str, int, int], None]
"""Hear what is asked, how many questions of it are answered, and of how many."""


@dataclass(frozen=True, eq=False)
class TaskAnswers:
    """Hold a respondent's answers to the questions of a task: shares of the options, and answer mass."""

    shares: Float[np.ndarray, "questions options"]
    mass: Float[np.ndarray, " questions"]


def read_as(way: AnswerKind, kind: TaskKind) -> AnswerKind:
    """Choose how the answers to a task are read: judgements always by the words True and False, each one token."""
    return AnswerKind.CLOZE_SUM if kind is TaskKind.JUDGEMENTS and not way.of_texts else way


def answer(
    respondent: Respondent,
    task: Task,
    way: AnswerKind,
    prompts: Sequence[SoftPrompt | None] = (None,),
    *,
    watch: Watch = lambda *_: None,
) -> list[TaskAnswers]:
    """Ask all questions of a task, after each of some soft prompts (None: without one), some at a time.

    What stands before a slot is computed once for all prompts of one size in it. Answers are kept.
    """
    sizes = [len(one.vectors) for one in prompts if one is not None and one.slot == Slot.RESPONSE_START]
    most = max(len(question.options) for question in task.questions)
    empty = (np.full((len(task.questions), most), np.nan), np.full(len(task.questions), np.nan))
    whole = [TaskAnswers(*(array.copy() for array in empty)) for _ in prompts]
    done = 0
    for places in _parts(task.questions):
        watch(task.title, done, len(task.questions))
        laid_out = sheet(task.kind, [task.questions[place] for place in places], in_words=way.of_texts)
        put = _Put(respondent, way, laid_out.questionnaire)
        for prompt, answered in zip(prompts, whole, strict=True):
            response = put.untuned(*sizes[:1]) if prompt is None else put.on(prompt).ask(prompt.vectors)
            shares = laid_out.shares(response)
            answered.shares[places, : shares.shape[1]] = shares
            answered.mass[places] = laid_out.mass(response)
        done += len(places)
    watch(task.title, done, len(task.questions))
    return whole


class _Put:
    """Put one sheet of questions to a model, with soft prompts and without."""

    def __init__(self, respondent: Respondent, way: AnswerKind, asked: Questionnaire) -> None:
        self._made = cache(
            lambda slot, n: ways.interview(way, respondent, asked, slot=slot, n_tokens=n, lazily=True),
        )

    def on(self, prompt: SoftPrompt) -> Interviews:
        """Return the interview for prompts of this size in this slot."""
        return self._made(prompt.slot, len(prompt.vectors))

    def untuned(self, size: int = 1) -> Response:
        """Return the response without a soft prompt.

        Most models are asked up to the slot where a reply begins, where prompts of some ``size`` are asked anyhow: then
        it costs nothing more. It is the same to the bit beside prompts of any size, or none.
        """
        beside = self._made(Slot.RESPONSE_START, size)
        answered = beside.ask_untuned() if isinstance(beside, Interview) else None
        return self._made(Slot.RESPONSE_START, 0).ask() if answered is None else answered


def _parts(questions: Sequence[Question]) -> list[list[int]]:
    """Cut questions into parts that are asked together, by place: variants of one question side by side.

    The longest come first: what they show of the packed engine (``model.soundness``) then holds for all others.
    """
    by_cluster: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        by_cluster.setdefault(question.cluster, []).append(place)
    length = {name: max(len(questions[place].text) for place in places) for name, places in by_cluster.items()}
    order = [place for name in sorted(by_cluster, key=lambda name: -length[name]) for place in by_cluster[name]]
    return [order[start : start + TOGETHER] for start in range(0, len(order), TOGETHER)]
