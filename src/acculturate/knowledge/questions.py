"""Multiple-choice questions with right answers as an instrument, so that they are asked just as a survey is.

Every question is an item with a scale of its own, on which the right option has the value 1 and the others 0. The
item's mean is then the probability of the right option, and the one dimension, their mean, the expected accuracy.
"""

from __future__ import annotations

from pathlib import Path

from acculturate.errors import FileError
from acculturate.files.datafile import Node
from acculturate.files.tables import csv_rows
from acculturate.survey.formats import LABELS
from acculturate.survey.instrument import Dimension, Frame, Instrument, Item, ItemText, Scale, Wording

ACCURACY = "accuracy"
MAX_OPTIONS = min(map(len, LABELS.values()))
_FRAME = Frame(
    intro=("Here is a question with several possible answers. Only one of them is right.",),
    question="Question",
    options="Options",
    answer="Answer",
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
    rows = csv_rows(path)
    columns = _columns(path, rows[0][1])
    items, scales, texts, options = [], {}, {}, {}
    for number, (line, cells) in enumerate(rows[1:], start=1):
        name = f"q{number}"
        offered = _options(path, line, cells, columns)
        right = _right(f"{path}, line {line}, answer", cells[columns["answer"]], offered)
        items.append(Item(name, name, f"question {number}"))
        scales[name] = Scale(name, tuple(float(k == right) for k in range(len(offered))))
        texts[name] = ItemText(None, (_text(path, line, "question", cells[columns["question"]]),))
        options[name] = (offered,)
    weight = 1 / len(items)
    about = "Mean probability of the right option"
    accuracy = Dimension(ACCURACY, "Expected accuracy", {item.id: weight for item in items}, 0.0, 1.0, about)
    wording = Wording("en", "as in the file", False, str(path), {}, texts, options, _FRAME)
    return Instrument("questions", path.name, "", "", tuple(items), scales, (accuracy,), (wording,), about)


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Find where the needed columns stand, by name."""
    names = [cell.lower() for cell in header]
    columns = {name: place for place, name in enumerate(names)}
    wanted = ["question", "answer", "option_1", "option_2"]
    wanted += [f"option_{k}" for k in range(3, 1 + sum(name.startswith("option_") for name in columns))]
    lacking = [name for name in wanted if names.count(name) != 1]
    if lacking:
        found = "is missing" if lacking[0] not in columns else "stands twice"
        raise FileError(
            f"{path}, line 1: the column '{lacking[0]}' {found}; expected question, answer, option_1, option_2 and on."
        )
    if len(wanted) - 2 > MAX_OPTIONS:
        raise FileError(f"{path}, line 1: a question can have {MAX_OPTIONS} options, not {len(wanted) - 2}.")
    return {name: columns[name] for name in wanted}


def _options(path: Path, line: int, cells: list[str], columns: dict[str, int]) -> tuple[str, ...]:
    """List the options of one question; empty ones at the end are not there."""
    given = {name: cells[place] for name, place in columns.items() if name.startswith("option_")}
    while given and not next(reversed(given.values())):
        given.popitem()
    if len(given) < 2:
        raise FileError(f"{path}, line {line}: the question has {len(given)} options; expected two at least.")
    offered = tuple(_text(path, line, name, cell) for name, cell in given.items())
    for place, option in enumerate(offered):
        if option in offered[:place]:
            raise FileError(f"{path}, line {line}: the option '{option}' stands twice; keep one.")
    return offered


def _text(path: Path, line: int, column: str, cell: str) -> str:
    return Node(str(path), f"line {line}, {column}", cell).text()


def _right(place: str, answer: str, offered: tuple[str, ...]) -> int:
    """Find the index of the option that an answer names, by its text or by its letter."""
    answer = " ".join(answer.split())
    letters = LABELS["letters"][: len(offered)]
    named = set()
    if answer in offered:
        named.add(offered.index(answer))
    if answer.upper() in letters:
        named.add(letters.index(answer.upper()))
    if len(named) > 1:
        raise FileError(
            f"{place}: '{answer}' is the text of one option and the letter of another; name the right one otherwise."
        )
    if not named:
        raise FileError(f"{place}: '{answer}' is neither an option's text nor one of the letters {', '.join(letters)}.")
    return named.pop()
