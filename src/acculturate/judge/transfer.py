"""Transfer matrix (loss by what is new in a format) and item attribution (which items carry the improvement)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from acculturate.judge.bootstrap import mean_interval
from acculturate.survey.formats import ROLES, Format
from acculturate.survey.scoring import Scoring

NEW = {"labels": "labels", "layout": "layout", "variant": "wording", "language": "language", "order": "option order"}
"""What can be new in a format, and the word for it."""
MOST = 3


def novelty(form: Format, trained: Sequence[Format]) -> tuple[str, ...]:
    """What in a format no trained format has, as words of ``NEW``.

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
    """Views that are alike in their role and, where held out, in what is new in them (``views``: their places)."""

    role: str
    new: tuple[str, ...]
    views: tuple[int, ...]

    @property
    def title(self) -> str:
        if self.role != "heldout":
            return {"train": "Trained", "validation": "Validation"}[self.role]
        if not self.new:
            return "New combination"
        return "New " + (self.new[0] if len(self.new) == 1 else f"{', '.join(self.new[:-1])} and {self.new[-1]}")


def columns(forms: Sequence[Format], roles: Sequence[str]) -> tuple[Column, ...]:
    """The columns of the transfer matrix: trained, validation, and held out by what is new, fewest novelties first.

    ``forms``: the first format of every view; with order balance both orders are asked, so order is never new.
    """
    trained = [form for form, role in zip(forms, roles, strict=True) if role == "train"]
    found: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for view, (form, role) in enumerate(zip(forms, roles, strict=True)):
        found.setdefault((role, novelty(form, trained) if role == "heldout" else ()), []).append(view)
    listed = sorted(found, key=lambda key: (ROLES.index(key[0]), len(key[1])))
    return tuple(Column(role, new, tuple(found[role, new])) for role, new in listed)


def transfer_matrix(rows: Sequence[Mapping[str, Any]], found: Sequence[Column]) -> dict[str, list[dict[str, Any]]]:
    """Every row's loss per column, in points, with its 95 % interval over formats, for ``result.json``.

    ``rows``: as ``table.Judge.row`` gives them, asked in every view. Flat answers have no interval, and no column of
    one format has.
    """
    lines = []
    for row in rows:
        losses = np.array([view["loss"] for view in row["by_view"]], dtype=float)
        cells = []
        for column in found:
            those = losses[list(column.views)]
            interval = None if row["kind"] == "flat" else mean_interval(those, least=0.0)
            cells.append({"loss": float(those.mean()), "interval": interval})
        lines.append({"id": row["id"], "label": row["label"], "kind": row["kind"], "cells": cells})
    described = [
        {
            "title": column.title,
            "role": column.role,
            "new": list(column.new),
            "views": [rows[0]["by_view"][v]["view"] for v in column.views],
        }
        for column in found
    ]
    return {"columns": described, "rows": lines}


def towards(
    naive: Float[np.ndarray, "views items"], tuned: Float[np.ndarray, "views items"], scoring: Scoring
) -> Float[np.ndarray, "items"]:
    """How far every item moved its dimensions towards the target, in points, mean over views; away is negative.

    An item's move counts in the direction in which the *untuned* score of its dimension has to go to reach the
    target. The distance that remains would not do as a measure: a search that brings a dimension to its target
    with the other items leaves nothing for this one to improve, and a right move would look wrong.
    """
    needed = np.sign(scoring.target - scoring.scores(naive))
    moved = (tuned - naive)[:, None, :] * scoring.weights
    return np.nansum(moved * needed[:, :, None], axis=1).mean(axis=0)


def item_record(
    naive: Float[np.ndarray, "views items"],
    tuned: Float[np.ndarray, "views items"],
    scoring: Scoring,
    item_ids: Sequence[str],
    *,
    heldout: Sequence[str] = (),
    material: float = 0.0,
) -> dict[str, Any]:
    """What the improvement on one role's views rests on, for ``result.json``; all figures in points.

    ``cost`` of an item: what the loss rises by when the tuned prompt's answers to it are replaced by the untuned
    model's. ``share``: that as a share of the improvement, None where the improvement is at most the share
    ``material`` of the untuned loss; costs do not add up, because items that moved against each other both cost.
    ``top`` are the most costly, replaced together. ``interval``: of the improvement, 95 % over formats, paired; None
    where there is one format.
    """
    losses = [scoring.distances(scoring.scores(means)) for means in (naive, tuned)]
    gains = losses[0] - losses[1]
    before, after = (float(one.mean()) for one in losses)
    improvement = before - after
    used = (scoring.weights[~np.isnan(scoring.target)] != 0).any(axis=0)

    def cost(places: Sequence[int]) -> float:
        mixed = tuned.copy()
        mixed[:, list(places)] = naive[:, list(places)]
        return float(scoring.distances(scoring.scores(mixed)).mean()) - after

    def share(points: float) -> float | None:
        return points / improvement if improvement > material * before else None

    costs, moves = [cost([i]) for i in range(len(item_ids))], towards(naive, tuned, scoring)
    ranked = sorted(np.flatnonzero(used).tolist(), key=lambda i: -costs[i])
    held = np.isin(item_ids, list(heldout))
    return {
        "untuned": before,
        "improvement": improvement,
        "interval": mean_interval(gains),
        "top": [
            {"items": [item_ids[i] for i in ranked[:n]], "cost": cost(ranked[:n]), "share": share(cost(ranked[:n]))}
            for n in (1, MOST)
        ],
        "items": [
            {"id": item, "cost": costs[i], "share": share(costs[i]), "towards": float(moves[i])}
            for i, item in enumerate(item_ids)
        ],
        "trained_items": _together(moves, used & ~held),
        "heldout_items": _together(moves, used & held) if held.any() else None,
    }


def _together(moves: Float[np.ndarray, "items"], which: Bool[np.ndarray, "items"]) -> dict[str, Any]:
    """How many of some items moved towards the target, their mean move, and how often a coin does as well."""
    some = moves[which]
    n, right = len(some), int((some > 0).sum())
    by_chance = sum(math.comb(n, k) for k in range(right, n + 1)) / 2**n
    return {"n": n, "towards": right, "mean": float(some.mean()) if n else None, "chance": by_chance}


def item_sentences(records: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
    """The item figures of the most telling role in words: held out where there is one."""
    role = "heldout" if records.get("heldout") else "train"
    record, where = records[role], "unseen" if role == "heldout" else "trained"
    assert record is not None
    sentences = []
    one, three = record["top"]
    if one["share"] is not None:
        sentences.append(
            f"Without the move of item {one['items'][0]} the improvement on {where} formats would be smaller by "
            f"{one['share']:.0%}, without {_listed(three['items'])} by {three['share']:.0%}."
        )
    held = record["heldout_items"]
    if held:
        sentences.append(
            f"Of the {held['n']} items that the search never asked, {held['towards']} moved towards the target on "
            f"{where} formats (as many by chance: {held['chance']:.2f}), by {held['mean']:+.1f} points an item; the "
            f"trained items by {record['trained_items']['mean']:+.1f}."
        )
    return sentences


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
