"""Multiple-choice questions with right answers as an instrument, so that they are asked just as a survey is.

Every question is an item with a scale of its own, on which the right option has the value 1 and the others 0. The
item's mean is then the probability of the right option, and the one dimension, their mean, the expected accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from acculturate.errors import SettingError
from acculturate.knowledge.asking import frame
from acculturate.knowledge.layouts.own import csv_questions
from acculturate.knowledge.task import Question, Task, TaskKind
from acculturate.survey.instrument import Dimension, Instrument, Item, ItemText, Scale, Wording

ACCURACY = "accuracy"
_FRAME = replace(
    frame(TaskKind.CHOICE),
    ask={
        "digits": "Reply with the number of the right one ({labels}) and nothing else.",
        "letters": "Reply with the letter of the right one ({labels}) and nothing else.",
        "marks": "Reply with the mark of the right one ({labels}) and nothing else.",
    },
)


def read_questions(path: Path) -> Instrument:
    """Read an instrument from a CSV with columns question, answer, option_1 to option_k; others are ignored.

    ``answer`` is the right option's text or its letter (A: option_1); where these would be two different options
    the row is refused. A question may leave its last options empty. Raises ``UserError`` with file, line and column.
    """
    return _instrument([question for _, question in csv_questions(path)], path.name, str(path))


def questions_of(task: Task) -> Instrument:
    """Turn a task whose questions have right options into an instrument; ``UserError`` for a task of another kind."""
    if task.kind is not TaskKind.CHOICE:
        raise SettingError(
            f"The task '{task.name}' has no right options to choose from ({task.kind}); name one of multiple choice, "
            "like mini."
        )
    named = [replace(question, id=f"q{number}") for number, question in enumerate(task.questions, start=1)]
    return _instrument(named, task.title, task.source)


def _instrument(questions: Sequence[Question], name_of_all: str, source: str) -> Instrument:
    items, scales, texts, options = [], {}, {}, {}
    for number, question in enumerate(questions, start=1):
        name = question.id
        items.append(Item(name, name, f"question {number}"))
        scales[name] = Scale(name, tuple(float(k == question.right) for k in range(len(question.options))))
        texts[name] = ItemText(None, (question.text,))
        options[name] = (question.options,)
    weight = 1 / len(items)
    about = "Mean probability of the right option"
    accuracy = Dimension(ACCURACY, "Expected accuracy", {item.id: weight for item in items}, 0.0, 1.0, about)
    wording = Wording("en", "as in the file", False, source, {}, texts, options, _FRAME)
    return Instrument("questions", name_of_all, "", "", tuple(items), scales, (accuracy,), (wording,), about)
