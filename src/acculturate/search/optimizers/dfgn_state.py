"""The state of DFGN: the best candidate, the model around the center, and the starts that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.search.optimizers.dfgn_model import structured
from acculturate.search.optimizers.variation import finite_losses
from acculturate.survey.loss import Evaluation

START, COMPARE, PROBE, TRIAL = "start", "compare", "probe", "trial"


@dataclass(frozen=True, eq=False)
class DFGNState:
    """Hold the best candidate, ``x`` with ``loss`` and ``answers`` (see ``structured``), and the model of a center.

    ``directions`` Z, newest first, and ``slopes``: change of the answers per unit of each. ``mu``: damping. ``scale``:
    probe length, of this round or, once it has probed, of the next.
    ``coefficients``: this round's trial moves, in units of the directions; empty while probing. ``rival*``: starts that
    are being compared; empty before and after. What is not known yet is empty too, whatever the shape of a
    response.
    """

    seed: int
    generation: int
    phase: str
    start: Float[np.ndarray, "pop dim"]
    x: Float[np.ndarray, " dim"]
    loss: float
    answers: Float[np.ndarray, "formats items columns"]
    center: Float[np.ndarray, " dim"]
    center_loss: float
    center_answers: Float[np.ndarray, "_ _ _"]
    mu: float
    scale: float
    directions: Float[np.ndarray, "m dim"]
    slopes: Float[np.ndarray, "m _ _ _"]
    coefficients: Float[np.ndarray, "k _"]
    rivals: Float[np.ndarray, "r dim"]
    rival_losses: Float[np.ndarray, " r"]
    rival_answers: Float[np.ndarray, "r _ _ _"]


def with_best(state: DFGNState, x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]) -> DFGNState:
    """Return the state with the best of these candidates, where it is better than the best so far."""
    losses = finite_losses(evaluations)
    best = int(np.argmin(losses))
    if losses[best] >= state.loss:
        return state
    return replace(state, x=x[best], loss=float(losses[best]), answers=structured(evaluations[best].response))


def corrected(
    state: DFGNState, coefficients: Float[np.ndarray, "k m"], evaluations: Sequence[Evaluation], *, blur: float = 0.0
) -> DFGNState:
    """Change the model as little as it takes to reproduce what these moves from its center really did.

    Broyden's (1965) rank-one update, for several moves at once; ``coefficients`` are in units of the directions. Moves
    much shorter than ``blur`` change next to nothing.
    """
    with np.errstate(invalid="ignore"):  # -inf - -inf where an item has fewer options
        change = np.stack([structured(e.response) for e in evaluations]) - state.center_answers
    change = np.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0)
    missed = change - np.tensordot(coefficients, state.slopes, axes=1)
    gain = np.linalg.pinv(coefficients)
    if blur:
        gain = coefficients.T @ np.linalg.inv(coefficients @ coefficients.T + blur**2 * np.eye(len(coefficients)))
    return replace(state, slopes=state.slopes + np.tensordot(gain, missed, axes=1))
