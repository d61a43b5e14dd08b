"""Black-box optimizers behind one ask/tell seam; each algorithm has a file, with its paper."""

from acculturate.search.optimizers.protocol import Optimizer, State, generator

__all__ = ["Optimizer", "State", "generator"]
