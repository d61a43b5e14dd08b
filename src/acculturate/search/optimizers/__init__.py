"""Black-box optimizers behind one ask/tell seam; each file is one algorithm with its paper."""

from acculturate.search.optimizers.protocol import Optimizer, State, generator

__all__ = ["Optimizer", "State", "generator"]
