"""A fitted instrument as a TOML file, with a place for every word that only the user has."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tomlkit
from tomlkit.items import InlineTable, Table

from acculturate.errors import FileError
from acculturate.survey.diagnostics import FactorDiagnostics
from acculturate.survey.factor import SALIENT, members


def instrument_toml(
    title: str,
    source: str,
    fit: FactorDiagnostics,
    ranges: Sequence[tuple[int, ...]],
    texts: Mapping[str, str] | None,
) -> str:
    """Write the instrument that a factor solution makes, as ``load_instrument`` reads it.

    Parameters
    ----------
    title, source
        The instrument's name, and the name of the file with the answers.
    fit
        The factor solution; each item joins the dimension of its largest loading.
    ranges
        The options of every item, in the order of ``fit.items``.
    texts
        The questions by item; None leaves a placeholder for each.

    Raises
    ------
    UserError
        Where no item loads on any factor.
    """
    loadings = np.array([fit.loadings[item] for item in fit.items])
    groups = members(loadings)
    kept = sorted(i for chosen in groups.values() for i in chosen)
    if not kept:
        raise FileError(f"No item of {source} loads on any factor by {SALIENT} or more: there is no instrument in it.")
    scales = {_scale_id(options): options for options in dict.fromkeys(ranges[i] for i in kept)}
    document = tomlkit.document()
    # JSON's escapes keep a comment on its line, whatever the file is called.
    document.add(
        tomlkit.comment(f"Fitted from {json.dumps(source)[1:-1]}: {fit.people} people, {fit.factors} factors.")
    )
    document.add(
        tomlkit.comment(
            "Every text that begins with FILL IN is a placeholder; options run from the lowest answer upwards."
        )
    )
    document["id"] = re.sub(r"[^A-Za-z0-9_-]+", "_", title)
    document["name"] = title
    document["version"] = "1"
    document["citation"] = f"Fitted from {source}; FILL IN the source of the data"
    document["about"] = f"{len(groups)} dimensions of {len(kept)} items from {fit.people} respondents"
    document["scales"] = _table({key: list(options) for key, options in scales.items()})
    document["items"] = _table(
        {fit.items[i]: _inline({"scale": _scale_id(ranges[i]), "topic": fit.items[i]}) for i in kept}
    )
    dimensions = tomlkit.table(is_super_table=True)
    for f, chosen in groups.items():
        dimensions[f"f{f + 1}"] = _dimension(f, chosen, fit, ranges)
    document["dimensions"] = dimensions
    questions = {fit.items[i]: f"FILL IN the question of item {fit.items[i]}" for i in kept}
    questions |= {item: text for item, text in (texts or {}).items() if item in questions}
    document["wording"] = _wording(questions, scales)
    return tomlkit.dumps(document)


def _table(entries: Mapping[str, object]) -> Table:
    table = tomlkit.table()
    table.update(entries)
    return table


def _inline(entries: Mapping[str, object]) -> InlineTable:
    table = tomlkit.inline_table()
    table.update(entries)
    return table


def _scale_id(options: Sequence[int]) -> str:
    """Name a scale by its options: from1to5, or of0_25_50 where it has not every whole number between its ends."""
    low, high = options[0], options[-1]
    whole = len(options) == high - low + 1
    return (f"from{low}to{high}" if whole else "of" + "_".join(map(str, options))).replace("-", "minus")


def _dimension(f: int, chosen: Sequence[int], fit: FactorDiagnostics, ranges: Sequence[tuple[int, ...]]) -> Table:
    """Describe one dimension: weights of equal size by the sign of the loading, from 0 to 100 around C = 50.

    Equal, because loadings from one sample weight the next one no better (Wainer 1976).
    """
    weights, middle = {}, 0.0
    for i in chosen:
        low, high = ranges[i][0], ranges[i][-1]
        # The file has six digits; the offset must belong to what the file says.
        weight = round(math.copysign(100 / (len(chosen) * (high - low)), fit.loadings[fit.items[i]][f]), 6)
        weights[fit.items[i]] = weight
        middle += weight * (low + high) / 2
    alpha = fit.alpha[f"f{f + 1}"]
    reliability = "unknown" if math.isnan(alpha) else f"{alpha:.2f}"
    table = tomlkit.table()
    table["name"] = f"Factor {f + 1}"
    table.add(tomlkit.comment(f"Explains {fit.explained[f]:.1%} of the variance; Cronbach's alpha {reliability}."))
    table["about"] = f"FILL IN what high and low mean; alpha {reliability}"
    table["low"] = 0
    table["high"] = 100
    table["weights"] = _inline(
        {item: int(weight) if weight == int(weight) else weight for item, weight in weights.items()}
    )
    table["offset"] = round(-middle, 6)
    return table


def _wording(questions: Mapping[str, str], scales: Mapping[str, Sequence[int]]) -> Table:
    """Hold the English words: the questions, and placeholders for the options and for who worded them."""
    english = _table({"name": "English", "official": False, "source": "FILL IN who worded it"})
    english["items"] = _table({item: _inline({"text": [text]}) for item, text in questions.items()})
    english["scales"] = _table(
        {key: [[f"FILL IN the option of value {value}" for value in values]] for key, values in scales.items()}
    )
    wording = tomlkit.table(is_super_table=True)
    wording["en"] = english
    return wording
