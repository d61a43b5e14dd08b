"""The base of every record: a pydantic model that writes and reads its JSON."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """Hold a part of a JSON file.

    Keys that a later version may add are kept and written again. What an earlier version did not write is not written
    either: only fields that were set stand in the JSON.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    @classmethod
    def from_json(cls: type[R], content: str | bytes) -> R:
        """Read a JSON text; raises pydantic's ``ValidationError`` where it does not hold such a record."""
        return cls.model_validate_json(content, strict=True)

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values, in the order in which they stand on disk."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class RunRecord(Record):
    """Hold the record of a run, which names its kind since there are several."""

    kind: str | None = None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Figure = Annotated[float | None, BeforeValidator(_finite)]
"""A number, or None where answers were missing: JSON has no NaN."""

Count = Annotated[int, Field(ge=0, le=10**15)]
"""How many there were of something: few enough to be drawn and counted with."""

Interval = tuple[Figure, Figure] | None
"""Lower and upper end, or None where there is no interval."""


def or_nan(figure: float | None) -> float:
    """Return a figure as a number to calculate with, NaN where it is missing."""
    return math.nan if figure is None else figure
