"""The file of a sweep and the runs that it describes: a grid of settings, and further runs one by one."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from acculturate.errors import SettingError, UserError
from acculturate.files.checksums import SPEC
from acculturate.files.datafile import Node, nearest, read_data_file
from acculturate.legible import shown
from acculturate.report.sweep_page import FILE_NAME as PAGE
from acculturate.runs.records import RunKind
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import RunSpec, make_spec, to_json

MOST_RUNS = 10_000
"""Runs of one sweep: more are a mistake in its grid."""

TABLE, MARKER = "sweep.csv", "sweep.json"
"""Files in the directory of a sweep, beside its page: the second one tells that it is one."""

_BARE = ("country", "model", "protocol", "optimizer")
"""Settings whose values name a run without the setting's name before them."""
_PART, _NAME = 40, 120
"""Bytes of a part of a run's name, and of all of it."""
_TAKEN = (PAGE, TABLE, MARKER, SPEC)
"""Names with a meaning of their own in the directory of a sweep, or of a run."""


@dataclass(frozen=True)
class PlannedRun:
    """Hold one run of a sweep.

    Parameters
    ----------
    name
        Its directory under that of the sweep.
    spec
        Its settings, those of ``align``.
    varied
        The settings that the sweep's grid, or its own entry, gives to it.
    code
        The country's code in its target set.
    """

    name: str
    spec: RunSpec
    varied: Mapping[str, object]
    code: str

    def settings(self, *, seed: bool = True) -> str:
        """Write the settings as a text that is equal for equal ones, with the seed or without it."""
        values = to_json(self.spec) | {"country": self.code}
        return json.dumps({key: value for key, value in values.items() if seed or key != "seed"}, sort_keys=True)


@dataclass(frozen=True)
class SweepPlan:
    """Hold the runs of a sweep, in the order of its file."""

    runs: tuple[PlannedRun, ...]

    @property
    def in_order_of_models(self) -> tuple[PlannedRun, ...]:
        """The runs such that those with one model follow each other, else as in the file."""
        order: dict[object, list[PlannedRun]] = {}
        for run in self.runs:
            order.setdefault(run.spec.choice, []).append(run)
        return tuple(itertools.chain.from_iterable(order.values()))


def read_sweep(path: Path) -> SweepPlan:
    """Read the TOML or YAML file of a sweep; ``UserError`` with the place of every mistake."""
    return _plan(read_data_file(path))


def plan_sweep(values: Mapping[str, Any], source: str = "the call of sweep") -> SweepPlan:
    """Plan a sweep from plain values that are laid out as its file is."""
    return _plan(Node(source, "", _plain(values)))


def _plain(value: Any) -> Any:
    """Write tuples as the lists, and paths as the texts, that a file holds."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, PurePath) else value


def _plan(node: Node) -> SweepPlan:
    entries = node.table("", "kind settings grid runs")
    if "kind" in entries and entries["kind"].text() != RunKind.ALIGN:
        entries["kind"].fail(f"a sweep is of the kind 'align' so far, not {shown(entries['kind'].value)}")
    if "grid" not in entries and "runs" not in entries:
        node.fail("there is nothing to run; give a 'grid' of settings, or 'runs' one by one")
    shared = _settings(entries["settings"]) if "settings" in entries else {}
    cells = list(_grid_cells(entries["grid"], shared)) if "grid" in entries else []
    rows = entries["runs"].rows() if "runs" in entries else []
    if len(cells) + len(rows) > MOST_RUNS:
        node.fail(f"there are more than {MOST_RUNS:,} runs; give fewer")
    taken, runs = set[str](_TAKEN), list[PlannedRun]()
    for place, varied in itertools.chain(cells, ((row, _settings(row)) for row in rows)):
        spec = _spec(place, shared, varied)
        name = _free_name(varied, taken)
        taken.add(name.casefold())
        runs.append(_run(name, place, spec, varied))
    _check_distinct(node, runs)
    return SweepPlan(tuple(runs))


def _settings(node: Node) -> dict[str, object]:
    """Read a table of settings of ``align`` by their names."""
    entries = node.entries()
    for key in entries:
        _check_key(node, key)
    return {key: entry.value for key, entry in entries.items()}


def _check_key(node: Node, key: str) -> None:
    if key not in RunSpec.model_fields:
        node.fail(f"unknown key '{key}'{nearest(key, RunSpec.model_fields)}")
    if key == "trust_remote_code":
        node.fail("no file may have the code of a model run; leave trust_remote_code out, and use align for this model")


def _grid_cells(node: Node, shared: Mapping[str, object]) -> Iterator[tuple[Node, dict[str, object]]]:
    """Yield every combination of the grid's values, the last setting varying fastest."""
    axes: dict[str, list[object]] = {}
    for key, entry in node.entries().items():
        _check_key(node, key)
        if key in shared:
            entry.fail("this setting stands in 'settings' too; keep one")
        axes[key] = [row.value for row in entry.rows()]
    if not axes:
        node.fail("the grid is empty; give lists of values by setting, like seed: [0, 1]")
    if math.prod(map(len, axes.values())) > MOST_RUNS:
        node.fail(f"there are more than {MOST_RUNS:,} runs; give a smaller grid")
    for key, axis in axes.items():
        for place, value in enumerate(axis):
            if any(value == other and type(value) is type(other) for other in axis[:place]):
                Node(node.file, f"{node.at}.{key}", value).fail(f"the value {shown(value)} stands twice; keep one")
    for values in itertools.product(*axes.values()):
        yield node, dict(zip(axes, values, strict=True))


def _spec(place: Node, shared: Mapping[str, object], varied: Mapping[str, object]) -> RunSpec:
    """Validate the settings of one run."""
    source = f"{place.file}, {place.at}"
    values = {**shared, **varied}
    if not values.get("country"):
        raise SettingError(f"{source}: the run has no country; name one in the grid or in the settings.")
    try:
        return make_spec(values, "the run's settings")
    except UserError as error:
        raise type(error)(f"{source}: {error}") from None


def _run(name: str, place: Node, spec: RunSpec, varied: Mapping[str, object]) -> PlannedRun:
    """Look up all that the settings of one run name."""
    try:
        return PlannedRun(name, spec, varied, prepare(spec).target.code)
    except UserError as error:
        raise type(error)(f"{place.file}, {place.at}, run '{name}': {error}") from None


def _check_distinct(node: Node, runs: Sequence[PlannedRun]) -> None:
    names: dict[str, str] = {}
    for run in runs:
        settings = run.settings()
        if settings in names:
            node.fail(f"the runs '{names[settings]}' and '{run.name}' have equal settings; keep one")
        names[settings] = run.name


def _free_name(varied: Mapping[str, object], taken: set[str]) -> str:
    """Name a run after its settings; where that is another's name already, with a few digits of their checksum."""
    name = _cut("_".join(_name_part(key, value) for key, value in varied.items()), _NAME) or "run"
    if name.casefold() in taken:
        name = f"{name}_{_digits(varied)}"
    return name


def _name_part(key: str, value: object) -> str:
    word = key.replace("_", "-")
    if isinstance(value, bool):
        return word if value else f"no-{word}"
    if isinstance(value, list | dict) or value is None:
        return f"{word}-{_digits(value)}"
    text = _slug(PurePath(value).name if isinstance(value, str) else str(value))
    return text if key in _BARE else f"{word}-{text}"


def _slug(text: str) -> str:
    """Keep what can stand in the name of a directory anywhere, and no dot or dash at its ends."""
    return _cut(re.sub(r"[^\w.-]+", "-", text).strip(".-_"), _PART) or _digits(text)


def _cut(text: str, most: int) -> str:
    """Cut a text to so many bytes of UTF-8, as file systems count them."""
    return text.encode()[:most].decode(errors="ignore")


def _digits(value: object) -> str:
    try:
        content = json.dumps(value, sort_keys=True, default=str)
    except ValueError:  # a number of thousands of digits, which no search method takes
        content = shown(value)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:6]
