"""From the rows of a published benchmark to its questions, with a count of what had to be left out.

Published data have flaws that nobody can mend here: two equal options, an empty text. Such a row is left out and
counted. A file that is not of the layout is refused, and so is one of which most rows would have to be left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from acculturate.errors import FileError, listed
from acculturate.files.rows import Row
from acculturate.knowledge.asking import MAX_OPTIONS
from acculturate.knowledge.layouts.layout import EMPTY, LONGEST, Layout, LeftOutError, digest, length
from acculturate.knowledge.task import Question, TaskKind
from acculturate.legible import STEERING


def gather(rows: Sequence[Row], layout: Layout) -> tuple[tuple[Question, ...], tuple[str, ...]]:
    """Make questions of rows; return them with sentences on what was left out or changed.

    Raises ``UserError`` with file, place and column where the rows are not of the layout.
    """
    _check_columns(rows, layout)
    found: list[tuple[Row, Question]] = []
    left_out: dict[str, list[Row]] = {}
    cleaned = 0
    for row in rows:
        try:
            as_published = layout.question(row)
            question = _without_control_characters(as_published)
            _check(question)
        except LeftOutError as reason:
            left_out.setdefault(str(reason), []).append(row)
            continue
        cleaned += question is not as_published
        found.append((row, question))
    found = _told_apart(found, left_out)
    if layout.kind is TaskKind.JUDGEMENTS:
        found = _in_whole_groups(found, layout.together, left_out)
    if len(found) * 2 < len(rows):
        _refuse(rows, layout, left_out)
    return tuple(question for _, question in found), _notes(left_out, len(rows), cleaned)


def _check_columns(rows: Sequence[Row], layout: Layout) -> None:
    lacking = next((column for column in layout.columns if rows[0].spelling(column) is None), None)
    if lacking:
        wanted = listed([column.partition("|")[0] for column in layout.columns])
        raise FileError(
            f"{rows[0].file}: the column '{lacking.partition('|')[0]}' is missing; {layout.name} has {wanted}."
        )


def _without_control_characters(question: Question) -> Question:
    """Take out characters that are no text, like a backspace that was typed by mistake."""
    texts = (question.id, question.text, *question.options, question.country, question.topic, question.cluster)
    if not STEERING.search("".join((*texts, *question.shares))):
        return question

    def clean(text: str) -> str:
        return STEERING.sub("", text).strip()

    return replace(
        question,
        id=clean(question.id),
        text=clean(question.text),
        options=tuple(map(clean, question.options)),
        country=clean(question.country),
        topic=clean(question.topic),
        cluster=clean(question.cluster),
        shares={clean(name): shares for name, shares in question.shares.items()},
    )


def _check(question: Question) -> None:
    if not all((question.id, question.cluster, question.text, *question.options)):
        raise LeftOutError(EMPTY)
    if len(question.options) < 2:
        raise LeftOutError("it has fewer than two options")
    if len(question.options) > MAX_OPTIONS:
        raise LeftOutError(f"it has more than {MAX_OPTIONS} options, and no labels name so many")
    if len(set(question.options)) < len(question.options):
        raise LeftOutError("two of its options are the same")
    if length(question) > LONGEST:
        raise LeftOutError(f"it has more than {LONGEST:,} characters")


def _told_apart(found: Sequence[tuple[Row, Question]], left_out: dict[str, list[Row]]) -> list[tuple[Row, Question]]:
    """Give questions that share an id one each, made of what they say; leave out copies."""
    uses: dict[str, int] = {}
    for _, question in found:
        uses[question.id] = uses.get(question.id, 0) + 1
    kept: dict[str, tuple[Row, Question]] = {}
    for row, question in found:
        name = question.id
        if uses[name] > 1:
            facts = (question.text, question.options, question.right, question.country, sorted(question.shares.items()))
            name = f"{name}-{digest(facts)}"
        if name in kept:
            left_out.setdefault("it is a copy of another row", []).append(row)
            continue
        # A question without variants is its own cluster, under the id that it has now.
        cluster = name if question.cluster == question.id else question.cluster
        kept[name] = (row, replace(question, id=name, cluster=cluster) if name != question.id else question)
    return list(kept.values())


def _in_whole_groups(
    found: Sequence[tuple[Row, Question]], together: int, left_out: dict[str, list[Row]]
) -> list[tuple[Row, Question]]:
    """Leave out groups of judgements that lack one, and those that contradict themselves."""
    groups: dict[str, list[tuple[Row, Question]]] = {}
    for row, question in found:
        groups.setdefault(question.cluster, []).append((row, question))
    reasons = {}
    for cluster, group in groups.items():
        verdicts = {(question.text, question.right) for _, question in group}
        if len(group) != together:
            reasons[cluster] = f"its question has not {together} judgements"
        elif len(verdicts) > len({text for text, _ in verdicts}):
            reasons[cluster] = "its question calls one answer both true and false"
        if cluster in reasons:
            left_out.setdefault(reasons[cluster], []).extend(row for row, _ in group)
    return [(row, question) for row, question in found if question.cluster not in reasons]


def _refuse(rows: Sequence[Row], layout: Layout, left_out: Mapping[str, Sequence[Row]]) -> None:
    reason, where = max(left_out.items(), key=lambda entry: len(entry[1]))
    raise FileError(
        f"{rows[0].file}: most of its rows cannot be asked ({len(where)} of {len(rows)}, the first at {where[0].at}: "
        f"{reason}); expected {layout.name} as it is published."
    )


def _notes(left_out: Mapping[str, Sequence[Row]], count: int, cleaned: int) -> tuple[str, ...]:
    notes = [
        f"{len(where):,} of {count:,} rows {'was' if len(where) == 1 else 'were'} left out: {reason} "
        f"({'' if len(where) == 1 else 'the first at '}{where[0].at})."
        for reason, where in left_out.items()
    ]
    if cleaned:
        notes.append(f"Control characters were taken out of {cleaned:,} of {count:,} rows.")
    return tuple(notes)
