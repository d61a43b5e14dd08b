"""A user's own questions with right answers: a CSV, or JSON Lines with an object a question.

Unlike published data they can be corrected, so nothing is left out: the first mistake is refused with its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from acculturate.errors import FileError
from acculturate.files.datafile import Node
from acculturate.files.rows import Row, read_rows
from acculturate.files.tables import csv_rows
from acculturate.knowledge.layouts.layout import LONGEST, label, length, nothing
from acculturate.knowledge.task import Question
from acculturate.legible import STEERING, shown
from acculturate.survey.formats import LABELS

MAX_OPTIONS = min(map(len, LABELS.values()))
_DESCRIBING = ("id", "country", "topic")


def own_questions(path: Path) -> tuple[Question, ...]:
    """Read a user's questions from a .csv or .jsonl file; ``UserError`` with file, line and column.

    Columns of the CSV are ``question``, ``answer`` and ``option_1`` to ``option_k``; an object of JSON Lines has
    ``question``, ``options`` (a list) and ``answer``. The answer is an option's text or letter, in JSON Lines also its
    place from 0. Optional: ``id`` (q1, q2 and on by default), ``country`` and ``topic``. All else is ignored.
    """
    table = path.suffix.lower() == ".csv"
    read = csv_questions(path, _DESCRIBING) if table else _json_questions(path)
    described = [(row, _described(row, question)) for row, question in read]
    place_of: dict[str, str] = {}
    for row, question in described:
        if question.id in place_of:
            row.fail(f"the id {shown(question.id)} stands at {place_of[question.id]} already; give each its own")
        place_of[question.id] = row.at
    return tuple(question for _, question in described)


def csv_questions(path: Path, beside: Sequence[str] = ()) -> Iterator[tuple[Row, Question]]:
    """Read text, options and right option of every question in a CSV, each with its whole row.

    ``UserError`` with file, line and column. A question may leave its last options empty. ``beside``: further columns
    that the caller reads, so that none of them may stand twice.
    """
    (_, header), *lines = csv_rows(path)
    names = [cell.lower() for cell in header]
    wanted = _columns(path, names, beside)
    for number, (line, cells) in enumerate(lines, start=1):
        row = Row(str(path), f"line {line}", dict(zip(names, cells, strict=True)))
        given = [row.cell(name) for name in wanted if name.startswith("option_")]
        while given and not given[-1].value:
            given.pop()
        yield row, _question(row, f"q{number}", given)


def _json_questions(path: Path) -> Iterator[tuple[Row, Question]]:
    for number, row in enumerate(read_rows(path), start=1):
        yield row, _question(row, f"q{number}", row.cell("options").rows())


def _question(row: Row, name: str, given: Sequence[Node]) -> Question:
    options = _options(row, given)
    right = _right(row.cell("answer"), options)
    return Question(name, row.cell("question").text(), options, right)


def _described(row: Row, question: Question) -> Question:
    """Add what a row says beside the question, and refuse what no model is to be shown."""
    facts = {name: label(row.cell(name)) for name in _DESCRIBING if not nothing(row.cells.get(name))}
    for name in ("question", "options", *facts):
        said = {"question": (question.text,), "options": question.options}.get(name) or (facts[name],)
        if found := STEERING.search("".join(said)):
            row.fail(f"{name}: it has the control character U+{ord(found[0]):04X}; take it out")
    if length(question) > LONGEST:
        row.fail(f"the question and its options have {length(question):,} characters; expected {LONGEST:,} at most")
    return replace(question, **facts, cluster=facts.get("id", question.id))


def _columns(path: Path, names: Sequence[str], beside: Sequence[str]) -> list[str]:
    """List the columns that are needed, and check that each is there once."""
    wanted = ["question", "answer", "option_1", "option_2"]
    wanted += [f"option_{k}" for k in range(3, 1 + sum(name.startswith("option_") for name in dict.fromkeys(names)))]
    lacking = [name for name in wanted if names.count(name) != 1]
    lacking += [name for name in beside if names.count(name) > 1]
    if lacking:
        found = "is missing" if lacking[0] not in names else "stands twice"
        raise FileError(
            f"{path}, line 1: the column '{lacking[0]}' {found}; expected question, answer, option_1, option_2 and on."
        )
    if len(wanted) - 2 > MAX_OPTIONS:
        raise FileError(f"{path}, line 1: a question can have {MAX_OPTIONS} options, not {len(wanted) - 2}.")
    return wanted


def _options(row: Row, given: Sequence[Node]) -> tuple[str, ...]:
    if len(given) < 2:
        row.fail(f"the question has {len(given)} options; expected two at least")
    if len(given) > MAX_OPTIONS:
        row.fail(f"a question can have {MAX_OPTIONS} options, not {len(given)}")
    offered = tuple(cell.text() for cell in given)
    for place, option in enumerate(offered):
        if option in offered[:place]:
            row.fail(f"the option '{option}' stands twice; keep one")
    return offered


def _right(answer: Node, offered: tuple[str, ...]) -> int:
    """Find the place of the option that an answer names, by its text, its letter or (a number) its place."""
    number = answer.value if isinstance(answer.value, int) and not isinstance(answer.value, bool) else None
    said = str(number) if number is not None else answer.text()
    letters = LABELS["letters"][: len(offered)]
    named: Mapping[str, int | None] = {
        "text": offered.index(said) if said in offered else None,
        "letter": letters.index(said.upper()) if said.upper() in letters else None,
        "place": number if number is not None and 0 <= number < len(offered) else None,
    }
    found = {place for place in named.values() if place is not None}
    if len(found) > 1:
        other = "place" if number is not None else "letter"
        answer.fail(f"'{said}' is the text of one option and the {other} of another; name the right one otherwise")
    if not found:
        places = f", nor a place from 0 to {len(offered) - 1}" if number is not None else ""
        answer.fail(f"'{said}' is neither an option's text nor one of the letters {', '.join(letters)}{places}")
    return found.pop()
