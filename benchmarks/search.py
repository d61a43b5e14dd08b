"""Every search method on the real task at equal budgets: training loss and held-out loss, medians and ranges.

Run: python benchmarks/search.py [--results FILE] [--methods dfgn,de,de@culture] [--seeds 5] [--budget 1000] ...
The trained loss is the search's own: in the balanced protocol it has the price of lost answer mass in it, and the
held-out loss, a distance alone, is that of the winner on the validation format.
The default task is the paper's protocol (one format, one order) on the embedded model, float32, slot response_start,
3 tokens. `--model FILE.gguf --protocol balanced --train-formats A,B` makes another; tasks may share a results file.
METHOD@START begins from another start than the default (align's --start).

A cell is one search: a task, a method, a start and a seed. Each is appended to the results file as one JSON line when
it is finished, and one that is there is skipped: the table, hours on two cores, can be filled in many sittings, and by
several processes with the same command. `--table FILE` prints the table of a results file and computes nothing.

Our methods run as `align` runs them (runs.align.Ready). Peers get the same population and the same evaluator, and are
otherwise as their packages ship them: scipy's differential_evolution and pymoo's DE (both best/1/bin). They cannot do
without bounds: a box twice as wide as the start. Black-Box Tuning (Sun et al. 2022, arXiv:2201.03221) needs no peer:
`cma-es` here is its search, full CMA-ES with a population of 20 in a random projection to 500 dimensions with its
scaling, from our start population (as near as the projection can come to it).
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from acculturate.errors import UserError
from acculturate.files.run_directory import plain
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.runs.align import Ready
from acculturate.runs.resolve import Prepared, prepare
from acculturate.runs.spec import RunSpec, make_spec
from acculturate.search.loop import Progress, Search
from acculturate.search.methods import method_name
from acculturate.search.objective import Objective
from acculturate.search.problem import Problem
from acculturate.survey.formats import ROLES
from acculturate.version import VERSION

# What matters most first: the table is filled from the top.
ROWS = (
    "dfgn,de,de-current-to-best,de@culture,de-current-to-best@culture,random,scipy,sep-cma,cma-es,shade,lshade,jso,"
    "jade,de-best,de-current-to-pbest,de-rand2,pso,openai-es,pymoo"
)
RESULTS = Path(__file__).parent / "results" / "search.jsonl"
KEY = ("task", "method", "start", "seed")

Losses = Callable[[np.ndarray], np.ndarray]
Cell = dict[str, Any]


def scipy_de(losses: Losses, start: np.ndarray, seed: int, budget: int) -> None:
    from scipy.optimize import differential_evolution

    differential_evolution(
        lambda x: losses(x.T),
        [box(start)] * start.shape[1],
        maxiter=-(-budget // len(start)) - 1,
        tol=0,  # converged is only a population of equals
        polish=False,
        init=start,  # pyright: ignore[reportArgumentType]
        updating="deferred",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )


def pymoo_de(losses: Losses, start: np.ndarray, seed: int, budget: int) -> None:
    from pymoo.algorithms.soo.nonconvex.de import DE
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize

    class Survey(Problem):
        def _evaluate(self, x: np.ndarray, out: dict[str, Any], *_: Any, **__: Any) -> None:
            out["F"] = losses(x)

    low, high = box(start)
    problem = Survey(n_var=start.shape[1], n_obj=1, xl=low, xu=high)
    minimize(problem, DE(pop_size=len(start), sampling=start), ("n_eval", budget), seed=seed)


PEERS = {"scipy": scipy_de, "pymoo": pymoo_de}


def box(start: np.ndarray) -> tuple[float, float]:
    """Bounds for methods that insist on some: twice as far as the start reaches."""
    reach = 2 * float(np.abs(start).max())
    return -reach, reach


class Counted:
    """A peer's objective: at most ``budget`` candidates are evaluated; what is beyond, or has no loss, is infinite."""

    def __init__(self, search: Search, progress: Progress, watch: Callable[[Progress], None]) -> None:
        self._search, self.progress, self._watch = search, progress, watch

    def __call__(self, x: np.ndarray) -> np.ndarray:
        losses = np.full(len(x), np.inf)
        if self.progress.evaluations < self._search.budget:
            self.progress, seen, _ = self._search.spend(self.progress, x)
            self._watch(self.progress)
            found = np.array([e.loss for e in seen])
            losses[: len(seen)] = np.where(np.isfinite(found), found, np.inf)
        return losses


def searched(ready: Ready, method: str, seed: int) -> list[Progress]:
    """How far one search is after every tenth of its budget; the last is its end."""
    search = ready.loop
    seen = [Progress.before(ready.start, seed)]
    if method in PEERS:
        PEERS[method](Counted(search, seen[0], seen.append), ready.start, seed, search.budget)
    else:
        state = search.optimizer.init(ready.start, seed)
        seen += [progress for _, progress, _ in search.steps(state, seen[0])]
    tenths = [k * search.budget / 10 for k in range(1, 10)]
    return [[progress for progress in seen if progress.evaluations <= tenth][-1] for tenth in tenths] + seen[-1:]


class Bench:
    """One model and one task, on which every method is tried."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        prepared = prepare(spec_of(settings, "random", None, seed=0))
        self._respondent = Respondent(prepared.spec.choice)
        self.task = described(prepared, self._respondent.identity)
        self._untuned = {role: self._untuned_loss(prepared.problem, role) for role in ("train", "heldout")}

    def start(self, given: str | None) -> str:
        """The start by its name: the default of the protocol and slot where none is given."""
        return given or spec_of(self._settings, "random", None, seed=0).begins

    def cell(self, method: str, start: str, seed: int) -> Cell:
        """Run one search; what is found beside its key."""
        begun = time.perf_counter()
        prepared = prepare(spec_of(self._settings, method, start, seed))
        ready = Ready(prepared, self._respondent)
        tenths = searched(ready, method, seed)
        end = tenths[-1]
        # The winners on the way, held out: whether a search should have stopped earlier. Most tenths share a winner.
        winners = {progress.winner_at: ready.prompt(progress).vectors for progress in tenths}
        heldout = dict(zip(winners, self._heldout(prepared.problem, np.stack(list(winners.values()))), strict=True))
        return {
            "evaluations": end.evaluations,
            "loss": end.best_loss,
            "curve": [progress.best_loss for progress in tenths],
            "winner_at": end.winner_at,
            "heldout": heldout[end.winner_at],
            "heldout_curve": [heldout[progress.winner_at] for progress in tenths],
            "untuned": self._untuned,
            "seconds": round(time.perf_counter() - begun, 1),
            "acculturate": VERSION,
        }

    def _untuned_loss(self, problem: Problem, role: str) -> float | None:
        """Loss of the untuned model on the formats of a role; None where it has none."""
        asked = problem.questionnaire(role)
        return None if asked is None else problem.survey(asked).evaluate(Interview(self._respondent, asked).ask()).loss

    def _heldout(self, problem: Problem, prompts: np.ndarray) -> list[float | None]:
        """Loss of every prompt on the held-out formats; None where there are none."""
        asked = problem.heldout
        if asked is None:
            return [None] * len(prompts)
        interview = problem.interview(self._respondent, asked)
        return [seen.loss for seen in Objective(interview, problem.survey(asked))(prompts)]


def spec_of(settings: Mapping[str, Any], method: str, start: str | None, seed: int) -> RunSpec:
    """The settings of one cell; a peer takes the place of the optimizer named here."""
    values = {**settings, "dtype": "float32", "start": start, "seed": seed}
    values["optimizer"] = "random" if method in PEERS else method
    return make_spec(values | ({"space": "projection"} if method == "cma-es" else {}))


def described(prepared: Prepared, identity: Mapping[str, str]) -> dict[str, Any]:
    """What two cells must share to stand in one table. No path of this machine is in it."""
    name, spec, problem = identity["model"], prepared.spec, prepared.problem
    known = ("sha256", "revision", "config_sha256", "files_sha256")
    by_role = [(role, problem.questionnaire(role)) for role in ROLES]
    views = {str(role): list(asked.view_names) if asked else [] for role, asked in by_role}
    return {
        "model": Path(name).name if Path(name).expanduser().exists() else name,
        **{key: identity[key] for key in known if key in identity},
        "country": problem.target.code,
        "targets": problem.target.target_set,
        "protocol": spec.protocol,
        "mass_penalty": spec.lost_mass_penalty,
        **views,
        **{key: getattr(spec, key) for key in ("slot", "tokens", "population", "budget")},
    }


class Results:
    """Finished cells in a file, one JSON line each. Processes may share it: each cell is claimed before it begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = path.with_name(f"{path.name}.lock").open("w")

    @contextmanager
    def claimed(self, key: Cell) -> Iterator[bool]:
        """Whether this cell is ours to compute: it is not there yet, and no other process is at it."""
        # A lock on one byte of an empty file, which the system lets go when the process ends in whatever way.
        byte = 1 + zlib.crc32(canonical(key).encode())
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            yield False
            return
        try:
            yield all(canonical(cell) != canonical(key) for cell in read_cells(self.path))
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, byte)

    def append(self, cell: Cell) -> None:
        fcntl.lockf(self._lock, fcntl.LOCK_EX, 1, 0)
        try:
            with self.path.open("ab") as file:
                # What a crash left half-written becomes a line of its own, which is not read.
                torn = file.tell() and not self.path.read_bytes().endswith(b"\n")
                file.write(b"\n" * bool(torn) + json.dumps(plain(cell), allow_nan=False).encode() + b"\n")
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, 0)


def canonical(cell: Cell) -> str:
    return json.dumps([cell[part] for part in KEY], sort_keys=True)


def read_cells(path: Path) -> list[Cell]:
    """The cells of a results file in the order they were finished; a line cut off by a crash is left out."""
    cells = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            cells.append(json.loads(line))
        except ValueError:
            continue
    return cells


def fill(bench: Bench, results: Results, rows: Sequence[str], seeds: int, say: Callable[[str], None]) -> None:
    """Compute every cell that is not there yet, row by row."""
    for row, method, start in map(parsed, rows):
        if method in PEERS and importlib.util.find_spec(method) is None:
            say(f"{method} is not installed")
            continue
        for seed in range(seeds):
            key = {"task": bench.task, "method": method, "start": bench.start(start), "seed": seed}
            with results.claimed(key) as mine:
                if not mine:
                    continue
                cell = key | bench.cell(method, key["start"], seed)
                results.append(cell)
            say(f"{row}, seed {seed}: {cell['loss']:.2f} in {cell['seconds']:.0f} s")


def parsed(row: str) -> tuple[str, str, str | None]:
    """The row as it is written, its method and its start where it names one."""
    name, _, start = row.partition("@")
    return row, name if name in PEERS else method_name(name), start or None


def tables(cells: Sequence[Cell]) -> str:
    """One Markdown table for each task, the best median first."""
    by_task: dict[str, list[Cell]] = {}
    for cell in cells:
        by_task.setdefault(json.dumps(cell["task"], sort_keys=True), []).append(cell)
    return "\n\n".join(_table(some) for some in by_task.values())


def _table(cells: Sequence[Cell]) -> str:
    task, untuned = cells[0]["task"], cells[0]["untuned"]
    rows: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell["method"], cell["start"]), []).append(cell)
    lines = [["method", "start", "seeds", "trained", "held out"]]
    for (method, start), some in sorted(rows.items(), key=lambda row: median(_numbers(row[1], "loss"))):
        spent = sorted({cell["evaluations"] for cell in some} - {task["budget"]})
        note = f" ({', '.join(map(str, spent))} evaluations)" if spent else ""
        lines.append([f"`{method}`{note}", start, str(len(some)), _range(some, "loss"), _range(some, "heldout")])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines]
    shown.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    heldout = "" if untuned["heldout"] is None else f", {untuned['heldout']:.1f} held out"
    head = (
        f"{task['model']} towards {task['country']} ({task['targets']}), protocol {task['protocol']}, "
        f"trained on {', '.join(task['train'])}; slot {task['slot']}, {task['tokens']} tokens, "
        f"{task['budget']:,} evaluations, population {task['population']}, float32, "
        f"{task['mass_penalty']:g} points for a nat of lost answer mass. "
        f"Untuned: {untuned['train']:.1f} trained{heldout}. Median (lowest to highest) over the seeds, in points."
    )
    return "\n".join([head, "", *shown])


def _numbers(cells: Sequence[Cell], name: str) -> list[float]:
    return [np.inf if cell[name] is None else cell[name] for cell in cells]


def _range(cells: Sequence[Cell], name: str) -> str:
    found = _numbers(cells, name)
    if not np.isfinite(min(found)):
        return "–"
    spread = f" ({min(found):.1f} to {max(found):.1f})" if len(found) > 1 else ""
    return f"{median(found):.1f}{spread}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Search methods at equal budgets on the real task; the file's head says more."
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON lines, one a finished search")
    parser.add_argument("--table", type=Path, help="print the table of this results file, and stop")
    parser.add_argument("--methods", default=ROWS, help="comma-separated, METHOD or METHOD@START")
    parser.add_argument("--seeds", type=int, default=5)
    defaults: dict[str, Any] = {"model": "embedded", "country": "SAU", "targets": "country-tool-estimate"}
    defaults |= {"protocol": "paper", "slot": "response_start", "tokens": 3, "budget": 1000, "population": 20}
    formats = ("train_formats", "validation_formats", "heldout_formats")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help="as for acculturate align")
    for name in formats:
        parser.add_argument(f"--{name.replace('_', '-')}", help="as for acculturate align")
    parser.add_argument("--mass-penalty", type=float, help="as for acculturate align")
    given = parser.parse_args(arguments)
    if given.table is not None:
        print(tables(read_cells(given.table)))
        return
    settings = {name: getattr(given, name) for name in (*defaults, "mass_penalty")}
    for name in formats:
        if getattr(given, name) is not None:
            settings[name] = [part.strip() for part in getattr(given, name).split(",") if part.strip()]
    rows = [row.strip() for row in given.methods.split(",") if row.strip()]
    for _, method, start in map(parsed, rows):  # a mistake shows before the model is loaded
        spec_of(settings, method, start, seed=0)
    results = Results(given.results)
    fill(Bench(settings), results, rows, given.seeds, lambda line: print(line, file=sys.stderr, flush=True))
    print(tables(read_cells(given.results)))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"search.py: {error}")
