"""BLEnD, multiple choice: everyday life in sixteen countries and regions.

The published prompt is the question, an instruction and the options in one text. Options are shown in our own formats,
so only the question may stay. A question from whose text the rest cannot be cut for certain is left out.
"""

from __future__ import annotations

import json
import re

from acculturate.files.datafile import Node
from acculturate.files.rows import Row
from acculturate.knowledge.layouts.layout import Layout, LeftOutError, digest, label, letter, optional_label, words
from acculturate.knowledge.task import Question, TaskKind
from acculturate.legible import shown

_ASK = "Without any explanation, choose only one from the given alphabet choices(e.g., A, B, C)."
_INSTRUCTIONS = (f'{_ASK} Provide as JSON format: {{"answer_choice":""}}', _ASK)
# What is left of an instruction or a list of options in a form that is not known here.
_REMAINS = re.compile(r"without any explanation|\bA\. .+ B\. |Answer:$", re.IGNORECASE)
_LETTERS = "ABCD"


def _question(row: Row) -> Question:
    options = _options(row.cell("choices"))
    text = _bare(words(row.cell("prompt|question")), options)
    right = letter(row.cell("answer_idx|answer"), len(options))
    name, country = label(row.cell("ID|id")), optional_label(row, "country")
    return Question(
        # The excerpt of the data in circulation has no ids of variants.
        id=optional_label(row, "MCQID") or f"{name}-{digest(text, options)}",
        text=text,
        options=options,
        right=right,
        country=country,
        # An ID names a question that is put in every country, each time with other answers.
        cluster=f"{name}, {country}" if country else name,
    )


def _options(cell: Node) -> tuple[str, ...]:
    """Read options by their letters: a table, or one in JSON."""
    value = cell.value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    letters = sorted(value) if isinstance(value, dict) and all(isinstance(key, str) for key in value) else []
    if not isinstance(value, dict) or len(letters) < 2 or letters != list(_LETTERS)[: len(letters)]:
        cell.fail(
            f"expected two to four options by their letters from A, like {{'A': 'tea'}}, found {shown(cell.value)}"
        )
    return tuple(words(Node(cell.file, f"{cell.at}, {place}", value[place])) for place in letters)


def _bare(prompt: str, options: tuple[str, ...]) -> str:
    """Cut the instruction and the list of options off a question."""
    listed = " ".join(f"{place}. {option}" for place, option in zip(_LETTERS, options, strict=False))
    for instruction in _INSTRUCTIONS:
        prompt = prompt.removesuffix(f" {instruction} {listed} Answer:")
    if _REMAINS.search(prompt):
        raise LeftOutError("the question cannot be told from the instruction and the options in its text")
    return prompt


LAYOUT = Layout("BLEnD", TaskKind.CHOICE, ("ID|id", "prompt|question", "choices", "answer_idx|answer"), _question)
