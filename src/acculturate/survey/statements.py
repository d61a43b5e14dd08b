"""Value statements: what somebody at either pole of a dimension holds dear, in words of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acculturate.files.datafile import read_data_file
from acculturate.survey.instrument import Instrument

_DATA = Path(__file__).parent / "data" / "statements"


@dataclass(frozen=True)
class Poles:
    """Hold the statements of one dimension's high pole and of its low one; general outlook first."""

    high: tuple[str, ...]
    low: tuple[str, ...]


def statements_of(instrument: Instrument, language: str) -> Mapping[str, Poles] | None:
    """Read the statements for an instrument in a language, by dimension; None where none are built in."""
    path = _DATA / f"{instrument.id}.{language}.toml"
    if not path.is_file():
        return None
    entries = read_data_file(path).entries()
    poles = {}
    for dimension in instrument.dimension_ids:
        if dimension not in entries:  # an instrument of one's own that goes by the name of a built-in one
            return None
        fields = entries[dimension].table("high low")
        poles[dimension] = Poles(fields["high"].texts(), fields["low"].texts())
    return poles
