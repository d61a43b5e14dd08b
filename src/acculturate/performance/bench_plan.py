"""What a benchmark times: slots, precisions, rounds, and which questions are checked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from acculturate.errors import SettingError
from acculturate.legible import shown
from acculturate.model.loading import DTYPES
from acculturate.model.slot import Slot
from acculturate.performance.shapes import SHAPES
from acculturate.survey.formats import Format
from acculturate.survey.instrument import Instrument
from acculturate.survey.instrument_files import load_instrument

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class BenchPlan:
    """Describe what is timed.

    Parameters
    ----------
    n_tokens, slots, dtypes
        Size of the soft prompt, where it stands, and the precisions.
    repeats
        Rounds through all methods of one precision; medians are reported.
    checked
        Questions per slot whose log-probabilities are compared with one at a time.
    generated
        Questions that the sampled loop answers, scaled up to all.
    clock
        ``wall``, or ``cpu`` for processor seconds. On a CPU that others use too those are the ones to compare (with
        one thread; waiting threads spend processor time as well).
    populations
        Numbers of candidates handed over at once, timed in the slot ``user_end``.
    shape
        A key of ``SHAPES`` to be filled with random weights instead of loading the model's.

    Raises
    ------
    UserError
        For an unknown shape, clock or precision, and a population without candidates.
    """

    n_tokens: int = 8
    slots: tuple[str, ...] = (Slot.BEFORE_BOS, Slot.USER_END, Slot.RESPONSE_START)
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    repeats: int = 3
    checked: int = 8
    generated: int = 2
    clock: str = "wall"
    populations: tuple[int, ...] = ()
    shape: str | None = None
    presentations: tuple[Format, ...] = (Format(),)
    instrument: Instrument = field(default_factory=lambda: load_instrument("vsm2013"))

    def __post_init__(self) -> None:
        if self.shape is not None and self.shape not in SHAPES:
            raise SettingError(f"Shape {shown(self.shape)} is unknown; expected one of {', '.join(SHAPES)}.")
        if self.clock not in CLOCKS:
            raise SettingError(f"Clock {shown(self.clock)} is unknown; expected one of {', '.join(CLOCKS)}.")
        if min(self.populations, default=1) < 1:
            raise SettingError(
                f"A population of {min(self.populations)} has no candidate; expected whole numbers from 1."
            )
        for dtype in self.dtypes:
            if dtype not in DTYPES:
                raise SettingError(f"Precision {shown(dtype)} is unknown; expected one of {', '.join(DTYPES)}.")

    def checked_questions(self, count: int) -> list[int]:
        """Choose the places of the checked questions, spread evenly over ``count``."""
        return np.unique(np.linspace(0, count - 1, min(self.checked, count)).astype(int)).tolist()
