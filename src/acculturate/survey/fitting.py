"""An instrument from respondents' own answers, with the diagnostics that judge it.

Columns are items, rows are people. Each item joins the dimension of its largest loading (factor.py). What
comes out is a TOML file that ``load_instrument`` reads, with places for the words that only the user has.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from acculturate.errors import UserError, setting
from acculturate.files.datafile import BOUNDS, LARGEST, MISSING, csv_rows, is_number, shown
from acculturate.files.whole_file import write_whole
from acculturate.survey.factor import (
    SALIENT,
    Loadings,
    bartlett,
    correlations,
    kmo,
    members,
    parallel_analysis,
    principal_axes,
    varimax,
)
from acculturate.survey.formats import LABELS
from acculturate.survey.missing_codes import (
    NO_CODES,
    Item,
    even_steps,
    items_of,
    notes_apart,
    refusal,
    suspicions,
    values_apart,
)
from acculturate.survey.reliability import cronbach_alpha

MAX_OPTIONS = max(map(len, LABELS.values()))
_MISSING = MISSING | {"nan", "null"}


@dataclass(frozen=True)
class FactorDiagnostics:
    """What the data allow one to say. Chance is reckoned with the people who answered the rarest pair of
    items.

    ``missing``: share of empty answers per item. ``complete``: people without a gap. ``eigenvalues`` against
    ``thresholds`` (parallel analysis) give ``suggested`` factors; ``factors`` were used. ``explained``: share
    of the items' variance per factor. ``alpha``: Cronbach's alpha per dimension, items keyed. ``left_out``:
    items that load on no factor. ``notes``: sentences on whatever a reader should know.
    """

    people: int
    complete: int
    items: tuple[str, ...]
    missing: dict[str, float]
    kmo: float
    kmo_items: dict[str, float]
    bartlett_chi2: float
    bartlett_freedom: int
    bartlett_p: float
    eigenvalues: tuple[float, ...]
    thresholds: tuple[float, ...]
    suggested: int
    factors: int
    loadings: dict[str, tuple[float, ...]]
    communalities: dict[str, float]
    explained: tuple[float, ...]
    alpha: dict[str, float]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain JSON; NaN as null."""
        return json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)


@dataclass(frozen=True)
class FittedInstrument:
    """The instrument as TOML text and the diagnostics behind it."""

    toml: str
    diagnostics: FactorDiagnostics

    def write(self, path: Path) -> None:
        """Write the TOML file, whole or not at all; an existing file is not overwritten."""
        if path.suffix != ".toml":
            raise UserError(f"The instrument file '{path}' must end in .toml.")
        if path.exists():
            raise UserError(f"'{path}' exists already; give another name or remove it first.")
        try:
            write_whole(path, self.toml.encode())
        except OSError as error:
            raise UserError(f"Cannot write '{path}': {error.strerror or error}.") from None


def fit_instrument(
    path: Path,
    *,
    items: Path | None = None,
    scale: tuple[int, int] | None = None,
    missing: Sequence[int | str] = (),
    factors: int | None = None,
    name: str | None = None,
    seed: int = 0,
) -> FittedInstrument:
    """Build an instrument from a CSV file of respondents.

    UTF-8, one header line; columns are items, rows are people. Answers are whole numbers; an empty cell, NA,
    NULL or #NULL! is missing. ``items``: a CSV file with the columns item and text; it also chooses the items,
    other columns are then ignored. ``scale``: lowest and highest answer of every item; without it each item's own
    observed range is taken, the diagnostics say where ranges differ, and values apart from the rest are refused.
    ``missing``: codes that stand for no answer, such as 9, -1 or "DK"; "none" says that no other number is one.
    ``factors``: instead of the number that parallel analysis suggests. Raises ``UserError`` with file, line and column.
    """
    _check_settings(scale, factors, seed)
    texts = _read_texts(items) if items is not None else None
    codes = frozenset(_code(code) for code in missing)
    ids, answers, used = _read_answers(Path(path), None if texts is None else list(texts), codes)
    observed = items_of(ids, answers)
    of_codes = _judge_codes(Path(path), observed, codes) if scale is None else []
    ranges = _stated(Path(path), observed, scale) if scale is not None else _observed(Path(path), observed)
    fit = _diagnose(Path(path), ids, answers, factors, seed)
    notes = [*fit.notes, *of_codes]
    if unused := sorted(codes - used - {NO_CODES}):
        listed = ", ".join(map(shown, unused[:6]))
        notes.append(
            f"No cell of these items holds {listed}, named with {setting('missing')}; see whether it is written so."
        )
    notes += _on_ranges(observed, ranges)
    if texts is None:
        notes.append("No texts were given: every item and option in the file is a placeholder to be filled in.")
    fit = replace(fit, notes=tuple(notes))
    title = name or Path(path).stem
    return FittedInstrument(_toml(title, Path(path).name, fit, ranges, texts), fit)


def _diagnose(
    path: Path, ids: Sequence[str], answers: Float[np.ndarray, "people items"], factors: int | None, seed: int
) -> FactorDiagnostics:
    people, n = answers.shape
    complete = int((~np.isnan(answers).any(axis=1)).sum())
    r, smoothed = correlations(answers)
    if np.isnan(r).any():
        i, j = np.argwhere(np.isnan(r))[0]
        raise UserError(
            f"{path}: the items '{ids[j]}' and '{ids[i]}' have no three varying answers in common, so they "
            "cannot be correlated; leave one of them out."
        )
    there = (~np.isnan(answers)).astype(float)
    # The pair of items that fewest people answered sets how much chance there is.
    both = int((there.T @ there).min())
    suggested, eigenvalues, limits = parallel_analysis(r, both, seed=seed)
    used = max(suggested, 1) if factors is None else factors
    if not 1 <= used <= n // 2:
        raise UserError(
            f"{path}: {used} factors were asked of {n} items; expected 1 to {n // 2} (two items per factor)."
        )
    solution = principal_axes(r, used)
    turned = varimax(solution.loadings)
    adequacy, each = kmo(r)
    chi2, freedom, p = bartlett(r, both)
    notes = _notes(suggested, factors, adequacy, p, (smoothed, solution), (people, n))
    alphas = {}
    groups = members(turned)
    for f, chosen in groups.items():
        keyed = answers[:, chosen] * np.sign(turned[chosen, f])
        alphas[f"f{f + 1}"] = cronbach_alpha(keyed)
        if len(chosen) == 1:
            notes.append(f"Factor f{f + 1} has a single item, so its reliability is unknown.")
    left = tuple(ids[i] for i in range(n) if np.abs(turned[i]).max() < SALIENT)
    if left:
        notes.append(f"No factor holds {', '.join(left)} (all loadings under {SALIENT}); they are left out.")
    return FactorDiagnostics(
        people=people,
        complete=complete,
        items=tuple(ids),
        missing=dict(zip(ids, np.isnan(answers).mean(axis=0).tolist(), strict=True)),
        kmo=adequacy,
        kmo_items=dict(zip(ids, each.tolist(), strict=True)),
        bartlett_chi2=chi2,
        bartlett_freedom=freedom,
        bartlett_p=p,
        eigenvalues=tuple(eigenvalues.tolist()),
        thresholds=tuple(limits.tolist()),
        suggested=suggested,
        factors=used,
        loadings={i: tuple(row) for i, row in zip(ids, turned.tolist(), strict=True)},
        communalities=dict(zip(ids, solution.communalities.tolist(), strict=True)),
        explained=tuple(((turned**2).sum(axis=0) / n).tolist()),
        alpha=alphas,
        left_out=left,
        notes=tuple(notes),
    )


def _notes(
    suggested: int,
    asked: int | None,
    adequacy: float,
    p: float,
    solved: tuple[bool, Loadings],
    size: tuple[int, int],
) -> list[str]:
    notes, (smoothed, solution), (people, n) = [], solved, size
    if suggested == 0:
        notes.append("No factor rises above chance (parallel analysis): these items do not measure anything in common.")
    if asked is not None and asked != suggested:
        notes.append(f"{asked} factors were asked for; parallel analysis suggests {suggested}.")
    if people < 5 * n:
        notes.append(f"{people} people for {n} items are few (under five per item): loadings will not be stable.")
    if adequacy < 0.6:
        notes.append(f"Sampling adequacy (KMO) is {adequacy:.2f}; under 0.6 the items share too little to be factored.")
    if p > 0.05:
        notes.append(f"Bartlett's test does not rule out that no items correlate (p = {p:.2f}).")
    if smoothed:
        notes.append(
            "Correlations from different people did not fit together and were smoothed; missing answers matter."
        )
    if not solution.converged:
        notes.append("The factor solution did not settle; do not rely on its loadings.")
    if solution.heywood:
        notes.append("An item's communality reached 1 (a Heywood case): try fewer factors.")
    return notes


def _read_texts(path: Path) -> dict[str, str]:
    rows = csv_rows(path)
    header = [cell.lower() for cell in rows[0][1]]
    if header.count("item") != 1 or header.count("text") != 1:
        raise UserError(f"{path}, line 1: expected a header with the columns item and text, found {','.join(header)}.")
    texts: dict[str, str] = {}
    for line, row in rows[1:]:
        item, text = row[header.index("item")], " ".join(row[header.index("text")].split())
        if not item or not text:
            raise UserError(f"{path}, line {line}: the item or its text is empty.")
        if "<|" in text or "|>" in text:
            raise UserError(
                f"{path}, line {line}: the text contains '<|' or '|>', which models read as control tokens."
            )
        if item in texts:
            raise UserError(f"{path}, line {line}: item '{item}' stands twice; keep one.")
        texts[item] = text
    return texts


def _read_answers(
    path: Path, chosen: list[str] | None, codes: frozenset[str]
) -> tuple[list[str], Float[np.ndarray, "people items"], set[str]]:
    """Item ids and answers of the chosen columns (None: of all), NaN where a cell is empty or one of the codes.

    Also the codes that occur.
    """
    rows = csv_rows(path)
    header = rows[0][1]
    ids = header if chosen is None else chosen
    for item in ids:
        if header.count(item) != 1:
            found = "stands more than once" if item in header else "does not exist"
            raise UserError(f"{path}, line 1: the column '{item}' {found}; every item needs one column.")
        if not re.fullmatch(r"[\w-]+", item):
            raise UserError(
                f"{path}, line 1: the column '{item}' cannot name an item; use letters, digits, '_' and '-'."
            )
    if len(ids) < 3:
        raise UserError(f"{path}: expected at least three items, found {len(ids)}.")
    columns = [header.index(item) for item in ids]
    used: set[str] = set()
    table = np.array(
        [
            [_answer(f"{path}, line {line}, column {header[c]}", row[c], codes, used) for c in columns]
            for line, row in rows[1:]
        ]
    )
    for item, column in zip(ids, table.T, strict=True):
        if len(set(column[~np.isnan(column)])) < 2:
            raise UserError(f"{path}, column {item}: everyone gave the same answer or none; leave this item out.")
    if len(table) <= len(ids):
        raise UserError(f"{path}: {len(table)} people for {len(ids)} items; expected more people than items.")
    return list(ids), table, used


def _answer(place: str, cell: str, codes: frozenset[str], used: set[str]) -> float:
    if cell.lower() in codes:
        used.add(cell.lower())
        return math.nan
    if cell.lower() in _MISSING:
        return math.nan
    value = float(cell) if is_number(cell) else math.nan
    code = f"{value:.0f}"
    if value.is_integer() and code in codes:
        used.add(code)
        return math.nan
    if not value.is_integer() or abs(value) > LARGEST:
        raise UserError(
            f"{place}: expected a whole number {BOUNDS} or nothing, found {shown(cell)}; if it stands for no answer, "
            f"name it with {setting('missing')}."
        )
    return value


def _code(given: int | str) -> str:
    """A code as cells are compared with it: words in lower case, numbers as 9, however they are written."""
    text = str(given).strip().lower()
    if not is_number(text):
        return text
    number = float(text)
    # Larger ones than this are not told apart as floating-point numbers.
    if not number.is_integer() or abs(number) > 1e15:
        raise UserError(
            f"{setting('missing')} names {shown(text)}; expected whole numbers of up to 15 digits, or words."
        )
    return f"{number:.0f}" if number else "0"


def _check_settings(scale: tuple[int, int] | None, factors: int | None, seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise UserError(f"The seed is {shown(seed)}; expected a whole number from 0 to {2**63 - 1}.")
    if factors is not None and factors < 1:
        raise UserError(f"The number of factors is {shown(factors)}; expected 1 or more.")
    if scale is not None and not -LARGEST <= scale[0] < scale[1] <= LARGEST:
        raise UserError(
            f"The scale is {shown(scale[0])} to {shown(scale[1])}; expected the lower end first, both {BOUNDS}."
        )


def _judge_codes(path: Path, items: Sequence[Item], codes: frozenset[str]) -> list[str]:
    """Sentences on what may be codes; a ``UserError`` where it is nearly certain and nobody said otherwise."""
    found = values_apart(items, MAX_OPTIONS)
    if NO_CODES in codes:
        return notes_apart(found)
    if found.certain:
        raise UserError(f"{path}: {refusal(found, items, MAX_OPTIONS)}.")
    named = [int(code) for code in codes if is_number(code)]
    return notes_apart(found) + suspicions(items, named)


def _stated(path: Path, items: Sequence[Item], scale: tuple[int, int]) -> list[tuple[int, ...]]:
    """The options of a scale that was stated, for every item."""
    for item in items:
        low, high = item.values[0], item.values[-1]
        if low < scale[0] or high > scale[1]:
            raise UserError(
                f"{path}, column {item.id}: answers run from {low} to {high}, outside the scale "
                f"{scale[0]} to {scale[1]}; give {setting('missing')} with the codes that stand for no answer."
            )
    return [_options(f"{path}", sorted({*scale, *(v for item in items for v in item.values)}))] * len(items)


def _observed(path: Path, items: Sequence[Item]) -> list[tuple[int, ...]]:
    """The options that the answers to each item show."""
    return [
        tuple(item.values) if _stepped(item, items) else _options(f"{path}, column {item.id}", item.values)
        for item in items
    ]


def _stepped(item: Item, items: Sequence[Item]) -> bool:
    """Whether an item's scale has even steps, and not only numbers that nobody chose, as other items show."""
    low, high = item.values[0], item.values[-1]
    between = {v for other in items for v in other.values if low < v < high}
    return even_steps(item.values) and between <= set(item.values)


def _options(place: str, values: Sequence[int]) -> tuple[int, ...]:
    """All whole numbers of a range or, where they are too many, its even steps or just the values there are."""
    low, high = values[0], values[-1]
    step = math.gcd(*(after - before for before, after in pairwise(values)))
    for options in (range(low, high + 1), range(low, high + 1, step), values):
        if len(options) <= MAX_OPTIONS:
            return tuple(options)
    raise UserError(
        f"{place}: a scale from {low} to {high} has {high - low + 1} options, and a model can be "
        f"asked with {MAX_OPTIONS} at most; put answers together into fewer, or give {setting('missing')} with the "
        "codes that stand for no answer."
    )


def _on_ranges(items: Sequence[Item], ranges: Sequence[tuple[int, ...]]) -> list[str]:
    """Sentences on options that are not every whole number of a range, and on ranges that differ."""
    of: dict[tuple[int, ...], list[str]] = {}
    for item, options in zip(items, ranges, strict=True):
        of.setdefault(options, []).append(item.id)
    notes = []
    for options, names in of.items():
        low, high = options[0], options[-1]
        if len(options) < high - low + 1:
            more = f"; if those between are answers too, give {setting('scale', (low, high))}" * (
                high - low < MAX_OPTIONS
            )
            notes.append(f"The options of {', '.join(names)} are {', '.join(map(str, options))}{more}.")
    if len(of) > 1:
        listed = "; ".join(f"{options[0]} to {options[-1]}: {', '.join(names)}" for options, names in of.items())
        notes.append(f"Items differ in the range observed ({listed}); where the scales are the same, give it.")
    return notes


def _toml(
    title: str,
    source: str,
    fit: FactorDiagnostics,
    ranges: Sequence[tuple[int, ...]],
    texts: Mapping[str, str] | None,
) -> str:
    loadings = np.array([fit.loadings[item] for item in fit.items])
    groups = members(loadings)
    kept = sorted(i for chosen in groups.values() for i in chosen)
    if not kept:
        raise UserError(f"No item of {source} loads on any factor by {SALIENT} or more: there is no instrument in it.")
    scales = {_scale_id(options): options for options in dict.fromkeys(ranges[i] for i in kept)}
    scale_of = {options: key for key, options in scales.items()}
    lines = [
        f"# Fitted from {json.dumps(source)[1:-1]}: {fit.people} people, {fit.factors} factors.",
        "# Every text that begins with FILL IN is a placeholder; options run from the lowest answer upwards.",
        f"id = {_quote(re.sub(r'[^A-Za-z0-9_-]+', '_', title))}",
        f"name = {_quote(title)}",
        'version = "1"',
        f"citation = {_quote(f'Fitted from {source}; FILL IN the source of the data')}",
        f"about = {_quote(f'{len(groups)} dimensions of {len(kept)} items from {fit.people} respondents')}",
        "",
        "[scales]",
        *(f"{key} = {list(options)}" for key, options in scales.items()),
        "",
        "[items]",
        *(
            f"{_quote(item)} = {{ scale = {_quote(scale_of[bounds])}, topic = {_quote(item)} }}"
            for item, bounds in ((fit.items[i], ranges[i]) for i in kept)
        ),
    ]
    for f, chosen in groups.items():
        lines += _dimension_lines(f, chosen, fit, ranges)
    lines += [
        "",
        "[wording.en]",
        'name = "English"',
        "official = false",
        'source = "FILL IN who worded it"',
        "",
    ]
    lines += ["[wording.en.items]"]
    for i in kept:
        text = (texts or {}).get(fit.items[i], f"FILL IN the question of item {fit.items[i]}")
        lines.append(f"{_quote(fit.items[i])} = {{ text = [{_quote(text)}] }}")
    lines += ["", "[wording.en.scales]"]
    for key, values in scales.items():
        options = ", ".join(_quote(f"FILL IN the option of value {value}") for value in values)
        lines.append(f"{key} = [[{options}]]")
    return "\n".join(lines) + "\n"


def _scale_id(options: Sequence[int]) -> str:
    low, high = options[0], options[-1]
    all_of_it = len(options) == high - low + 1
    return (f"from{low}to{high}" if all_of_it else "of" + "_".join(map(str, options))).replace("-", "minus")


def _quote(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's too, but for one character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _dimension_lines(
    f: int, chosen: Sequence[int], fit: FactorDiagnostics, ranges: Sequence[tuple[int, ...]]
) -> list[str]:
    """One dimension: weights of equal size by the sign of the loading, so that it runs from 0 to 100 around C
    = 50.

    Equal, because loadings from one sample weight the next one no better (Wainer 1976).
    """
    weights, middle = {}, 0.0
    for i in chosen:
        low, high = ranges[i][0], ranges[i][-1]
        weight = math.copysign(100 / (len(chosen) * (high - low)), fit.loadings[fit.items[i]][f])
        # What is written has six digits; the offset must belong to what is written.
        weights[fit.items[i]] = round(weight, 6)
        middle += round(weight, 6) * (low + high) / 2
    alpha = fit.alpha[f"f{f + 1}"]
    listed = ", ".join(
        f"{_quote(item)} = {weight:g}" if weight == int(weight) else f"{_quote(item)} = {weight:.6f}"
        for item, weight in weights.items()
    )
    said = "unknown" if math.isnan(alpha) else f"{alpha:.2f}"
    return [
        "",
        f"[dimensions.f{f + 1}]",
        f'name = "Factor {f + 1}"',
        f"# Explains {fit.explained[f]:.1%} of the variance; Cronbach's alpha {said}.",
        f'about = "FILL IN what high and low mean; alpha {said}"',
        "low = 0",
        "high = 100",
        f"weights = {{ {listed} }}",
        f"offset = {-middle:.6f}",
    ]
