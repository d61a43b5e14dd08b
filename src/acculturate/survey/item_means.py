"""Item means from people or elsewhere, and their dimension scores."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from acculturate.errors import FileError
from acculturate.files.datafile import BOUNDS, nearest, user_path
from acculturate.files.tables import MISSING, cell_number, csv_rows
from acculturate.legible import shown
from acculturate.survey.instrument import Instrument
from acculturate.survey.scoring import dimension_scores


def canonical_item(instrument: Instrument, name: str) -> str:
    """Return the instrument's own id of an item; raises ``UserError`` naming the nearest one when there is none.

    Where all ids are one prefix and a number (VSM: m01 to m24), "m01", "m1", "1", "01" and "q1" are one item.
    """
    if name in instrument.item_ids:
        return name
    parts = [part for item_id in instrument.item_ids if (part := re.fullmatch(r"([a-z]+)0*(\d+)", item_id))]
    by_number = {part[2]: part[0] for part in parts}
    if len(by_number) == len(instrument.items) and len({part[1] for part in parts}) == 1:
        number = re.fullmatch(rf"(?:{parts[0][1]}|q)?0*(\d+)", name.strip().lower())
        if number and number[1] in by_number:
            return by_number[number[1]]
    raise FileError(
        f"Instrument '{instrument.id}' has no item '{name}'{nearest(name, instrument.item_ids)}; "
        "use the item ids of the instrument."
    )


def score_item_means(
    instrument: Instrument,
    means: Mapping[str, float | int | None],
    *,
    constant: float | int | Mapping[str, float | int] = 50.0,
    mas25: bool = False,
) -> dict[str, float | None]:
    """Compute the dimension scores, in points, of item means from people or elsewhere: dimension id -> score.

    A mean that is None, NaN or not given is missing; a dimension that uses it is None. Raises ``UserError``
    for an unknown or repeated item and for a mean outside the values of the item's options.
    """
    table = np.full(len(instrument.items), np.nan)
    names: dict[str, str] = {}
    for name, mean in means.items():
        item_id = canonical_item(instrument, name)
        if item_id in names:
            raise FileError(f"Item '{item_id}' is given twice, as '{names[item_id]}' and as '{name}'; keep one.")
        names[item_id] = name
        # Not a whole number: math.isnan overflows on one of hundreds of digits.
        if mean is None or (isinstance(mean, float | np.floating) and math.isnan(mean)):
            continue
        index = instrument.item_ids.index(item_id)
        values = instrument.scales[instrument.items[index].scale].values
        if not min(values) <= mean <= max(values):
            raise FileError(
                f"The mean {shown(mean)} of item '{item_id}' lies outside the values of its options, "
                f"{min(values):g} to {max(values):g}; check the coding of this item."
            )
        table[index] = mean
    scores = dimension_scores(table, instrument.weights(mas25=mas25), instrument.constants(constant))
    return {
        dimension: None if math.isnan(score) else float(score)
        for dimension, score in zip(instrument.dimension_ids, scores, strict=True)
    }


def read_item_means(path: Path) -> dict[str, float | None]:
    """Read item means from a CSV file with the columns ``item`` and ``mean`` (UTF-8, header required).

    The columns' names may have capitals. An empty mean, NA or #NULL! is missing (None); other columns are ignored.
    Raises ``UserError`` with file and line.
    """
    (_, named), *rows = csv_rows(user_path(str(path)))
    header = [cell.casefold() for cell in named]
    if header.count("item") != 1 or header.count("mean") != 1:
        raise FileError(
            f"{path}, line 1: expected a header with the columns item and mean, found {shown(','.join(named))}."
        )
    means: dict[str, float | None] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        place = f"{path}, line {line}"
        item, mean = row[header.index("item")], row[header.index("mean")]
        if not item:
            raise FileError(f"{place}: the item id is empty; write the id of the item whose mean this is.")
        if item in means:
            raise FileError(f"{place}: item {shown(item)} stands already in line {lines[item]}; keep one of them.")
        means[item], lines[item] = _mean(mean, place), line
    return means


def _mean(cell: str, place: str) -> float | None:
    if cell.lower() in MISSING:
        return None
    mean = cell_number(cell)
    if mean is None:
        raise FileError(
            f"{place}: expected a number with a decimal point, {BOUNDS}, as the mean, or nothing, NA or #NULL! for a "
            f"missing one, found {shown(cell)}."
        )
    return mean
