"""Selection of a run's winner among its best candidates by a task, such as cultural knowledge."""

from __future__ import annotations

from collections.abc import Callable

from acculturate.errors import SettingError, setting
from acculturate.files.record import or_nan
from acculturate.judge.evaluation_records import Measure
from acculturate.judge.knowledge import measures
from acculturate.knowledge.catalog import load_task
from acculturate.knowledge.specimens import FLUENCY
from acculturate.knowledge.task import Task, TaskKind
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers.tasks import TaskAnswers, answer, read_as
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.search.history import FinalistRecord, SelectionRecord
from acculturate.search.shortlist import Finalist
from acculturate.survey.formats import ROLES


def selecting_task(name: str | None) -> Task | None:
    """Load the task that picks a winner; ``UserError`` for one by which no prompt is better than another."""
    if name is None:
        return None
    if name in (FLUENCY, *ROLES):
        other = f"a say in the winner have the formats of {setting('validation_formats')}"
        raise SettingError(
            f"{setting('select_by')} takes a task with right answers, like general or mini, not {name}; {other}."
        )
    task = load_task(name)
    if task.kind is TaskKind.COURSES:
        raise SettingError(
            f"The task '{name}' has no right answers, so no prompt is better at it; name one that has, like general or "
            "mini."
        )
    return task


def select(
    respondent: Respondent,
    task: Task,
    answers: str,
    candidates: list[Finalist],
    prompt_of: Callable[[Finalist], SoftPrompt],
    tell: Callable[[str], None],
) -> tuple[Finalist, SelectionRecord]:
    """Select the candidate that is best at a task; of equals, the one that was listed first.

    Parameters
    ----------
    respondent
        The model.
    task, answers
        What is asked, and how the answers are read.
    candidates
        Whom to choose from, the lowest loss first.
    prompt_of
        Makes a candidate's soft prompt.
    tell
        Is told how far it is.
    """
    way = read_as(AnswerKind(answers).weighed, task.kind)

    def watch(_: str, done: int, of: int) -> None:
        tell(f"selecting by {task.title} among {len(candidates)}, {done} of {of} questions")

    answered = answer(respondent, task, way, (None, *map(prompt_of, candidates)), watch=watch)
    untuned, *measured = (_first_measure(task, one) for one in answered)
    figures = [or_nan(one.whole.untuned) for one in measured]
    sign = -1.0 if untuned.better == "lower" else 1.0
    best = max(range(len(candidates)), key=lambda k: (sign * figures[k], -k))
    record = SelectionRecord(
        task=task.name,
        title=task.title,
        checksum=task.checksum,
        measure=untuned.name,
        unit=untuned.unit,
        untuned=or_nan(untuned.whole.untuned),
        finalists=tuple(
            FinalistRecord(evaluations=one.evaluations, judged=one.judged, figure=figure)
            for one, figure in zip(candidates, figures, strict=True)
        ),
        selected=best,
    )
    return candidates[best], record


def _first_measure(task: Task, answered: TaskAnswers) -> Measure:
    return measures(task, answered.shares)[0]
