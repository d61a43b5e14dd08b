"""The Python side: a loaded model that is reused, targets, instruments, kinds of run, and a search to iterate.

A mistake in what is asked raises ``UserError``.
"""

from acculturate.api.model import Model, audit, evaluate, instrument, load, score, target, targets
from acculturate.api.runs import align, compare, multitask, pareto
from acculturate.api.search import PromptSearch
from acculturate.api.sweeps import Sweep, sweep

__all__ = [
    "Model",
    "PromptSearch",
    "Sweep",
    "align",
    "audit",
    "compare",
    "evaluate",
    "instrument",
    "load",
    "multitask",
    "pareto",
    "score",
    "sweep",
    "target",
    "targets",
]
