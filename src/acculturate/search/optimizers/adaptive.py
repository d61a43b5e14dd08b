"""Adaptive relatives of DE: an archive of beaten targets, and F and CR that follow what succeeds.

Papers: JADE (Zhang & Sanderson 2009, see jade.py), SHADE (Tanabe & Fukunaga 2013, see shade.py), L-SHADE (the
same, 2014, see lshade.py). Symbols: S_F, S_CR are the F and CR of the trials that beat their targets; M_F and
M_CR the memory of H such means; P the population; A the archive of beaten targets.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.start_first import StartFirst
from acculturate.search.optimizers.variation import LARGEST, among_best, binomial, check_number, checked_start, no_worse

CR_TERMINAL = np.nan
"""The value that Tanabe & Fukunaga (2014) write as a bottom sign: from then on the entry draws CR = 0."""


@dataclass(frozen=True, eq=False)
class ArchiveState:
    """Hold the population ``x`` and its ``loss`` (+inf: not evaluated or failed); ``archive``: beaten targets."""

    seed: int
    generation: int
    x: Float[np.ndarray, "pop dim"]
    loss: Float[np.ndarray, " pop"]
    archive: Float[np.ndarray, "archived dim"]


@dataclass(frozen=True, eq=False)
class HistoryState(ArchiveState):
    """Hold the memory too; ``k``: the entry written next; ``N_init``: rows of the start; ``nfe``: evaluations."""

    M_F: Float[np.ndarray, " H"]
    M_CR: Float[np.ndarray, " H"]
    k: int
    N_init: int
    nfe: int


def streams(state: ArchiveState) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
    """Return independent streams of one generation: for F and CR (drawn again in ``tell``), trials, archive."""
    parameters, trials, archive = generator(state.seed, state.generation).spawn(3)
    return parameters, trials, archive


def draw_factor(rng: np.random.Generator, location: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Draw Cauchy(location, 0.1), cut at 1, drawn again where not positive (JADE, section III.B; SHADE alike)."""
    F = location + 0.1 * rng.standard_cauchy(len(location))
    while (wrong := F <= 0).any():
        F[wrong] = location[wrong] + 0.1 * rng.standard_cauchy(int(wrong.sum()))
    return np.minimum(F, 1.0)


def draw_rate(rng: np.random.Generator, mean: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Draw Normal(mean, 0.1) cut to [0, 1] (JADE, section III.B); 0 where the mean is the terminal value."""
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
    """Build current-to-pbest/1 mutants with archive: x_i + F_w (x_pbest - x_i) + F (x_r1 - x~_r2), x~ from P and A.

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


def thinned(rng: np.random.Generator, rows: Float[np.ndarray, "n dim"], size: int) -> Float[np.ndarray, "m dim"]:
    """Keep at most ``size`` of the rows: random ones go (JADE, section III.A)."""
    if len(rows) <= size:
        return rows
    return rows[np.sort(rng.permutation(len(rows))[:size])]


def improvements(
    old: Float[np.ndarray, " pop"], new: Float[np.ndarray, " pop"]
) -> tuple[Bool[np.ndarray, " pop"], Float[np.ndarray, " successes"]]:
    """Tell which trials beat their targets, and by how much.

    Replacing a failed candidate is an infinite gain, which no weighted mean survives; it counts like the
    largest finite gain of the generation, or 1 when there is none.
    """
    success = new < old
    gain = old[success] - new[success]
    finite = gain[np.isfinite(gain)]
    return success, np.where(np.isfinite(gain), gain, finite.max() if len(finite) else 1.0)


def lehmer(S: Float[np.ndarray, " n"], w: Float[np.ndarray, " n"]) -> float:
    """Compute the weighted Lehmer mean (SHADE; with equal weights JADE's, section III.B); 0 when all S are 0."""
    w = w / w.max()  # gains may be so small that their products vanish
    total = float(np.sum(w * S))
    return float(np.sum(w * S * S)) / total if total > 0 else 0.0


A = TypeVar("A", bound=ArchiveState)


class Adaptive(StartFirst[A]):
    """Search with current-to-pbest/1, an archive, and F and CR drawn anew for every trial.

    A relative says how F and CR are drawn (``_draw``), how large the p-best sets are (``_pbest_sizes``) and what is
    learnt from the trials that succeeded (``_learn``).
    """

    NAME: ClassVar[str]
    archive_rate: float

    def __post_init__(self) -> None:
        check_number(self.archive_rate, f"{self.NAME} archive_rate", low=0, high=100)

    def _ask(self, state: A) -> Float[np.ndarray, "n dim"]:
        """Return one trial for every member, crossed with it as in DE (Storn & Price, eq. 4)."""
        parameters, rng, _ = streams(state)
        F, CR = self._draw(state, parameters)
        top = self._pbest_sizes(state, rng)
        weight, apart = self._pull(state)
        v = mutants(rng, state, F=F, F_w=weight * F, top=top, apart=apart)
        return np.where(binomial(rng, CR, state.x.shape[1]), v, state.x)

    def _tell(self, state: A, x: Float[np.ndarray, "n dim"], loss: Float[np.ndarray, " n"]) -> A:
        """Select, archive the targets that were beaten, and learn from the trials that beat them."""
        parameters, _, rng = streams(state)
        F, CR = self._draw(state, parameters)
        success, gain = improvements(state.loss, loss)
        state = self._select(state, x, loss, rng)
        if success.any():
            state = self._learn(state, F[success], CR[success], gain)
        return self._reduced(state, rng)

    def _tell_start(self, state: A, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]) -> A:
        """Take over the losses of the start."""
        return replace(state, generation=1, x=np.array(x, dtype=np.float64), loss=loss)

    def _select(
        self, state: A, x: Float[np.ndarray, "n dim"], loss: Float[np.ndarray, " n"], rng: np.random.Generator
    ) -> A:
        """Let trials take their targets' places; targets that were beaten are archived."""
        better, beaten = self._better(state.loss, loss), loss < state.loss
        archive = np.concatenate([state.archive, state.x[beaten]])
        return replace(
            state,
            generation=state.generation + 1,
            x=np.where(better[:, None], x, state.x),
            loss=np.where(better, loss, state.loss),
            archive=thinned(rng, archive, round(self.archive_rate * len(loss))),
        )

    def _better(self, old: Float[np.ndarray, " n"], new: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Tell which trials take their targets' places: those that are no worse (SHADE, alg. 1)."""
        return no_worse(old, new)

    def _pull(self, state: A) -> tuple[float, bool]:
        """Return the weight of F towards a p-best member, and whether that is never the member itself."""
        return 1.0, False

    def _reduced(self, state: A, rng: np.random.Generator) -> A:
        """Return the state with as many members as go on."""
        return state

    @staticmethod
    def _same_for_all(state: ArchiveState, p: float) -> Int[np.ndarray, " n"]:
        """Return p-best sets of one size: the share ``p`` of the population, never fewer than 2."""
        return np.full(len(state.x), max(2, round(p * len(state.x))))

    @abstractmethod
    def _draw(self, state: A, rng: np.random.Generator) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Draw F and CR of every trial."""

    @abstractmethod
    def _pbest_sizes(self, state: A, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        """Return the size of the p-best set of every member."""

    @abstractmethod
    def _learn(
        self, state: A, S_F: Float[np.ndarray, " s"], S_CR: Float[np.ndarray, " s"], gain: Float[np.ndarray, " s"]
    ) -> A:
        """Return the state that has learnt from F and CR of the successful trials, and from how much they gained."""


class SuccessHistory(Adaptive[HistoryState]):
    """Draw F and CR around a memory of H successful settings (SHADE and what came after it)."""

    H: int

    def __post_init__(self) -> None:
        check_number(self.H, f"{self.NAME} H", low=1, high=LARGEST)
        super().__post_init__()

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> HistoryState:
        """Return the state before anything was evaluated; raises ``UserError`` if the start is too small."""
        x = checked_start(start, self.NAME, rows=self._rows())
        M_F, M_CR = self._first_memory()
        return HistoryState(
            seed,
            generation=0,
            x=x,
            loss=np.full(len(x), np.inf),
            archive=np.empty((0, x.shape[1])),
            M_F=np.array(M_F, dtype=np.float64),
            M_CR=np.array(M_CR, dtype=np.float64),
            k=0,
            N_init=len(x),
            nfe=0,
        )

    def _rows(self) -> int:
        """Return the fewest candidates of a start: mutation needs four."""
        return 4

    def _first_memory(self) -> tuple[list[float], list[float]]:
        """Return the memory of F and CR before anything was learnt."""
        return [0.5] * self.H, [0.5] * self.H

    def _draw(
        self, state: HistoryState, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        r = rng.integers(0, self.H, len(state.x))
        CR = draw_rate(rng, state.M_CR[r])
        return draw_factor(rng, state.M_F[r]), CR

    def _tell_start(
        self, state: HistoryState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]
    ) -> HistoryState:
        return replace(super()._tell_start(state, x, loss), nfe=len(x))

    def _select(
        self,
        state: HistoryState,
        x: Float[np.ndarray, "n dim"],
        loss: Float[np.ndarray, " n"],
        rng: np.random.Generator,
    ) -> HistoryState:
        return replace(super()._select(state, x, loss, rng), nfe=state.nfe + len(x))

    def _learn(
        self,
        state: HistoryState,
        S_F: Float[np.ndarray, " s"],
        S_CR: Float[np.ndarray, " s"],
        gain: Float[np.ndarray, " s"],
    ) -> HistoryState:
        """Write entry k of the memory; the next one is next."""
        M_F, M_CR, k = state.M_F.copy(), state.M_CR.copy(), state.k
        M_F[k], M_CR[k] = self._entry(state, S_F, S_CR, gain)
        return replace(state, M_F=M_F, M_CR=M_CR, k=(k + 1) % self.H)

    @abstractmethod
    def _entry(
        self,
        state: HistoryState,
        S_F: Float[np.ndarray, " s"],
        S_CR: Float[np.ndarray, " s"],
        gain: Float[np.ndarray, " s"],
    ) -> tuple[float, float]:
        """Return F and CR of the memory entry that is written."""


class Shrinking(SuccessHistory):
    """Let the population shrink linearly over the budget (L-SHADE, eq. 10): the worst go, the archive follows."""

    budget: int
    N_min: int

    def __post_init__(self) -> None:
        check_number(self.budget, f"{self.NAME} budget", low=1, high=10**9)
        super().__post_init__()
        check_number(self.N_min, f"{self.NAME} N_min", low=4, high=LARGEST)

    def _rows(self) -> int:
        return self.N_min

    def _progress(self, state: HistoryState) -> float:
        """Return the share of the budget that is spent, at most 1."""
        return min(1.0, state.nfe / self.budget)

    def _reduced(self, state: HistoryState, rng: np.random.Generator) -> HistoryState:
        N_next = max(self.N_min, round((self.N_min - state.N_init) * self._progress(state) + state.N_init))
        N_next = min(N_next, len(state.x))
        keep = np.sort(np.argsort(state.loss, kind="stable")[:N_next])
        archive = thinned(rng, state.archive, round(self.archive_rate * N_next))
        return replace(state, x=state.x[keep], loss=state.loss[keep], archive=archive)
