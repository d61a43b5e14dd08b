"""Several runs side by side: whether the prompt tuned for one country is nearest to that country.

A prompt that lowers its loss by moving everything the same way is near every country at once. The confusion
matrix shows it, and Kendall's tau with the share of mis-ranked countries per dimension says whether countries
stand in their published order (after Hofstede's CAT, Masoud et al. 2024, arXiv:2309.12342).
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from acculturate.errors import SettingError
from acculturate.files.record import Figure, Record, or_nan
from acculturate.files.run_directory import plain
from acculturate.judge.ranks import kendall_tau, misranked_share
from acculturate.survey.formats import Role
from acculturate.survey.targets import TargetSet

COMPARED_ROLES = (Role.TRAIN, Role.HELDOUT)


class ComparedTarget(Record):
    """Hold whose scores a run is to reach."""

    country: str
    code: str
    scores: dict[str, Figure]


class ComparedDimension(Record):
    """Hold the id of a dimension."""

    id: str


class ComparedInstrument(Record):
    """Hold what has to be the same in all runs. ``constant``: added to every dimension, in points."""

    id: str
    constant: Figure
    dimensions: tuple[ComparedDimension, ...]


class ComparedScores(Record):
    """Hold dimension scores, in points."""

    scores: dict[str, Figure]


class ComparedRow(Record):
    """Hold a row's scores on the trained and on the held-out formats."""

    id: str
    train: ComparedScores | None
    heldout: ComparedScores | None

    def on(self, role: Role) -> ComparedScores | None:
        """Return the scores on the formats of a role."""
        return {Role.TRAIN: self.train, Role.HELDOUT: self.heldout}.get(role)


class Compared(Record):
    """Hold the part of a result.json that a comparison reads; the rest may be of any version."""

    target: ComparedTarget
    instrument: ComparedInstrument
    rows: tuple[ComparedRow, ...]


@dataclass(frozen=True)
class Placing:
    """Hold where one run's scores land.

    ``distances``: mean absolute error per dimension, in points, to each compared country. ``rank``: of the
    run's own country among them, 1 is nearest; ties count against it. ``nearest``: the nearest country's
    code. ``rank_all`` and ``of_all``: the same among all countries of a target set that have the dimensions.
    """

    run: str
    country: str
    code: str
    distances: dict[str, float]
    nearest: str
    rank: int
    rank_all: int | None = None
    of_all: int | None = None
    nearest_all: str | None = None


@dataclass(frozen=True)
class Confusion:
    """Hold one row of results (tuned, persona) in one role (train, heldout) over all runs.

    ``right``: share of runs whose own country is nearest; ``chance``: what guessing would give. ``p``: share
    of the relabellings of the runs' countries whose mean distance to the own country is as small. ``tau`` and
    ``misranked``: per dimension, over the runs.
    """

    row: str
    role: Role
    dimensions: tuple[str, ...]
    placings: tuple[Placing, ...]
    right: float
    chance: float
    p: float
    tau: dict[str, float]
    misranked: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """Hold all runs, compared. ``countries``: code to name. ``notes``: sentences on what could not be compared."""

    countries: dict[str, str]
    confusions: tuple[Confusion, ...]
    notes: tuple[str, ...]

    def find(self, row: str = "tuned", role: str = Role.HELDOUT) -> Confusion | None:
        """Return the confusion matrix of a row in a role; None where there is none."""
        return next((c for c in self.confusions if (c.row, c.role) == (row, role)), None)

    def to_frame(self) -> pd.DataFrame:
        """Return distances in points, in long form: ``row``, ``role``, ``run``, ``code``, ``to``, ``distance``."""
        lines = [
            {"row": one.row, "role": str(one.role), "run": placing.run, "code": placing.code, "to": to, "distance": gap}
            for one in self.confusions
            for placing in one.placings
            for to, gap in placing.distances.items()
        ]
        return pd.DataFrame(lines, columns=["row", "role", "run", "code", "to", "distance"])

    def _repr_html_(self) -> str:
        tables = [
            f"<p><b>{html.escape(one.row)}, {one.role.words} formats: "
            f"{one.right:.0%} nearest to their own country</b></p>"
            + pd.DataFrame({placing.code: placing.distances for placing in one.placings}).T.to_html(float_format="%.0f")
            for one in self.confusions
        ]
        return "".join([*tables, *(f"<p>{html.escape(note)}</p>" for note in self.notes)])

    def to_json(self) -> dict[str, object]:
        """Return plain JSON, NaN as null."""
        return plain(asdict(self))

    def to_markdown(self) -> str:
        """Write every confusion matrix and its rank agreement as Markdown tables."""
        parts = [_markdown(confusion, self.countries) for confusion in self.confusions]
        return "\n\n".join([*parts, *self.notes]) + "\n"


def compare(
    results: Sequence[Compared],
    target_set: TargetSet | None = None,
    *,
    names: Sequence[str] | None = None,
    rows: Sequence[str] = ("tuned", "persona"),
) -> Comparison:
    """Compare runs by their results.

    ``target_set``: also rank each run's country among all of its countries. ``names``: of the runs (their
    directories). Distances use the dimensions that all compared targets and runs have. Raises ``UserError``
    where there are fewer than two countries, or runs that do not measure the same.
    """
    runs = _read(results, names)
    notes: list[str] = []
    confusions = []
    for row, role in itertools.product(rows, COMPARED_ROLES):
        scores = _scores(results, row, role, runs.dims)
        if scores is None:
            notes.append(f"Not every run has {role} scores in the row '{row}', so these are not compared.")
        elif not runs.shared(scores).any():
            notes.append(f"The runs and countries have no dimension in common in the row '{row}' ({role}).")
        else:
            confusions.append(_confusion(row, role, scores, runs, target_set))
    left = [d for d, one in zip(runs.dims, runs.published, strict=True) if not one]
    if left:
        notes.append(f"Distances leave out {', '.join(left)}: not every compared country has a published score there.")
    return Comparison(dict(zip(runs.codes, runs.countries, strict=True)), tuple(confusions), tuple(notes))


@dataclass(frozen=True, eq=False)
class _Runs:
    """Hold what all results have in common. ``own``: per run, the place of its country in ``codes``."""

    labels: tuple[str, ...]
    dims: tuple[str, ...]
    codes: tuple[str, ...]
    countries: tuple[str, ...]
    own: tuple[int, ...]
    table: Float[np.ndarray, "countries dims"]

    def shared(self, scores: Float[np.ndarray, "runs dims"]) -> Bool[np.ndarray, "dims"]:
        """Find the dimensions on which every target and every run has a score; distances over others do not compare."""
        return np.asarray(self.published & ~np.isnan(scores).any(axis=0))

    @property
    def published(self) -> Bool[np.ndarray, "dims"]:
        """Dimensions on which every target has a score."""
        return np.asarray(~np.isnan(self.table).any(axis=0))


def _read(results: Sequence[Compared], names: Sequence[str] | None) -> _Runs:
    if len(results) < 2:
        raise SettingError("A comparison needs at least two runs; give two or more run directories.")
    labels = tuple(names) if names is not None else tuple(f"run {i + 1}" for i in range(len(results)))
    dims = _dimensions(results, labels)
    targets: dict[str, tuple[str, Float[np.ndarray, "dims"]]] = {}
    own = []
    for result, label in zip(results, labels, strict=True):
        code, country = result.target.code, result.target.country
        vector = _vector(result.target.scores, dims)
        if code in targets and not np.array_equal(targets[code][1], vector, equal_nan=True):
            raise SettingError(
                f"Two runs for {country} have different targets ({label} is one of them); "
                "compare runs with the same target set."
            )
        targets.setdefault(code, (country, vector))
        own.append(list(targets).index(code))
    if len(targets) < 2:
        country = next(iter(targets.values()))[0]
        raise SettingError(f"All runs are for {country}; a comparison needs runs for at least two countries.")
    countries, vectors = zip(*targets.values(), strict=True)
    return _Runs(labels, dims, tuple(targets), tuple(countries), tuple(own), np.stack(vectors))


def _dimensions(results: Sequence[Compared], labels: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of the dimensions, which have to be the same in all runs."""

    def ids(instrument: ComparedInstrument) -> tuple[str, ...]:
        return tuple(one.id for one in instrument.dimensions)

    first = results[0].instrument
    for result, label in zip(results, labels, strict=True):
        one = result.instrument
        if (one.id, one.constant, ids(one)) != (first.id, first.constant, ids(first)):
            raise SettingError(
                f"{label} measures {one.id} with the constant {one.constant}, but {labels[0]} measures "
                f"{first.id} with {first.constant}; compare runs that measure the same."
            )
    return ids(first)


def _vector(scores: Mapping[str, float | None], dims: Sequence[str]) -> Float[np.ndarray, "dims"]:
    return np.array([or_nan(scores.get(d)) for d in dims], dtype=np.float64)


def _scores(
    results: Sequence[Compared], row: str, role: Role, dims: Sequence[str]
) -> Float[np.ndarray, "runs dims"] | None:
    """Return every run's scores in one row and role; None where a run has none."""
    vectors = []
    for result in results:
        entry = next((one for one in result.rows if one.id == row), None)
        part = None if entry is None else entry.on(role)
        if part is None:
            return None
        vectors.append(_vector(part.scores, dims))
    return np.stack(vectors)


def _confusion(
    row: str, role: Role, scores: Float[np.ndarray, "runs dims"], runs: _Runs, target_set: TargetSet | None
) -> Confusion:
    shared = runs.shared(scores)
    gaps = np.abs(scores[:, None, shared] - runs.table[None][:, :, shared]).mean(axis=-1)
    used = tuple(d for d, one in zip(runs.dims, shared, strict=True) if one)
    placings = []
    for run, own in enumerate(runs.own):
        everyone = None
        if target_set is not None:
            everyone = _among_all(scores[run, shared], runs.table[own, shared], used, target_set)
        placings.append(
            Placing(
                run=runs.labels[run],
                country=runs.countries[own],
                code=runs.codes[own],
                distances=dict(zip(runs.codes, gaps[run].tolist(), strict=True)),
                nearest=runs.codes[int(gaps[run].argmin())],
                rank=_rank(np.delete(gaps[run], own), float(gaps[run, own])),
                rank_all=None if everyone is None else everyone[0],
                of_all=None if everyone is None else everyone[1],
                nearest_all=None if everyone is None else everyone[2],
            )
        )
    published = runs.table[list(runs.own)]
    named = list(enumerate(runs.dims))
    return Confusion(
        row=row,
        role=role,
        dimensions=used,
        placings=tuple(placings),
        right=float(np.mean([placing.rank == 1 for placing in placings])),
        chance=1 / len(runs.codes),
        p=_relabelled(gaps, runs.own),
        tau={d: kendall_tau(scores[:, i], published[:, i]) for i, d in named},
        misranked={d: misranked_share(scores[:, i], published[:, i]) for i, d in named},
    )


def _rank(others: Float[np.ndarray, "others"], own: float) -> int:
    """Find the place of a distance among the others, 1 is nearest; an equal distance counts as nearer.

    Answers that do not differ between countries would otherwise be right for all of them.
    """
    return 1 + int((others <= own + 1e-9).sum())


def _among_all(
    scores: Float[np.ndarray, "dims"],
    own: Float[np.ndarray, "dims"],
    dims: Sequence[str],
    target_set: TargetSet,
) -> tuple[int, int, str]:
    """Rank the own target among a set's countries that have all the dimensions, their number, the nearest."""
    others = []
    for target in target_set.targets:
        vector = _vector(target.scores, dims)
        # The run's own country is recognised by its scores: the set may lack it, or hold it under another code.
        if not np.isnan(vector).any() and not np.array_equal(vector, own):
            others.append((float(np.abs(scores - vector).mean()), target.country))
    mine = float(np.abs(scores - own).mean())
    rank = _rank(np.array([distance for distance, _ in others]), mine)
    nearest = min(others)[1] if others and rank > 1 else "its own"
    return rank, len(others) + 1, nearest


def _relabelled(gaps: Float[np.ndarray, "runs countries"], own: Sequence[int], *, draws: int = 5000) -> float:
    """Estimate how often a random exchange of the runs' countries fits as well: p of the mean distance.

    All exchanges are tried up to seven runs; beyond that 5000 are drawn and the observed one is counted in.
    """
    n = len(own)
    rng = np.random.default_rng(0)
    orders = (
        list(itertools.permutations(own))
        if n <= 7
        else [tuple(own), *(tuple(rng.permutation(own).tolist()) for _ in range(draws))]
    )
    means = gaps[np.arange(n)[None, :], np.array(orders)].mean(axis=1)
    return float((means <= gaps[np.arange(n), list(own)].mean() + 1e-9).mean())


def _markdown(confusion: Confusion, countries: Mapping[str, str]) -> str:
    codes = list(countries)
    ranked_all = any(placing.rank_all is not None for placing in confusion.placings)
    head = ["run", *(countries[code] for code in codes), "rank of its own"]
    if ranked_all:
        head.append("rank among all")
    lines = [
        f"### Distance to each country: {confusion.row}, {confusion.role.words} formats",
        "",
        f"Mean absolute error per dimension in points, over {', '.join(confusion.dimensions)}; "
        "the run's own country in bold.",
        "",
        _line(head),
        _line(["---"] * len(head)),
    ]
    for placing in confusion.placings:
        cells = [
            f"**{placing.distances[code]:.1f}**" if code == placing.code else f"{placing.distances[code]:.1f}"
            for code in codes
        ]
        row = [placing.run.replace("|", "\\|"), *cells, f"{placing.rank} of {len(codes)}"]
        if ranked_all:
            row.append("" if placing.rank_all is None else f"{placing.rank_all} of {placing.of_all}")
        lines.append(_line(row))
    right = sum(placing.rank == 1 for placing in confusion.placings)
    lines += [
        "",
        f"Nearest to its own country: {right} of {len(confusion.placings)} runs "
        f"(chance {confusion.chance:.0%}); "
        f"exchanging the countries at random fits as well with p = {confusion.p:.3f}.",
        "",
        _line(["", *confusion.tau]),
        _line(["---"] * (len(confusion.tau) + 1)),
        _line(["Kendall's tau", *(_cell(value, "{:+.2f}") for value in confusion.tau.values())]),
        _line(["mis-ranked", *(_cell(value, "{:.0%}") for value in confusion.misranked.values())]),
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: float, how: str) -> str:
    return "none" if math.isnan(value) else how.format(value)
