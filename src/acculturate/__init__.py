"""Acculturate: align a language model with a culture's survey values by searching for a soft prompt.

>>> from acculturate import align, score  # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from acculturate.version import VERSION

if TYPE_CHECKING:
    from acculturate.runs.score import Asking

__version__ = VERSION
__all__ = ["__version__", "align", "score"]


def align(*, out: str | Path, **settings: Any) -> dict[str, Any]:
    """Search for a soft prompt; what ``acculturate align`` does, with the same settings (``runs.spec.RunSpec``).

    Returns the content of ``result.json`` and leaves the run directory ``out``, report included. Raises
    ``errors.UserError`` for every mistake in the settings.
    """
    # Imported here, so that `import acculturate` stays light.
    from acculturate.report.run_page import write_report
    from acculturate.runs.align import align as run
    from acculturate.runs.spec import make_spec

    result = run(make_spec(settings, "the call of align"), Path(out))
    write_report(Path(out), result)
    return result


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
    from acculturate.model.loading import ModelChoice
    from acculturate.runs.score import Asking, score_model
    from acculturate.survey.instruments import load_instrument

    choice = ModelChoice(model, dtype=dtype)
    path = None if prompt is None else Path(prompt)
    return score_model(load_instrument(instrument), choice, asking or Asking(), prompt=path)
