"""Acculturate: align a language model with a culture's survey values by searching for a soft prompt.

``load`` a model, ``align`` it with a country, ``open_run`` what a search left (docs/api.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acculturate.version import VERSION

if TYPE_CHECKING:
    from acculturate.api import (
        Model,
        PromptSearch,
        align,
        audit,
        compare,
        instrument,
        load,
        multitask,
        pareto,
        score,
        target,
        targets,
    )
    from acculturate.errors import UserError
    from acculturate.model.soft_prompt import SoftPrompt
    from acculturate.runs.load import FrontRun, MultitaskRun, Run, SteeredRun, open_run
    from acculturate.runs.progress import ProgressBar
    from acculturate.search.callbacks import Callback, StopBelow
    from acculturate.search.history import Generation

__version__ = VERSION

# Imported when they are first used, so that `import acculturate` stays light.
_HOMES = {
    "api": (
        *("Model", "PromptSearch", "align", "audit", "compare", "instrument", "load", "multitask", "pareto", "score"),
        *("target", "targets"),
    ),
    "errors": ("UserError",),
    "model.soft_prompt": ("SoftPrompt",),
    "runs.load": ("FrontRun", "MultitaskRun", "Run", "SteeredRun", "open_run"),
    "runs.progress": ("ProgressBar",),
    "search.callbacks": ("Callback", "StopBelow"),
    "search.history": ("Generation",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Callback",
    "FrontRun",
    "Generation",
    "Model",
    "MultitaskRun",
    "ProgressBar",
    "PromptSearch",
    "Run",
    "SoftPrompt",
    "SteeredRun",
    "StopBelow",
    "UserError",
    "__version__",
    "align",
    "audit",
    "compare",
    "instrument",
    "load",
    "multitask",
    "open_run",
    "pareto",
    "score",
    "target",
    "targets",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'acculturate' has no attribute '{name}'")
    return getattr(import_module(f"acculturate.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
