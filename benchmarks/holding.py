"""Does a prompt hold where the question is put differently? Runs of every technique, judged in unseen wordings.

Every cell is a run of its own in a directory of its own, so the script goes on where it was stopped, and answers
without a prompt are kept (docs/method.md). All cells of a model have the same budget, start and held-out formats: four
wordings that no cell trained on, in two presentations each (by option texts: four wordings). Every candidate is asked
in two formats, whatever the technique, so that an evaluation costs the same in all cells (a text, which stands before
the questions, costs more). On the way the best prompt so far is asked in the held-out formats: a curve, which no search
sees.

    python benchmarks/holding.py --out results/holding --models embedded --answers cloze --budget 600
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from countries import COUNTRIES
from reach import SIDES, Asked
from safetensors.numpy import load_file

from acculturate.files.record import or_nan
from acculturate.judge.records import Result, Row, RowId
from acculturate.model.respondent import Respondent
from acculturate.runs.align import Ready, align
from acculturate.runs.finished import RESULT, read_record
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import TEXT, RunSpec, make_spec
from acculturate.runs.sweep.models import ModelShelf
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.search.history import Generation
from acculturate.survey.formats import Role

TWO_WORDINGS = {
    False: ("letters/options-first/0/en", "digits/question-first/1/en"),
    True: ("words/open/0/en", "words/open/1/en"),
}
FIXED: Mapping[str, object] = {"fresh_formats": 0, "consistency": 0.0}
FRESH: Mapping[str, object] = {"fresh_formats": 2, "consistency": 0.0}
PROJECTED: Mapping[str, object] = {"space": "projection", "projection_dim": 64}
TECHNIQUES: Mapping[str, Mapping[str, object]] = {
    "plain": FIXED,
    "fresh": FRESH,
    "consistent": {**FIXED, "consistency": 0.3},
    "unstyled": {**FIXED, "response_style": 1.0},
    "projected": {**FIXED, **PROJECTED},
    "together": {**FRESH, **PROJECTED, "consistency": 0.3, "response_style": 1.0},
    "text": {**FIXED, "space": TEXT},
}
"""What differs from ``plain``: two fixed formats, one wording each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/holding"))
    parser.add_argument("--models", default="embedded")
    parser.add_argument("--answers", default="probabilities")
    parser.add_argument("--countries", default=",".join(COUNTRIES))
    parser.add_argument("--techniques", default=",".join(TECHNIQUES))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument("--marks", type=int, default=4, help="points of the curve, evenly over the budget")
    parser.add_argument("--rows", type=int, default=1, help="candidates per forward pass")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--baselines", default="persona,text", help="rivals of every cell, or none")
    parser.add_argument("--as-searched", action="store_true", help="measure in the precision of the search")
    parser.add_argument("--keep-gb", type=float, help="memory for laid-out questionnaires, in each precision")
    given = parser.parse_args()
    rivals = () if given.baselines == "none" else tuple(given.baselines.split(","))
    costs = {"budget": given.budget, "dtype": given.dtype, "baselines": rivals, "rows": given.rows}
    shelf = ModelShelf()
    axes = (given.models, given.seeds, given.answers, given.countries, given.techniques)
    for model, seed, answers, country, technique in itertools.product(*(axis.split(",") for axis in axes)):
        spec = cell(model, answers, country, technique, int(seed), **costs)
        folder = given.out / "-".join([Path(model).stem, answers, country, technique, seed])
        print(folder.name, flush=True)
        if _curve_file(folder).exists():
            continue
        lent = shelf.lend(spec.choice, again=True, stage=print)
        assert lent is not None, "this machine has no room for the model and its copy"
        if lent.engines is not None and given.keep_gb is not None:
            lent.engines.room = int(given.keep_gb * 2**30)
        if given.as_searched:
            lent.precise = lent
        align(spec, folder, Callbacks.of([Marks(folder, spec.budget, given.marks)]), lent)
        _curve_file(folder).write_text(json.dumps(curve(spec, folder, lent)), encoding="utf-8")
    print(table(given.out))


def cell(model: str, answers: str, country: str, technique: str, seed: int, **costs: object) -> RunSpec:
    """Describe the run of one cell."""
    values: dict[str, object] = {
        "model": model,
        "answers": answers,
        "country": country,
        "targets": COUNTRIES[country],
        "protocol": "crossed",
        "seed": seed,
        **costs,
        **TECHNIQUES[technique],
    }
    if not values["fresh_formats"]:
        values["train_formats"] = TWO_WORDINGS[answers.startswith("cloze")]
    return make_spec(values)


@dataclass(frozen=True)
class Marks(Callback):
    """Keep the best candidate after every part of the budget, and print the stages of a run."""

    folder: Path
    budget: int
    marks: int

    def stage(self, name: str) -> None:
        """Print which part of the run begins."""
        print("  " + name, flush=True)

    def generation(self, generation: Generation) -> None:
        """Keep the best candidate of the last checkpoint where a mark was passed."""
        for mark in range(1, self.marks + 1):
            file = _mark_file(self.folder, mark)
            if generation.evaluations * self.marks >= mark * self.budget and not file.exists():
                newest = max(self.folder.glob("checkpoints/*.safetensors"))
                np.savez(file, x=load_file(newest)["search.best_x"], evaluations=generation.evaluations)


def _mark_file(folder: Path, mark: int) -> Path:
    return folder.with_name(f"{folder.name}.mark{mark}.npz")


def _curve_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.curve.json")


def curve(spec: RunSpec, folder: Path, respondent: Respondent) -> list[dict[str, Any]]:
    """Measure the untuned model and the best candidate at every mark: what is left, by role, and of what kind.

    A text has no curve: it is no prompt of the slot, and its run measures it once.
    """
    if spec.space == TEXT:
        return []
    prepared = prepare(spec)
    space = Ready(prepared, respondent).space
    asked = Asked.of(
        respondent,
        spec.answers,
        spec.tokens,
        {role: [one.presentation for one in spec.formats(role)] for role in SIDES},
    )
    points: list[dict[str, Any]] = [{"evaluations": 0, **asked.without(prepared.target)}]
    for file in sorted(folder.parent.glob(f"{folder.name}.mark*.npz")):
        kept = np.load(file)
        prompt = space.decode(kept["x"][None]).astype(np.float32)[0]
        points.append({"evaluations": int(kept["evaluations"]), **asked.under(prompt, prepared.target)})
    return points


def table(folder: Path) -> str:
    """Tabulate every finished cell: what is left of the untuned distance, trained and in unseen wordings.

    Beside each other: what is left in unseen wordings by what items do beside their scale's mean shift.
    """
    lines = [
        "| cell | untuned, unseen | trained left | unseen left, on the way | beside each other | best text left "
        "| p, against untuned | answer mass |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for file in sorted(folder.glob(f"*/{RESULT}")):
        if _curve_file(file.parent).exists():
            points = json.loads(_curve_file(file.parent).read_text(encoding="utf-8"))
            lines.append("| " + " | ".join([file.parent.name, *_cells(read_record(file, Result), points)]) + " |")
    return "\n".join(lines)


def _cells(result: Result, points: list[dict[str, Any]]) -> list[str]:
    by_id = {row.id: row for row in result.rows}
    untuned, tuned, text = by_id[RowId.UNTUNED], by_id[RowId.TUNED], by_id.get(RowId.BEST_TEXT)

    def left(row: Row | None, role: Role) -> str:
        here, there = None if row is None else row.on(role), untuned.on(role)
        return "–" if here is None or there is None else f"{or_nan(here.loss) / or_nan(there.loss):.0%}"

    p = next((one.p for one in result.effects or () if one.role is Role.HELDOUT and one.rival == RowId.UNTUNED), None)
    held = untuned.heldout
    whole = points[0][Role.HELDOUT]["distance"] if points else np.nan
    way = [f"{point[Role.HELDOUT]['distance'] / whole:.0%}" for point in points[1:]]
    return [
        "–" if held is None else f"{or_nan(held.loss):.0f}",
        left(tuned, Role.TRAIN),
        ", ".join([*way[:-1], left(tuned, Role.HELDOUT)]),
        f"{points[-1][Role.HELDOUT]['within'] / whole:.0%}" if points else "–",
        left(text, Role.HELDOUT),
        "–" if p is None else f"{p:.3f}",
        "–" if tuned.heldout is None else f"{or_nan(tuned.heldout.mass):.2f}",
    ]


if __name__ == "__main__":
    main()
