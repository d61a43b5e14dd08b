"""CulturalBench-Hard: four answers proposed to each question, each to be judged; a question counts if all are right.

More than one of the four can be true.
"""

from __future__ import annotations

from acculturate.files.datafile import Node
from acculturate.files.rows import Row
from acculturate.knowledge.layouts.layout import Layout, label, words
from acculturate.knowledge.task import Question, TaskKind
from acculturate.legible import shown


def _question(row: Row) -> Question:
    asked, proposed = words(row.cell("prompt_question")), words(row.cell("prompt_option"))
    return Question(
        id=label(row.cell("data_idx")),
        text=f'To the question "{asked}" somebody answers "{proposed}". Is that answer true or false?',
        options=("True", "False"),
        right=0 if _truth(row.cell("answer")) else 1,
        country=label(row.cell("country")),
        cluster=label(row.cell("question_idx")),
    )


def _truth(cell: Node) -> bool:
    if isinstance(cell.value, bool):
        return cell.value
    found = cell.value.strip().casefold() if isinstance(cell.value, str) else ""
    if found not in ("true", "false"):
        cell.fail(f"expected True or False, found {shown(cell.value)}")
    return found == "true"


LAYOUT = Layout(
    "CulturalBench-Hard",
    TaskKind.JUDGEMENTS,
    ("data_idx", "question_idx", "prompt_question", "prompt_option", "answer", "country"),
    _question,
    together=4,
)
