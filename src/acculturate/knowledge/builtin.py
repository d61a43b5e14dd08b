"""Tasks that come with the package: short texts written for it, in ``data``, one CSV a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from importlib.resources.abc import Traversable

from acculturate.errors import FileError
from acculturate.files.rows import Row, text_rows
from acculturate.knowledge.task import Question, Task, TaskKind, hash_order
from acculturate.legible import shown

LICENCE = "Apache-2.0"
CITATION = "Written for acculturate."


@dataclass(frozen=True)
class _Builtin:
    title: str
    kind: TaskKind
    about: str
    read: Callable[[Sequence[Row]], list[Question]]


def builtin_tasks() -> dict[str, str]:
    """List the names of the built-in tasks, each with a line on what it is."""
    return {name: task.about for name, task in _TASKS.items()}


def load_builtin(name: str, folder: Traversable | None = None) -> Task:
    """Load a built-in task by its name; ``folder`` holds its file where that is not the package's own."""
    task = _TASKS[name]
    file = f"{name}.csv"
    place = (folder or resources.files("acculturate.knowledge") / "data") / file
    try:
        rows = text_rows(place.read_text(encoding="utf-8-sig"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"Cannot read the built-in task '{name}' ({error}); install acculturate anew.") from None
    if not rows:
        raise FileError(f"{file}: expected at least one row below the header.")
    questions = tuple(task.read(rows))
    _check_ids(rows, questions)
    return Task(name, task.title, task.kind, questions, LICENCE, CITATION, f"built in ({file})")


def _check_ids(rows: Sequence[Row], questions: Sequence[Question]) -> None:
    seen: set[str] = set()
    for row, question in zip(rows, questions, strict=True):
        if question.id in seen:
            row.fail(f"the id {shown(question.id)} stands twice")
        seen.add(question.id)


def _choices(rows: Sequence[Row]) -> list[Question]:
    """Read questions with one right option and three wrong ones, and put the right one where it cannot be guessed.

    The questions take turns through the four places, country after country, in the order of their ids' hashes. So
    every place is right equally often for each country and over all, whatever the order of the file.
    """
    found = [_choice(row) for row in rows]
    order = sorted(range(len(found)), key=lambda k: (found[k].country, hash_order(found[k].id)))
    for turn, k in enumerate(order):
        right, *wrong = found[k].options
        place = turn % len(found[k].options)
        found[k] = replace(found[k], options=(*wrong[:place], right, *wrong[place:]), right=place)
    return found


def _choice(row: Row) -> Question:
    options = _options(row, "right", "wrong_1", "wrong_2", "wrong_3")
    country = str(row.cell("country").value)  # empty for general knowledge
    return Question(
        row.cell("id").id(), row.cell("question").text(), options, country=country, topic=row.cell("topic").text()
    )


def _courses(rows: Sequence[Row]) -> list[Question]:
    """Read situations with two courses of action: of somebody high on a dimension, and of somebody low on it."""
    return [
        Question(
            row.cell("id").id(),
            row.cell("situation").text(),
            _options(row, "high", "low"),
            topic=row.cell("dimension").id().lower(),
        )
        for row in rows
    ]


def _options(row: Row, *columns: str) -> tuple[str, ...]:
    options = tuple(row.cell(name).text() for name in columns)
    if len(set(options)) < len(options):
        row.fail("two of its options are the same")
    return options


_TASKS = {
    "mini": _Builtin(
        "Mini (everyday life and customs)",
        TaskKind.CHOICE,
        "questions on everyday life in some countries, one right option of four",
        _choices,
    ),
    "general": _Builtin(
        "General knowledge", TaskKind.CHOICE, "questions about no country, one right option of four", _choices
    ),
    "scenarios": _Builtin(
        "Scenarios",
        TaskKind.COURSES,
        "situations with two courses of action, one of each end of a dimension of culture",
        _courses,
    ),
}
