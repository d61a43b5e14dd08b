"""Texts that might move a model towards a country: value statements for its scores, personas, and both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.judge.persona import persona
from acculturate.survey.instrument import Instrument
from acculturate.survey.statements import Poles, statements_of

RANDOM = 8
"""Number of random selections of statements among the texts."""
_PER_SELECTION = 2


@dataclass(frozen=True)
class Text:
    """Hold a system message, with what it is in a few words."""

    name: str
    system: str


def texts_towards(
    instrument: Instrument,
    country: str,
    target: Float[np.ndarray, "dims"],
    untuned: Float[np.ndarray, "dims"],
    language: str = "en",
) -> list[Text]:
    """Write system messages that might move a model to a country's scores, the most promising first.

    A *pull* names the pole to which a score has to move, a *portrait* the pole on which the country's score lies. Both
    leave out dimensions that the target lacks.

    Parameters
    ----------
    instrument, country
        What is asked, and whose answers are wanted.
    target, untuned
        The country's scores and the untuned model's, in points; NaN: none.
    language
        Of the statements; where there are none in it the country's persona is the only text.
    """
    someone = persona(country).system or ""
    poles = statements_of(instrument, language)
    if poles is None:
        return [Text("persona", someone)]
    gaps = dict(zip(instrument.dimension_ids, (target - untuned).tolist(), strict=True))
    middles = [(d.low + d.high) / 2 for d in instrument.dimensions]
    levels = dict(zip(instrument.dimension_ids, (target - np.array(middles)).tolist(), strict=True))
    known = {d: gap for d, gap in gaps.items() if not math.isnan(gap)}
    pull = {d: _pole(poles[d], gap) for d, gap in sorted(known.items(), key=lambda one: -abs(one[1]))}
    portrait = {d: _pole(poles[d], levels[d]) for d in sorted(known, key=lambda d: -abs(levels[d]))}
    far = {d: pull[d] for d in list(pull)[: max(1, len(pull) // 2)]}
    texts = [
        Text("pull, all statements", _joined(pull)),
        Text("persona", someone),
        Text("persona and pull", f"{someone}\n{_joined(pull, 4)}"),
        Text("portrait, all statements", _joined(portrait)),
        Text("pull, four statements each", _joined(pull, 4)),
        Text("pull where the model is farthest", _joined(far)),
        Text("persona and portrait", f"{someone}\n{_joined(portrait, 4)}"),
        Text("pull, general outlook", _joined(pull, 2)),
        Text("portrait, general outlook", _joined(portrait, 2)),
        Text("persona and pull, all statements", f"{someone}\n{_joined(pull)}"),
    ]
    draw = np.random.default_rng(0)
    for n in range(RANDOM):
        drawn = {d: _drawn(lines, draw) for d, lines in pull.items()}
        texts.append(Text(f"pull, random statements {n + 1}", _joined(drawn)))
    return texts


def _pole(poles: Poles, direction: float) -> tuple[str, ...]:
    return poles.high if direction > 0 else poles.low


def _joined(lines: Mapping[str, tuple[str, ...]], most: int | None = None) -> str:
    """Put statements one to a line, dimension by dimension; ``most`` of each."""
    return "\n".join(line for of_one in lines.values() for line in of_one[:most])


def _drawn(lines: tuple[str, ...], draw: np.random.Generator) -> tuple[str, ...]:
    chosen = draw.choice(len(lines), size=min(_PER_SELECTION, len(lines)), replace=False)
    return tuple(lines[i] for i in sorted(chosen.tolist()))
