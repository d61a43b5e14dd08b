"""Acculturate: align a language model with a culture's survey values by searching for a soft prompt.

``align`` searches, ``open_run`` reads what a search left, ``score`` asks a model (docs/api.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from acculturate.version import VERSION

if TYPE_CHECKING:
    from acculturate.runs.load import FrontRun, MultitaskRun, Run, SteeredRun
    from acculturate.runs.score import Asking

__version__ = VERSION
__all__ = ["__version__", "align", "open_run", "score"]


def align(*, out: str | Path, **settings: Any) -> Run:
    """Search for a soft prompt; what ``acculturate align`` does, with the same settings (``runs.spec.RunSpec``).

    Parameters
    ----------
    out
        The run directory. The same call goes on with an interrupted run and returns a finished one.
    settings
        Settings of the run by name, like ``country="SAU"``.

    Returns
    -------
    Run
        The finished run; it reads like the content of ``result.json`` too. The report lies in ``out``.

    Raises
    ------
    UserError
        For every mistake in the settings or the directory, in one sentence.
    """
    # Imported here, so that `import acculturate` stays light.
    from acculturate.report.run_page import write_report
    from acculturate.runs.align import align as run
    from acculturate.runs.load import Run
    from acculturate.runs.spec import make_spec

    result = run(make_spec(settings, "the call of align"), Path(out))
    write_report(Path(out), result)
    return Run(Path(out), result)


def open_run(path: str | Path) -> Run | MultitaskRun | FrontRun | SteeredRun:
    """Open the directory of a finished run: verdict, prompt and figures as data frames (``runs.load``).

    Parameters
    ----------
    path
        The directory of a finished ``align``, ``multitask``, ``pareto`` or ``steer``.

    Raises
    ------
    UserError
        Where there is no finished run, or where its record is damaged.
    """
    from acculturate.runs.load import open_run as opened

    return opened(path)


def score(
    *,
    model: str,
    prompt: str | Path | None = None,
    instrument: str = "vsm2013",
    asking: Asking | None = None,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Put the questionnaire to a model; ``scores`` (points), ``item_means`` (option values), ``answer_mass`` (0..1).

    ``prompt``: a run directory or a ``.safetensors`` file. ``asking``: formats and scoring (``runs.score.Asking``).
    """
    from acculturate.model.choice import ModelChoice
    from acculturate.runs.score import Asking, score_model
    from acculturate.survey.instruments import load_instrument

    choice = ModelChoice(model, dtype=dtype)
    path = None if prompt is None else Path(prompt)
    return score_model(load_instrument(instrument), choice, asking or Asking(), prompt=path).to_json()
