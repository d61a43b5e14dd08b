"""The front of a finished run as files, and the choice of one of its points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acculturate.errors import SettingError, setting
from acculturate.files.record import Record
from acculturate.files.run_directory import dump_json
from acculturate.files.whole_file import write_whole
from acculturate.judge.front import (
    Front,
    FrontTarget,
    Point,
    Reference,
    SecondObjective,
)
from acculturate.judge.records import ModelIdentity
from acculturate.model.soft_prompt import FILE, read_prompts, write_prompt
from acculturate.runs.finished import read_record

FRONT, PROMPTS, PICK = "front.json", "front.safetensors", "pick.json"


class PickedFrom(Record):
    """Hold what a front says of itself, and how many points it has (``of``)."""

    acculturate: str
    model: ModelIdentity
    target: FrontTarget
    second: SecondObjective
    references: tuple[Reference, ...]
    of: int


class Pick(Point, PickedFrom):
    """Hold pick.json: one point of a front, after what the front is compared to."""


def pick(run: Path, out: Path, *, point: int | None = None, survey_below: float | None = None) -> Pick:
    """Write one point's prompt and its figures into ``out``.

    ``point``: its number in the front, from 1. ``survey_below``: instead, the point with the least second objective
    among those whose survey loss on the trained formats, in points, is below this. ``UserError`` where there is no
    such point, no front, or other files in ``out``.
    """
    if (point is None) == (survey_below is None):
        raise SettingError(
            f"Give either {setting('point')}, the number of a point, or {setting('survey_below')}, the survey loss to "
            "stay under."
        )
    if not (run / FRONT).is_file():
        raise SettingError(f"There is no finished front in '{run}'; give the directory of acculturate pareto.")
    front, prompts = read_record(run / FRONT, Front), read_prompts(run / PROMPTS)
    points = front.points
    if [point.point for point in points] != list(range(1, len(prompts) + 1)):
        raise SettingError(f"The points in '{run / FRONT}' are not those of its prompts ({PROMPTS}); restore both.")
    index = _numbered(points, point) if point is not None else _cheapest(points, float(survey_below or 0.0))
    # Hidden names are those of scratch files, which a killed pick leaves.
    there = [p.name for p in out.iterdir() if not p.name.startswith(".")] if out.is_dir() else []
    strangers = [name for name in there if name not in (FILE, PICK)]
    if out.exists() and not out.is_dir():
        raise SettingError(f"'{out}' is a file; name a directory with {setting('out')}.")
    # A directory in the place of a file is another's as well.
    strangers += [name for name in (FILE, PICK) if (out / name).is_dir()]
    if strangers:
        raise SettingError(f"'{out}' holds other files already ({strangers[0]}); choose another with {setting('out')}.")
    record = Pick(
        acculturate=front.acculturate,
        model=front.model,
        target=front.target,
        second=front.second,
        references=front.references,
        of=len(points),
        **dict(points[index]),
    )
    out.mkdir(parents=True, exist_ok=True)
    write_prompt(out / FILE, prompts[index])
    write_whole(out / PICK, dump_json(record))
    return record


def _numbered(points: Sequence[Point], point: int) -> int:
    if not 1 <= point <= len(points):
        raise SettingError(f"There is no point {point} in this front; it has the points 1 to {len(points)}.")
    return point - 1


def _cheapest(points: Sequence[Point], bound: float) -> int:
    under = [i for i, point in enumerate(points) if point.train.survey < bound]
    if not under:
        nearest = points[0].train.survey
        raise SettingError(
            f"No point of this front is under {bound:g} points; the nearest, point 1, has {nearest:.1f}."
        )
    return min(under, key=lambda i: points[i].train.second)
