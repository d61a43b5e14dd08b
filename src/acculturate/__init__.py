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
        Sweep,
        align,
        audit,
        compare,
        evaluate,
        instrument,
        load,
        multitask,
        pareto,
        score,
        sweep,
        target,
        targets,
    )
    from acculturate.errors import FileError, ModelError, RunDirectoryError, SettingError, UserError
    from acculturate.model.soft_prompt import SoftPrompt
    from acculturate.runs.load import FrontRun, MultitaskRun, Run, SteeredRun, open_run
    from acculturate.runs.progress import ProgressBar
    from acculturate.runs.trackers.tracker import Tracker
    from acculturate.search.callbacks import Callback, StopBelow
    from acculturate.search.history import Generation

__version__ = VERSION

# Exported names are imported at their first use, so that `import acculturate` stays light: from api, but these.
_ELSEWHERE = {
    "Callback": "search.callbacks",
    "FileError": "errors",
    "FrontRun": "runs.load",
    "Generation": "search.history",
    "ModelError": "errors",
    "MultitaskRun": "runs.load",
    "ProgressBar": "runs.progress",
    "Run": "runs.load",
    "RunDirectoryError": "errors",
    "SettingError": "errors",
    "SoftPrompt": "model.soft_prompt",
    "SteeredRun": "runs.load",
    "StopBelow": "search.callbacks",
    "Tracker": "runs.trackers.tracker",
    "UserError": "errors",
    "open_run": "runs.load",
}

__all__ = [
    "Callback",
    "FileError",
    "FrontRun",
    "Generation",
    "Model",
    "ModelError",
    "MultitaskRun",
    "ProgressBar",
    "PromptSearch",
    "Run",
    "RunDirectoryError",
    "SettingError",
    "SoftPrompt",
    "SteeredRun",
    "StopBelow",
    "Sweep",
    "Tracker",
    "UserError",
    "__version__",
    "align",
    "audit",
    "compare",
    "evaluate",
    "instrument",
    "load",
    "multitask",
    "open_run",
    "pareto",
    "score",
    "sweep",
    "target",
    "targets",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'acculturate' has no attribute '{name}'")
    return getattr(import_module(f"acculturate.{_ELSEWHERE.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
