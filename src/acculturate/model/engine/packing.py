"""A questionnaire as trees of shared tokens, so that no token is computed twice for one candidate.

Every item in every format is one token sequence with a slot in it. What stands before the slot does not depend
on the candidate (*static*: computed once per run); the slot and what follows do (*dynamic*: computed for every
candidate). Sequences with a common beginning share those tokens: they form a prefix trie, and each token may
attend to its ancestors only, so one forward pass over the nodes answers every item.

A trie too wide wastes attention on pairs of tokens that the mask then removes. ``plan`` therefore cuts the
sorted sequences into contiguous groups at the least estimated cost, and stacks groups of similar size as the
rows of one forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

ROOT = -1


@dataclass(frozen=True)
class SlottedTokens:
    """Hold the token ids of a question before and after the slot."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    def __len__(self) -> int:
        """Count the tokens without the slot's own."""
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class Cost:
    """Hold the estimated cost of a forward pass, in units of one token's weight products.

    ``pair``: one query-key pair of attention, all layers. ``row``: fixed cost of one more row, which stands for
    the padding and bookkeeping it brings. ``longest``: rows with more dynamic tokens than this are refused
    unless one sequence alone needs them (bounds the memory of the attention mask). ``widest``: dynamic tokens of
    rows stacked in one pass (bounds the activations; larger passes only leave the cache).
    """

    pair: float
    row: float = 2.0
    longest: int = 4096
    widest: int = 2048


@dataclass(frozen=True, eq=False)
class Tree:
    """Hold nodes in an order where parents come first. ``tokens``: a vocabulary id, or ``-1 - k`` for soft token k.

    ``parents`` counts static nodes first, then dynamic ones; -1 is the root. ``depths`` are position ids.
    """

    tokens: Int[np.ndarray, "nodes"]
    parents: Int[np.ndarray, "nodes"]
    depths: Int[np.ndarray, "nodes"]

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class Row:
    """Hold one packed row: its trees, and which dynamic node answers which sequence."""

    static: Tree
    dynamic: Tree
    answers: Int[np.ndarray, "answered"]
    sequences: Int[np.ndarray, "answered"]
    leaves: Int[np.ndarray, "answered"]
    """The static node before the slot of each sequence."""

    def ancestors(self) -> Bool[np.ndarray, "nodes nodes"]:
        """Mark who may attend to whom: row = query; static nodes first; a node sees itself."""
        parents = np.concatenate([self.static.parents, self.dynamic.parents])
        visible = np.zeros((len(parents), len(parents)), dtype=bool)
        for node, parent in enumerate(parents):
            if parent != ROOT:
                visible[node] = visible[parent]
            visible[node, node] = True
        return visible

    def depths(self) -> Int[np.ndarray, "nodes"]:
        """Give the position ids, static nodes first."""
        return np.concatenate([self.static.depths, self.dynamic.depths])


@dataclass(frozen=True)
class Plan:
    """Hold the forward passes of one candidate: each a tuple of rows that are padded to a common size.

    ``reads_untuned``: what stands before the slot is answered too, as without a soft prompt.
    """

    passes: tuple[tuple[Row, ...], ...]
    n_tokens: int
    n_sequences: int
    reads_untuned: bool = False

    @property
    def tokens_per_candidate(self) -> int:
        """Count the dynamic tokens computed for every candidate, padding included."""
        return sum(len(rows) * max(len(row.dynamic) for row in rows) for rows in self.passes)

    @property
    def static_tokens(self) -> int:
        """Count the tokens computed once per run."""
        return sum(len(row.static) for rows in self.passes for row in rows)

    @property
    def attention_pairs(self) -> int:
        """Count the query-key pairs computed for every candidate, masked ones and padding included."""
        total = 0
        for rows in self.passes:
            queries = max(len(row.dynamic) for row in rows)
            total += len(rows) * queries * (queries + max(len(row.static) for row in rows))
        return total


class _Trie:
    """Build one Tree; ``first`` is the number that its first node gets."""

    def __init__(self, first: int = 0) -> None:
        self._children: dict[tuple[int, int], int] = {}
        self._nodes: list[tuple[int, int, int]] = []
        self._first = first

    def add(self, tokens: Sequence[int], parent: int = ROOT, depth: int = 0) -> int:
        """Insert a path below ``parent`` and return its last node."""
        for token in tokens:
            child = self._children.get((parent, token))
            if child is None:
                child = self._first + len(self._nodes)
                self._children[parent, token] = child
                self._nodes.append((token, parent, depth))
            parent, depth = child, depth + 1
        return parent

    def tree(self) -> Tree:
        columns = np.array(self._nodes, dtype=np.int64).reshape(-1, 3)
        return Tree(columns[:, 0], columns[:, 1], columns[:, 2])


def build_row(sequences: Sequence[SlottedTokens], n_tokens: int, which: Sequence[int] | Int[np.ndarray, "some"]) -> Row:
    """Pack the sequences with the indices ``which`` into one row."""
    slot = [-1 - k for k in range(n_tokens)]
    before = _Trie()
    leaves = [before.add(sequences[i].prefix) for i in which]
    static = before.tree()
    after = _Trie(first=len(static))
    answers = []
    for i, leaf in zip(which, leaves, strict=True):
        path = [*slot, *sequences[i].suffix]
        if not path:
            raise ValueError(f"sequence {i} has no token at or after its slot to answer at")
        answers.append(after.add(path, parent=leaf, depth=len(sequences[i].prefix)) - len(static))
    return Row(static, after.tree(), np.array(answers), np.array(which), np.array(leaves))


def plan(sequences: Sequence[SlottedTokens], n_tokens: int, cost: Cost, *, with_untuned: bool = False) -> Plan:
    """Cut the sequences into rows at the least estimated cost per candidate, and rows into passes.

    ``with_untuned``: have the answers without a soft prompt read as well, where every sequence ends at its slot. The
    rows are then those of one virtual token, so that these answers are the same to the bit beside prompts of any size.
    """
    beside = with_untuned and end_at_slot(sequences)
    size = 1 if beside else n_tokens
    order = sorted(range(len(sequences)), key=lambda i: (sequences[i].prefix, sequences[i].suffix))
    rows = [build_row(sequences, size, group) for group in _cut([*order], sequences, size, cost)]
    rows.sort(key=lambda row: len(row.dynamic))
    passes = _stack(rows, cost.widest)
    if size != n_tokens:
        passes = [tuple(build_row(sequences, n_tokens, row.sequences) for row in rows) for rows in passes]
    return Plan(tuple(passes), n_tokens, len(sequences), beside)


def end_at_slot(sequences: Sequence[SlottedTokens]) -> bool:
    """Tell whether nothing follows the slot and something precedes it in every sequence."""
    return all(one.prefix and not one.suffix for one in sequences)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Measure the length of the common beginning."""
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length


def _cut(order: list[int], sequences: Sequence[SlottedTokens], n_tokens: int, cost: Cost) -> list[list[int]]:
    """Cut the sorted sequences into contiguous groups, by dynamic programming over the place of the last cut."""
    n = len(order)
    new_static, new_dynamic = np.zeros(n, dtype=int), np.zeros(n, dtype=int)
    for k, i in enumerate(order):
        now, before = sequences[i], sequences[order[k - 1]] if k else None
        new_static[k], new_dynamic[k] = len(now.prefix), n_tokens + len(now.suffix)
        if before is not None:
            new_static[k] -= _shared(before.prefix, now.prefix)
            if before.prefix == now.prefix:
                new_dynamic[k] = len(now.suffix) - _shared(before.suffix, now.suffix)
    static_until, dynamic_until = np.cumsum(new_static), np.cumsum(new_dynamic)
    best, cut = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=int)
    best[0] = 0.0
    for start in range(n):
        first = sequences[order[start]]
        dynamic = n_tokens + len(first.suffix) + dynamic_until[start:] - dynamic_until[start]
        # Rows as long as allowed, and one sequence in any case.
        dynamic = dynamic[: max(1, int(np.searchsorted(dynamic, cost.longest, side="right")))]
        stops = slice(start + 1, start + 1 + len(dynamic))
        static = len(first.prefix) + static_until[start : start + len(dynamic)] - static_until[start]
        total = best[start] + cost.row + dynamic * (1.0 + cost.pair * (static + dynamic))
        better = total < best[stops]
        best[stops] = np.where(better, total, best[stops])
        cut[stops] = np.where(better, start, cut[stops])
    groups, stop = [], n
    while stop > 0:
        groups.append(order[cut[stop] : stop])
        stop = int(cut[stop])
    return groups[::-1]


def _stack(rows: list[Row], widest: int, waste: float = 0.04) -> list[tuple[Row, ...]]:
    """Stack rows of similar size into passes of at most ``widest`` tokens, a share ``waste`` of them padding."""
    passes: list[list[Row]] = []
    for row in rows:
        if passes:
            sizes = [len(r.dynamic) for r in passes[-1]] + [len(row.dynamic)]
            if max(sizes) * len(sizes) <= min(widest, (1 + waste) * sum(sizes)):
                passes[-1].append(row)
                continue
        passes.append([row])
    return [tuple(p) for p in passes]
