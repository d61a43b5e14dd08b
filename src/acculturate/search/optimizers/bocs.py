"""Search over texts made of given statements: which of them, and in which order.

Bayesian optimisation of combinatorial structures (Baptista & Poloczek 2018, arXiv:1806.08838): a Bayesian linear
regression on what is chosen, a draw from its posterior, and a local search for what is best under that draw. There the
loss is modelled; here the answers are, and the loss of modelled answers is computed exactly, as DFGN does.

A candidate has a key for every statement: the statements with a positive one make up the text, the highest first
(random keys, Bean 1994). A text has at most ``most`` of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from acculturate.search.optimizers.bocs_model import AdditiveModel, modelled, modelled_losses
from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.variation import check_number, checked_start, losses_of
from acculturate.survey.loss import Evaluation, Loss

MEMORY = 600
"""Texts that the model is fitted to, the latest: a matrix of memory x memory is taken apart."""
INCUMBENTS = 4
"""Best texts from which local searches set out, in turn."""
REORDERED = 4
"""One in so many candidates of a round is the best text in another order."""
_TRIES = 100
_STEPS = 100


@dataclass(frozen=True, eq=False)
class BOCSState:
    """Hold all texts that were asked, what was answered and lost; ``start`` is asked first."""

    seed: int
    generation: int
    start: Float[np.ndarray, "pop dim"]
    keys: Float[np.ndarray, "n dim"]
    answers: Float[np.ndarray, "n formats items columns"]
    losses: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class BOCS:
    """Search over selections of statements with an additive model of the answers.

    Parameters
    ----------
    survey
        The loss to minimise, as a function of the answers.
    most
        Statements of a text, at most.
    population
        Texts that are asked in a round.
    """

    survey: Loss
    most: int = 12
    population: int = 8

    def __post_init__(self) -> None:
        check_number(self.most, "BOCS most", low=1, high=1000)
        check_number(self.population, "BOCS population", low=1, high=1000)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> BOCSState:
        """Return the state before anything was asked."""
        keys = checked_start(start, "BOCS", rows=1)
        none = np.zeros((0, 0, 0, 0), dtype=np.float32)
        return BOCSState(seed, 0, keys, keys[:0], none, np.zeros(0))

    def ask(self, state: BOCSState) -> Float[np.ndarray, "n dim"]:
        """Return the texts to ask next: the start, then what is best under draws from the model."""
        known = np.isfinite(state.losses)
        if state.generation == 0 or not known.any():
            return state.start.copy()
        return _Round(self, state, known).candidates()

    def tell(self, state: BOCSState, x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]) -> BOCSState:
        """Return the state after the answers to some texts."""
        losses = losses_of(x, evaluations)
        answers = np.stack([modelled(one.response) for one in evaluations]).astype(np.float32)
        losses = np.where(np.isfinite(answers).all(axis=(1, 2, 3)), losses, np.inf)
        before = state.answers if state.generation else answers[:0]
        return replace(
            state,
            generation=state.generation + 1,
            keys=np.concatenate([state.keys, x])[-MEMORY:],
            answers=np.concatenate([before, answers])[-MEMORY:],
            losses=np.concatenate([state.losses, losses])[-MEMORY:],
        )


class _Round:
    """Propose the texts of one round."""

    def __init__(self, method: BOCS, state: BOCSState, known: Bool[np.ndarray, " n"]) -> None:
        self._method, self._dim = method, state.keys.shape[1]
        self._draw = generator(state.seed, state.generation)
        order = np.argsort(state.losses, kind="stable")[: min(INCUMBENTS, int(known.sum()))]
        self._incumbents = [order_of(key, method.most) for key in state.keys[order]]
        self._seen = {tuple(order_of(key, method.most).tolist()) for key in state.keys}
        self._sets = {tuple(sorted(one)) for one in self._seen}
        self._shape = state.answers.shape[1:]
        chosen = np.stack([chosen_of(order_of(key, method.most), self._dim) for key in state.keys[known]])
        answers = state.answers[known].astype(np.float64)
        self._model = AdditiveModel(chosen, answers.reshape(len(answers), -1))

    def candidates(self) -> Float[np.ndarray, "n dim"]:
        count = self._method.population
        orders = []
        for place in range(count):
            best = self._incumbents[0]
            again = place >= count - count // REORDERED and len(best) > 1
            order = self._reordered(best) if again else None
            orders.append(self._proposed(place) if order is None else order)
            self._seen.add(tuple(orders[-1].tolist()))
            self._sets.add(tuple(sorted(orders[-1].tolist())))
        return np.stack([keys_of(order, self._dim) for order in orders])

    def _reordered(self, best: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"] | None:
        """Put a text into an order that was not asked yet; None where none is found."""
        for _ in range(_TRIES):
            order = self._draw.permutation(best)
            if tuple(order.tolist()) not in self._seen:
                return order
        return None

    def _proposed(self, place: int) -> Int[np.ndarray, " m"]:
        """Find the best selection under the model, the first time as it is expected, then under draws from it."""
        from_ = self._incumbents[place % len(self._incumbents)]
        effects = self._model.effects(None if place == 0 else self._draw)
        chosen = self._descended(effects, chosen_of(from_, self._dim))
        for _ in range(_TRIES):
            if tuple(np.flatnonzero(chosen).tolist()) not in self._sets:
                break
            chosen = self._changed(chosen)
        kept = [int(k) for k in from_ if chosen[k]]
        for new in self._draw.permutation(np.setdiff1d(np.flatnonzero(chosen), kept)):
            kept.insert(int(self._draw.integers(len(kept) + 1)), int(new))
        return np.array(kept)

    def _descended(
        self, effects: Float[np.ndarray, "dim outputs"], chosen: Bool[np.ndarray, " dim"]
    ) -> Bool[np.ndarray, " dim"]:
        """Change one statement at a time for the better, until nothing is better."""
        loss = self._losses(effects, chosen[None])[0]
        for _ in range(_STEPS):
            near = neighbours(chosen, self._method.most)
            losses = self._losses(effects, near)
            best = int(np.argmin(losses))
            if losses[best] >= loss:
                break
            chosen, loss = near[best], losses[best]
        return chosen

    def _losses(
        self, effects: Float[np.ndarray, "dim outputs"], chosen: Bool[np.ndarray, "m dim"]
    ) -> Float[np.ndarray, " m"]:
        answers = self._model.predict(effects, chosen)
        return modelled_losses(self._method.survey, answers.reshape(len(chosen), *self._shape))

    def _changed(self, chosen: Bool[np.ndarray, " dim"]) -> Bool[np.ndarray, " dim"]:
        near = neighbours(chosen, self._method.most)
        return near[self._draw.integers(len(near))] if len(near) else chosen


def order_of(keys: Float[np.ndarray, " dim"], most: int) -> Int[np.ndarray, " m"]:
    """List the statements of a text in their order: those with positive keys, the highest first.

    Where none is positive it is the one with the highest key: a text says something.
    """
    order = np.argsort(-keys, kind="stable")
    return order[: max(1, min(most, int((keys > 0).sum())))]


def keys_of(order: Int[np.ndarray, " m"], dim: int) -> Float[np.ndarray, " dim"]:
    """Give the statements of a text keys that put them into its order."""
    keys = np.zeros(dim)
    keys[order] = np.arange(len(order), 0, -1)
    return keys


def chosen_of(order: Int[np.ndarray, " m"], dim: int) -> Bool[np.ndarray, " dim"]:
    """Mark the statements of a text."""
    chosen = np.zeros(dim, dtype=bool)
    chosen[order] = True
    return chosen


def neighbours(chosen: Bool[np.ndarray, " dim"], most: int) -> Bool[np.ndarray, "m dim"]:
    """List the texts with one statement more or less or, where there is no room for more, with another one."""
    inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    changes = [(int(k),) for k in inside] if len(inside) > 1 else []
    if len(inside) < most:
        changes += [(int(k),) for k in outside]
    else:
        changes += [(int(a), int(b)) for a in inside for b in outside]
    near = np.repeat(chosen[None], len(changes), axis=0)
    for row, places in zip(near, changes, strict=True):
        row[list(places)] ^= True
    return near
