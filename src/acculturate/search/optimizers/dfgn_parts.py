"""Candidates in parts: coordinates that move the answers of all countries, and such as move those of one only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Parts:
    """Describe candidates for several countries, whose coordinates are shared by all or one country's own.

    The first ``shared`` coordinates move all answers. The others are ``count`` equal parts, and the k-th of them moves
    only the k-th of as many equal parts of the formats. A probe of all own parts at once is therefore ``count``
    directions for the price of one.
    """

    shared: int
    count: int

    def one_kind(self, z: Float[np.ndarray, "h dim"]) -> Float[np.ndarray, "h dim"]:
        """Return the first third of the directions in the shared coordinates only, the others in the own ones only."""
        z = z.copy()
        first = self.of_all(len(z))
        z[:first, self.shared :] = 0.0
        z[first:, : self.shared] = 0.0
        return z

    def apart(
        self, z: Float[np.ndarray, "h dim"], slopes: Float[np.ndarray, "h formats items options"]
    ) -> tuple[Float[np.ndarray, "m dim"], Float[np.ndarray, "m formats items options"]]:
        """Return directions of ``one_kind`` with their slopes, those in the own parts once for each part."""
        first = self.of_all(len(z))
        coordinates = np.array_split(np.arange(self.shared, z.shape[1]), self.count)
        formats = np.array_split(np.arange(slopes.shape[1]), self.count)
        directions, changes = [z[:first]], [slopes[:first]]
        for x, f in zip(coordinates, formats, strict=True):
            directions.append(np.zeros_like(z[first:]))
            directions[-1][:, x] = z[first:, x]
            changes.append(np.zeros_like(slopes[first:]))
            changes[-1][:, f] = slopes[first:, f]
        return np.concatenate(directions), np.concatenate(changes)

    def of_all(self, h: int) -> int:
        """Count how many of h directions are in the shared coordinates."""
        return -(-h // 3) if self.shared else 0
