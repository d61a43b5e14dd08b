"""What the adaptive relatives of DE share: drawing F and CR, the archive, and the history of what succeeded.

Papers: JADE (Zhang & Sanderson 2009, see jade.py), SHADE (Tanabe & Fukunaga 2013, see shade.py), L-SHADE (the
same, 2014, see lshade.py). Symbols: S_F, S_CR are the F and CR of the trials that beat their targets; M_F and
M_CR the memory of H such means; P the population; A the archive of beaten targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.variation import among_best, binomial, no_worse

CR_TERMINAL = np.nan
"""The value that Tanabe & Fukunaga (2014) write as a bottom sign: from then on the entry draws CR = 0."""


@dataclass(frozen=True, eq=False)
class ArchiveState:
    """``x``, ``loss``: the population (+inf: not evaluated or failed); ``archive``: beaten targets."""

    seed: int
    generation: int
    x: Float[np.ndarray, "pop dim"]
    loss: Float[np.ndarray, " pop"]
    archive: Float[np.ndarray, "archived dim"]


@dataclass(frozen=True, eq=False)
class HistoryState(ArchiveState):
    """``k``: the memory entry written next; ``N_init``: rows of the start; ``nfe``: evaluations so far."""

    M_F: Float[np.ndarray, " H"]
    M_CR: Float[np.ndarray, " H"]
    k: int
    N_init: int
    nfe: int


def streams(state: ArchiveState) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
    """Independent streams of one generation: for F and CR (drawn again in ``tell``), trials, archive."""
    parameters, trials, archive = generator(state.seed, state.generation).spawn(3)
    return parameters, trials, archive


def draw_factor(rng: np.random.Generator, location: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Cauchy(location, 0.1), cut at 1, drawn again where not positive (JADE, section III.B; SHADE alike)."""
    F = location + 0.1 * rng.standard_cauchy(len(location))
    while (wrong := F <= 0).any():
        F[wrong] = location[wrong] + 0.1 * rng.standard_cauchy(int(wrong.sum()))
    return np.minimum(F, 1.0)


def draw_rate(rng: np.random.Generator, mean: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Normal(mean, 0.1) cut to [0, 1] (JADE, section III.B); 0 where the mean is the terminal value."""
    CR = np.clip(mean + 0.1 * rng.standard_normal(len(mean)), 0.0, 1.0)
    return np.where(np.isnan(mean), 0.0, CR)


def mutants(
    rng: np.random.Generator,
    state: ArchiveState,
    *,
    F: Float[np.ndarray, " pop"],
    F_w: Float[np.ndarray, " pop"],
    top: Int[np.ndarray, " pop"],
    apart: bool = False,
) -> Float[np.ndarray, "pop dim"]:
    """Current-to-pbest/1 with archive: x_i + F_w (x_pbest - x_i) + F (x_r1 - x~_r2), x~ from P and A.

    JADE (section III.A) and SHADE take F_w = F; jSO weights it (eq. 3). ``top[i]``: size
    of the p-best set of member i.
    """
    x, pop = state.x, len(state.x)
    pbest = x[among_best(rng, state.loss, top, apart=apart)]
    i = np.arange(pop)
    r1 = (i + 1 + rng.integers(0, pop - 1, pop)) % pop
    # Uniform over P and A without i and r1: draw from two fewer numbers and step over both.
    r2 = rng.integers(0, pop + len(state.archive) - 2, pop)
    r2 += r2 >= np.minimum(i, r1)
    r2 += r2 >= np.maximum(i, r1)
    other = x[np.minimum(r2, pop - 1)]
    from_archive = r2 >= pop
    other[from_archive] = state.archive[r2[from_archive] - pop]
    return x + F_w[:, None] * (pbest - x) + F[:, None] * (x[r1] - other)


def crossed(
    rng: np.random.Generator,
    x: Float[np.ndarray, "pop dim"],
    v: Float[np.ndarray, "pop dim"],
    CR: Float[np.ndarray, " pop"],
) -> Float[np.ndarray, "pop dim"]:
    """Binomial crossover of targets and mutants (Storn & Price, eq. 4)."""
    return np.where(binomial(rng, CR, x.shape[1]), v, x)


def thinned(rng: np.random.Generator, rows: Float[np.ndarray, "n dim"], size: int) -> Float[np.ndarray, "m dim"]:
    """At most ``size`` of the rows: random ones go (JADE, section III.A)."""
    if len(rows) <= size:
        return rows
    return rows[np.sort(rng.permutation(len(rows))[:size])]


def improvements(
    old: Float[np.ndarray, " pop"], new: Float[np.ndarray, " pop"]
) -> tuple[Bool[np.ndarray, " pop"], Float[np.ndarray, " successes"]]:
    """Which trials beat their targets, and by how much.

    Replacing a failed candidate is an infinite gain, which no weighted mean survives; it counts like the
    largest finite gain of the generation, or 1 when there is none.
    """
    success = new < old
    gain = old[success] - new[success]
    finite = gain[np.isfinite(gain)]
    return success, np.where(np.isfinite(gain), gain, finite.max() if len(finite) else 1.0)


def lehmer(S: Float[np.ndarray, " n"], w: Float[np.ndarray, " n"]) -> float:
    """Weighted Lehmer mean (SHADE; with equal weights JADE's, section III.B); 0 when all S are 0."""
    w = w / w.max()  # gains may be so small that their products vanish
    total = float(np.sum(w * S))
    return float(np.sum(w * S * S)) / total if total > 0 else 0.0


def history(x: Float[np.ndarray, "pop dim"], seed: int, M_F: list[float], M_CR: list[float]) -> HistoryState:
    """The state before anything was evaluated, with the given memory."""
    pop, dim = x.shape
    return HistoryState(
        seed,
        generation=0,
        x=x,
        loss=np.full(pop, np.inf),
        archive=np.empty((0, dim)),
        M_F=np.array(M_F, dtype=np.float64),
        M_CR=np.array(M_CR, dtype=np.float64),
        k=0,
        N_init=pop,
        nfe=0,
    )


def first_seen(state: HistoryState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]) -> HistoryState:
    """The state after the start was evaluated."""
    return replace(state, generation=1, x=np.array(x, dtype=np.float64), loss=loss, nfe=len(x))


def select(
    rng: np.random.Generator,
    state: HistoryState,
    x: Float[np.ndarray, "pop dim"],
    loss: Float[np.ndarray, " pop"],
    *,
    archive_size: int,
) -> HistoryState:
    """Trials no worse than their targets take their place; targets beaten are archived (SHADE, alg. 1)."""
    better, beaten = no_worse(state.loss, loss), loss < state.loss
    return replace(
        state,
        generation=state.generation + 1,
        x=np.where(better[:, None], x, state.x),
        loss=np.where(better, loss, state.loss),
        archive=thinned(rng, np.concatenate([state.archive, state.x[beaten]]), archive_size),
        nfe=state.nfe + len(x),
    )


def shrunk(
    rng: np.random.Generator, state: HistoryState, *, N_min: int, progress: float, archive_rate: float
) -> HistoryState:
    """Linear population size reduction (L-SHADE, eq. 10): the worst go, the archive follows."""
    N_next = max(N_min, round((N_min - state.N_init) * progress + state.N_init))
    N_next = min(N_next, len(state.x))
    keep = np.sort(np.argsort(state.loss, kind="stable")[:N_next])
    archive = thinned(rng, state.archive, round(archive_rate * N_next))
    return replace(state, x=state.x[keep], loss=state.loss[keep], archive=archive)
