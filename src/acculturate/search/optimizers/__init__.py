"""Black-box optimizers behind one ask/tell protocol; the module of a method names its papers."""

from acculturate.search.optimizers.protocol import Optimizer, State, generator

__all__ = ["Optimizer", "State", "generator"]
