"""Answers of a model to the questions of a task, asked some at a time and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.knowledge.asking import sheet
from acculturate.knowledge.task import Question, Task, TaskKind
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers import ways
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt

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
    prompt: SoftPrompt | None = None,
    *,
    watch: Watch = lambda *_: None,
) -> TaskAnswers:
    """Ask all questions of a task, after a soft prompt or without, some at a time; answers are kept."""
    whole = TaskAnswers(
        np.full((len(task.questions), max(len(question.options) for question in task.questions)), np.nan),
        np.full(len(task.questions), np.nan),
    )
    size = {} if prompt is None else {"slot": prompt.slot, "n_tokens": len(prompt.vectors)}
    doing, done = f"{task.title}, {'untuned' if prompt is None else 'with the prompt'}", 0
    for places in _parts(task.questions):
        watch(doing, done, len(task.questions))
        laid_out = sheet(task.kind, [task.questions[place] for place in places], in_words=way.of_texts)
        put = ways.interview(way, respondent, laid_out.questionnaire, lazily=True, **size)
        response = put.ask(None if prompt is None else prompt.vectors)
        shares = laid_out.shares(response)
        whole.shares[places, : shares.shape[1]] = shares
        whole.mass[places] = laid_out.mass(response)
        done += len(places)
    watch(doing, done, len(task.questions))
    return whole


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
