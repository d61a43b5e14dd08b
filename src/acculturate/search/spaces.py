"""Search spaces: what a point of a black-box search means as a soft prompt.

Coordinates are in units of one standard deviation of the model's embeddings, so that a step of 1 is as large as
the difference between two ordinary tokens, whatever the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError


@runtime_checkable
class Space(Protocol):
    """Decode candidates to soft prompts around an origin."""

    @property
    def dim(self) -> int:
        """Count the coordinates of a candidate."""
        ...

    def decode(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n tokens hidden"]:
        """Return the soft prompts of some points."""
        ...

    def encode(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> Float[np.ndarray, "n dim"]:
        """Return the points that decode to these prompts, or to the nearest there are (least squares)."""
        ...


def space_around(
    origin: Float[np.ndarray, "tokens hidden"], unit: float, projection: int | None = None, seed: int = 0
) -> Space:
    """Build the space around an origin; what a direction in it means does not depend on the origin.

    ``unit``: one embedding standard deviation. ``projection``: dimensions of a random plane (None: all coordinates).
    """
    return Full(origin, unit) if projection is None else Projection(origin, unit, projection, seed)


@dataclass(frozen=True, eq=False)
class Full:
    """Search every coordinate of every virtual token: ``prompt = origin + unit * x``."""

    origin: Float[np.ndarray, "tokens hidden"]
    unit: float

    @property
    def dim(self) -> int:
        """Count the coordinates of a candidate."""
        return self.origin.size

    def decode(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n tokens hidden"]:
        """Return the soft prompts of some points."""
        return self.origin + self.unit * x.reshape(len(x), *self.origin.shape)

    def encode(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> Float[np.ndarray, "n dim"]:
        """Return the points that decode to these prompts."""
        return ((prompts - self.origin) / self.unit).reshape(len(prompts), -1)


@dataclass(frozen=True, eq=False)
class Projection:
    """Search a fixed random plane: ``prompt = origin + unit * A x``, A Gaussian with variance 1/dim.

    Black-Box Tuning (Sun et al. 2022, arXiv:2201.03221, and its v2 scaling): the offset of each coordinate then
    has the standard deviation ``unit`` when x is standard normal.
    """

    origin: Float[np.ndarray, "tokens hidden"]
    unit: float
    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.origin.size:
            raise SettingError(
                f"A projection to {self.size} dimensions does not fit a soft prompt of {self.origin.size} "
                "coordinates; choose 1 up to that number."
            )
        matrix = np.random.default_rng([self.seed, self.size, 1]).standard_normal((self.size, self.origin.size))
        object.__setattr__(self, "_matrix", matrix * (1 / np.sqrt(self.size)))

    @property
    def dim(self) -> int:
        """Count the coordinates of a candidate."""
        return self.size

    def decode(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n tokens hidden"]:
        """Return the soft prompts of some points."""
        return self.origin + self.unit * (x @ self._matrix).reshape(len(x), *self.origin.shape)  # type: ignore[attr-defined]

    def encode(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> Float[np.ndarray, "n dim"]:
        """Return the points that decode to the prompts nearest to these (least squares)."""
        offsets = ((prompts - self.origin) / self.unit).reshape(len(prompts), -1)
        return np.linalg.lstsq(self._matrix.T, offsets.T, rcond=None)[0].T  # type: ignore[attr-defined]
