"""Figures for papers, drawn with matplotlib from the frames of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from acculturate.errors import SettingError
from acculturate.survey.formats import Role

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that the common kinds of colour blindness tell apart, as on the report's page.
UNTUNED, TUNED, TARGET = "#8a8a8a", "#0b5fa5", "#d55e00"
_STYLES = (("naive", "Untuned model", UNTUNED, "o"), ("tuned", "Tuned prompt", TUNED, "s"))


def curve(course: pd.DataFrame) -> Figure:
    """Draw the losses of a search over its evaluations.

    Parameters
    ----------
    course
        ``Run.curve()``: columns ``evaluations``, ``best``, ``median`` and ``validation``, in points.

    Raises
    ------
    UserError
        Where matplotlib is not installed.
    """
    figure = _figure()
    axes = figure.subplots()
    axes.plot(course["evaluations"], course["median"], color=UNTUNED, label="median of a generation")
    axes.plot(course["evaluations"], course["best"], color=TUNED, label="best so far")
    judged = course.dropna(subset="validation")
    if len(judged):
        axes.plot(judged["evaluations"], judged["validation"], "x", color=TARGET, label="validation of a new best")
    axes.set_xlabel("candidate evaluations")
    axes.set_ylabel("loss in points")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def scores(frame: pd.DataFrame) -> Figure:
    """Draw untuned, tuned and target scores by dimension: one panel for each role of a format.

    Parameters
    ----------
    frame
        ``Run.scores()``: columns ``row``, ``role``, ``dimension``, ``score`` and ``target``, in points.

    Raises
    ------
    UserError
        Where matplotlib is not installed.
    """
    roles = list(dict.fromkeys(frame["role"]))
    figure = _figure(width=3.2 * len(roles))
    panels = figure.subplots(1, len(roles), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(frame["dimension"]))
    for axes, role in zip(panels, roles, strict=True):
        asked = frame.loc[frame["role"] == role]
        wanted = _means(asked, names, "target")
        axes.plot(range(len(names)), wanted, "_", color=TARGET, markersize=18, markeredgewidth=2.5, label="Target")
        for row, label, colour, marker in _STYLES:
            mean = _means(asked.loc[asked["row"] == row], names, "score")
            axes.plot(range(len(names)), mean, marker, color=colour, label=label)
        axes.set_xticks(range(len(names)), [name.upper() for name in names])
        axes.set_title(Role(role).formats_heading)
    panels[0].set_ylabel("score in points")
    panels[0].legend(frameon=False)
    return figure


def _means(frame: pd.DataFrame, names: Sequence[str], column: str) -> list[float]:
    return [float(np.mean(frame[column][frame["dimension"] == name])) for name in names]


def _figure(width: float = 5.0) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SettingError("Plots need matplotlib; install it with pip install 'acculturate[plots]'.") from None
    return Figure(figsize=(width, 3.4), layout="constrained")
