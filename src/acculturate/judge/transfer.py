"""Transfer matrix (loss by what is new in a format) and item attribution (which items carry the improvement)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from acculturate.errors import listed
from acculturate.files.record import or_nan
from acculturate.judge.bootstrap import mean_interval
from acculturate.judge.records import (
    ItemMove,
    ItemRecord,
    Row,
    RowKind,
    Together,
    TopItems,
    Transfer,
    TransferCell,
    TransferColumn,
    TransferRow,
)
from acculturate.survey.formats import ROLES, Format, Role
from acculturate.survey.scoring import Scoring

NEW = {"labels": "labels", "layout": "layout", "variant": "wording", "language": "language", "order": "option order"}
"""What can be new in a format, and the word for it."""
MOST = 3


def novelty(form: Format, trained: Sequence[Format]) -> tuple[str, ...]:
    """Name what in a format no trained format has, as words of ``NEW``.

    A wording belongs to its language: in a new language every text is new, which is not counted again.
    """
    new = [
        word
        for field, word in NEW.items()
        if field != "variant" and getattr(form, field) not in {getattr(one, field) for one in trained}
    ]
    texts = {(one.language, one.variant) for one in trained}
    if "language" not in new and (form.language, form.variant) not in texts:
        new.append("wording")
    return tuple(word for word in NEW.values() if word in new)


@dataclass(frozen=True)
class Column:
    """Hold views that are alike in their role and, where held out, in what is new in them (``views``: their places)."""

    role: Role
    new: tuple[str, ...]
    views: tuple[int, ...]

    @property
    def title(self) -> str:
        """What stands over the column."""
        if self.role is not Role.HELDOUT:
            return self.role.heading
        if not self.new:
            return "New combination"
        return f"New {listed(self.new)}"


def columns(forms: Sequence[Format], roles: Sequence[Role]) -> tuple[Column, ...]:
    """Group views into the columns of the transfer matrix: trained, validation, and held out by what is new.

    The fewest novelties stand first.

    ``forms``: the first format of every view; with order balance both orders are asked, so order is never new.
    """
    trained = [form for form, role in zip(forms, roles, strict=True) if role is Role.TRAIN]
    groups: dict[tuple[Role, tuple[str, ...]], list[int]] = {}
    for view, (form, role) in enumerate(zip(forms, roles, strict=True)):
        groups.setdefault((role, novelty(form, trained) if role is Role.HELDOUT else ()), []).append(view)
    ordered = sorted(groups, key=lambda key: (ROLES.index(key[0]), len(key[1])))
    return tuple(Column(role, new, tuple(groups[role, new])) for role, new in ordered)


def transfer_matrix(rows: Sequence[Row], matrix_columns: Sequence[Column]) -> Transfer:
    """Tabulate every row's loss per column, in points, with its 95 % interval over formats.

    ``rows``: asked in every view. Flat answers have no interval, and no column of one format has.
    """
    lines = []
    for row in rows:
        losses = np.array([or_nan(view.loss) for view in row.by_view])
        cells = []
        for column in matrix_columns:
            those = losses[list(column.views)]
            interval = None if row.kind is RowKind.FLAT else mean_interval(those, least=0.0)
            cells.append(TransferCell(loss=float(those.mean()), interval=interval))
        lines.append(TransferRow(id=row.id, label=row.label, kind=row.kind, cells=tuple(cells)))
    described = tuple(
        TransferColumn(
            title=column.title,
            role=column.role,
            new=column.new,
            views=tuple(rows[0].by_view[v].view for v in column.views),
        )
        for column in matrix_columns
    )
    return Transfer(columns=described, rows=tuple(lines))


def towards(
    untuned: Float[np.ndarray, "views items"], tuned: Float[np.ndarray, "views items"], scoring: Scoring
) -> Float[np.ndarray, "items"]:
    """Measure how far every item moved its dimensions towards the target, in points, mean over views.

    A move away is negative.

    An item's move counts in the direction in which the *untuned* score of its dimension has to go to reach the
    target. The distance that remains would not do as a measure: a search that brings a dimension to its target
    with the other items leaves nothing for this one to improve, and a right move would look wrong.
    """
    needed = np.sign(scoring.target - scoring.scores(untuned))
    moved = (tuned - untuned)[:, None, :] * scoring.weights
    return np.nansum(moved * needed[:, :, None], axis=1).mean(axis=0)


def item_record(
    untuned: Float[np.ndarray, "views items"],
    tuned: Float[np.ndarray, "views items"],
    scoring: Scoring,
    item_ids: Sequence[str],
    *,
    heldout: Sequence[str] = (),
    material: float = 0.0,
) -> ItemRecord:
    """Find what the improvement on one role's views rests on; all figures in points (``ItemRecord``).

    Parameters
    ----------
    untuned, tuned
        Item means, option values.
    heldout
        Items that the search did not ask.
    material
        Share of the untuned loss up to which an improvement is immaterial, and nothing is a share of it.
    """
    losses = [scoring.distances(scoring.scores(means)) for means in (untuned, tuned)]
    gains = losses[0] - losses[1]
    before, after = (float(one.mean()) for one in losses)
    improvement = before - after
    used = (scoring.weights[~np.isnan(scoring.target)] != 0).any(axis=0)

    def cost(places: Sequence[int]) -> float:
        mixed = tuned.copy()
        mixed[:, list(places)] = untuned[:, list(places)]
        return float(scoring.distances(scoring.scores(mixed)).mean()) - after

    def share(points: float) -> float | None:
        return points / improvement if improvement > material * before else None

    def together(places: Sequence[int]) -> TopItems:
        return TopItems(items=tuple(item_ids[i] for i in places), cost=cost(places), share=share(cost(places)))

    costs, moves = [cost([i]) for i in range(len(item_ids))], towards(untuned, tuned, scoring)
    ranked = sorted(np.flatnonzero(used).tolist(), key=lambda i: -costs[i])
    held = np.isin(item_ids, list(heldout))
    return ItemRecord(
        untuned=before,
        improvement=improvement,
        interval=mean_interval(gains),
        top=tuple(together(ranked[:n]) for n in (1, MOST)),
        items=tuple(
            ItemMove(id=item, cost=costs[i], share=share(costs[i]), towards=float(moves[i]))
            for i, item in enumerate(item_ids)
        ),
        trained_items=_together(moves, used & ~held),
        heldout_items=_together(moves, used & held) if held.any() else None,
    )


def _together(moves: Float[np.ndarray, "items"], which: Bool[np.ndarray, "items"]) -> Together:
    """Count how many of some items moved towards the target, and how often a coin does as well."""
    some = moves[which]
    n, right = len(some), int((some > 0).sum())
    by_chance = sum(math.comb(n, k) for k in range(right, n + 1)) / 2**n
    return Together(n=n, towards=right, mean=float(some.mean()) if n else None, chance=by_chance)


def item_sentences(records: Mapping[Role, ItemRecord | None]) -> list[str]:
    """Say the item figures of the most telling role in words: held out where there is one."""
    role = Role.HELDOUT if records.get(Role.HELDOUT) else Role.TRAIN
    record, where = records[role], "unseen" if role is Role.HELDOUT else "trained"
    if record is None:
        return []
    sentences = []
    one, three = record.top
    if one.share is not None and three.share is not None:
        sentences.append(
            f"Without the move of item {one.items[0]} the improvement on {where} formats would be smaller by "
            f"{one.share:.0%}, without {listed(three.items)} by {three.share:.0%}."
        )
    held, trained = record.heldout_items, record.trained_items
    if held is not None:
        sentences.append(
            f"Of the {held.n} items that the search never asked, {held.towards} moved towards the target on "
            f"{where} formats (as many by chance: {held.chance:.2f}), by {or_nan(held.mean):+.1f} points an item; the "
            f"trained items by {or_nan(trained.mean):+.1f}."
        )
    return sentences
