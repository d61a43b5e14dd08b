"""An optimizer's state as named arrays and JSON scalars, and back, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeAlias, TypeVar

import numpy as np

from acculturate.errors import RunDirectoryError

Scalar: TypeAlias = int | float | bool | str | None
S = TypeVar("S")


def pack(state: Any) -> tuple[dict[str, np.ndarray], dict[str, Scalar]]:
    """Take a state apart into arrays (C-ordered copies) and what standard JSON can hold.

    JSON knows neither NaN nor infinity, so such floats travel as zero-dimensional float64 arrays. TypeError
    for a field of any other type: that is a mistake in an optimizer, not a user's.
    """
    arrays: dict[str, np.ndarray] = {}
    scalars: dict[str, Scalar] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind in "biuf":
            # A copy in C order: safetensors writes strided views wrongly.
            arrays[field.name] = np.array(value, order="C", copy=True)
        elif isinstance(value, float) and not math.isfinite(value):
            arrays[field.name] = np.array(value, dtype=np.float64)
        elif isinstance(value, float):
            scalars[field.name] = float(value)
        elif value is None or isinstance(value, int | str):
            scalars[field.name] = value
        else:
            raise TypeError(f"{type(state).__name__}.{field.name} cannot be stored: {type(value).__name__}")
    return arrays, scalars


def unpack(cls: type[S], arrays: Mapping[str, np.ndarray], scalars: Mapping[str, Scalar]) -> S:
    """Put together what ``pack`` took apart; ``UserError`` unless names and kinds fit the fields of ``cls``.

    A field with a default may be missing: earlier versions did not know it.
    """
    own = fields(cls)  # pyright: ignore[reportArgumentType]
    expected = {field.name for field in own}
    needed = {field.name for field in own if field.default is MISSING and field.default_factory is MISSING}
    names = set(arrays) | set(scalars)
    if not needed <= names <= expected or len(names) != len(arrays) + len(scalars):
        odd = ", ".join(sorted((needed - names) | (names - expected))) or "a name given twice"
        raise RunDirectoryError(
            f"The checkpoint does not fit {cls.__name__} (differing fields: {odd}); it was written by "
            "another optimizer or version: resume with the version that wrote it or start a new run."
        )
    values = {field.name: _value(cls, field, {**arrays, **scalars}[field.name]) for field in own if field.name in names}
    return cls(**values)


_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (float, int), "str": (str,), "bool": (bool,)}


def _value(cls: type, field: Field[Any], value: Any) -> Any:
    """Return the value of a field; ``UserError`` where it is of another kind than the field."""
    declared = str(getattr(field.type, "__name__", field.type))
    kinds = _KINDS.get(declared)
    if kinds is not None and float in kinds and isinstance(value, np.ndarray) and value.size == 1:
        value = float(value.reshape(()))  # NaN or infinity
    fits = isinstance(value, kinds) if kinds is not None else "ndarray" not in declared or isinstance(value, np.ndarray)
    if not fits or (isinstance(value, bool) and declared in ("int", "float")):
        kind = declared.split("[", maxsplit=1)[0]
        raise RunDirectoryError(
            f"The checkpoint does not fit {cls.__name__} ({field.name} is no {kind}); it is damaged "
            "or was written by another version: resume with the version that wrote it or start a new run."
        )
    return value
