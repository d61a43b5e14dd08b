"""Fit an instrument to respondents' own answers, with the diagnostics that judge it.

Columns are items, rows are people. Each item joins the dimension of its largest loading (factor.py). What
comes out is a TOML file that ``load_instrument`` reads, with places for the words that only the user has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from acculturate.errors import FileError, SettingError, setting
from acculturate.files.datafile import BOUNDS, LARGEST
from acculturate.files.whole_file import write_whole
from acculturate.legible import shown
from acculturate.survey.answer_scales import judge_codes, notes_on_options, observed_options, stated_options
from acculturate.survey.diagnostics import FactorDiagnostics, diagnose
from acculturate.survey.instrument_toml import instrument_toml
from acculturate.survey.missing_codes import NO_CODES, items_of
from acculturate.survey.respondents import missing_code, read_answers, read_texts


@dataclass(frozen=True)
class FittedInstrument:
    """Hold the instrument as TOML text and the diagnostics behind it."""

    toml: str
    diagnostics: FactorDiagnostics

    def write(self, path: Path) -> None:
        """Write the TOML file, whole or not at all; an existing file is not overwritten."""
        if path.suffix != ".toml":
            raise FileError(f"The instrument file '{path}' must end in .toml.")
        if path.exists():
            raise FileError(f"'{path}' exists already; give another name or remove it first.")
        try:
            write_whole(path, self.toml.encode())
        except OSError as error:
            raise FileError(f"Cannot write '{path}': {error.strerror or error}.") from None


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
    texts = read_texts(items) if items is not None else None
    codes = frozenset(missing_code(code) for code in missing)
    answers = read_answers(Path(path), None if texts is None else list(texts), codes)
    observed = items_of(answers.items, answers.table)
    if scale is None:
        notes, ranges = judge_codes(Path(path), observed, codes), observed_options(Path(path), observed)
    else:
        notes, ranges = [], stated_options(Path(path), observed, scale)
    fit = diagnose(Path(path), answers, factors, seed)
    if unused := sorted(codes - answers.codes - {NO_CODES}):
        listed = ", ".join(map(shown, unused[:6]))
        notes.append(
            f"No cell of these items holds {listed}, named with {setting('missing')}; see whether it is written so."
        )
    notes += notes_on_options(observed, ranges)
    if texts is None:
        notes.append("No texts were given: every item and option in the file is a placeholder to be filled in.")
    fit = replace(fit, notes=(*fit.notes, *notes))
    toml = instrument_toml(name or Path(path).stem, Path(path).name, fit, ranges, texts)
    return FittedInstrument(toml, fit)


def _check_settings(scale: tuple[int, int] | None, factors: int | None, seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise SettingError(f"The seed is {shown(seed)}; expected a whole number from 0 to {2**63 - 1}.")
    if factors is not None and factors < 1:
        raise SettingError(f"The number of factors is {shown(factors)}; expected 1 or more.")
    if scale is not None and not -LARGEST <= scale[0] < scale[1] <= LARGEST:
        raise SettingError(
            f"The scale is {shown(scale[0])} to {shown(scale[1])}; expected the lower end first, both {BOUNDS}."
        )
