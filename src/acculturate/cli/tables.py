"""Results as tables of plain text."""

from __future__ import annotations

from acculturate.cli.printing import figure
from acculturate.judge.records import Result, RowKind


def plain_tables(result: Result, width: int = 80) -> list[list[list[str]]]:
    """Make tables for a terminal of ``width`` columns, header first: losses, then scores on the trained formats.

    As many dimensions stand in one table as fit beside the labels.
    """
    rows, target = result.rows, result.target.scores
    losses = [["Distance", "trained", "held out", "held out/dim.", "answer mass"]]
    for row in rows:
        train, held = row.train, row.heldout
        mass = figure(None if row.kind is RowKind.FLAT else train.mass, 2)
        figures = [train.loss, *((held.loss, held.mae) if held is not None else (None, None))]
        losses.append([row.label, *map(figure, figures), mass])
    room = width - max(len(row.label) for row in rows)
    tables, scores = [losses], [["Score, trained"], ["Target"], *([row.label] for row in rows)]
    for dim in (d.id for d in result.instrument.dimensions):
        column = [figure(target.get(dim)), *(figure(row.train.scores[dim]) for row in rows)]
        taken = [len(name) + 2 for name in scores[0][1:]]
        if taken and sum(max(7, n) for n in taken) + max(7, len(dim) + 2) > room:
            tables.append(scores)
            scores = [line[:1] for line in scores]
        for line, cell in zip(scores, [dim.upper(), *column], strict=True):
            line.append(cell)
    return [*tables, scores]
