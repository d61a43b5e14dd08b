"""Does a prompt hold where the question is put differently? Runs of every technique, judged in unseen wordings.

Every cell is a run of its own in a directory of its own, so the script goes on where it was stopped, and answers
without a prompt are kept (docs/method.md). All cells of a country have the same budget, start and held-out formats:
four wordings that no cell trained on, in two presentations each (by option texts: four wordings).

    python benchmarks/holding.py --out results/holding --models embedded --answers cloze --budget 300
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from countries import COUNTRIES

from acculturate.files.record import or_nan
from acculturate.judge.records import Result, Row, RowId
from acculturate.runs.align import align
from acculturate.runs.finished import RESULT, read_record
from acculturate.runs.spec import RunSpec, make_spec
from acculturate.runs.sweep.models import ModelShelf
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.survey.formats import Role
from acculturate.survey.protocols import protocol_formats

TWO_WORDINGS = {
    False: ("letters/options-first/0/en", "digits/question-first/1/en"),
    True: ("words/open/0/en", "words/open/1/en"),
}
TECHNIQUES: Mapping[str, Mapping[str, object]] = {
    "two wordings": {"fresh_formats": 0, "consistency": 0.0},
    "crossed, all": {"fresh_formats": 0, "consistency": 0.0},
    "fresh": {"consistency": 0.0},
    "fresh, consistent": {},
    "consistent": {"fresh_formats": 0},
    "fresh, unstyled": {"response_style": 1.0},
    "unstyled": {"fresh_formats": 0, "response_style": 1.0},
    "projected": {"fresh_formats": 0, "space": "projection", "projection_dim": 64},
    "projected, unstyled": {"fresh_formats": 0, "space": "projection", "projection_dim": 64, "response_style": 1.0},
    "text": {"fresh_formats": 0, "consistency": 0.0, "space": "text"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/holding"))
    parser.add_argument("--models", default="embedded")
    parser.add_argument("--answers", default="probabilities")
    parser.add_argument("--countries", default=",".join(COUNTRIES))
    parser.add_argument("--techniques", default=",".join(TECHNIQUES).replace(", ", "+"))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--rows", type=int, default=1, help="candidates per forward pass")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--baselines", default="persona,text", help="rivals of every cell, or none")
    parser.add_argument("--as-searched", action="store_true", help="measure in the precision of the search")
    parser.add_argument("--keep-gb", type=float, help="memory for laid-out questionnaires, in each precision")
    given = parser.parse_args()
    techniques = [name.replace("+", ", ") for name in given.techniques.split(",")]
    rivals = () if given.baselines == "none" else tuple(given.baselines.split(","))
    costs = {"budget": given.budget, "dtype": given.dtype, "baselines": rivals, "rows": given.rows}
    shelf = ModelShelf()
    for model in given.models.split(","):
        for seed in given.seeds.split(","):
            for answers in given.answers.split(","):
                for country in given.countries.split(","):
                    for technique in techniques:
                        spec = cell(model, answers, country, technique, int(seed), **costs)
                        folder = given.out / "-".join(
                            [Path(model).stem, answers, country, technique.replace(", ", "+").replace(" ", "_"), seed]
                        )
                        print(folder.name, flush=True)
                        if not (folder / RESULT).exists():
                            lent = shelf.lend(spec.choice, again=True, stage=print)
                            if lent is not None and lent.engines is not None and given.keep_gb is not None:
                                lent.engines.room = int(given.keep_gb * 2**30)
                            if lent is not None and given.as_searched:
                                lent.precise = lent
                            align(spec, folder, Callbacks.of([_Lines()]), lent)
    print(table(given.out))


class _Lines(Callback):
    """Print the stages of a run."""

    def stage(self, name: str) -> None:
        print("  " + name, flush=True)


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
    }
    in_words = answers.startswith("cloze")
    if technique in ("two wordings", "text"):
        values["train_formats"] = TWO_WORDINGS[in_words]
    # As many fresh formats as two wordings cost: a candidate costs the same in every cell but those that ask all.
    if "fresh" in technique:
        values["fresh_formats"] = min(4, len(protocol_formats("crossed", "train", in_words=in_words)) // 2)
    return make_spec({**values, **TECHNIQUES[technique]})


def table(folder: Path) -> str:
    """Tabulate every finished cell: what is left of the untuned distance, trained and in unseen wordings."""
    lines = [
        "| cell | untuned, unseen | trained left | unseen left | best text left | p, against untuned | answer mass |",
        "|---|---|---|---|---|---|---|",
    ]
    for file in sorted(folder.glob(f"*/{RESULT}")):
        lines.append("| " + " | ".join([file.parent.name, *_cells(read_record(file, Result))]) + " |")
    return "\n".join(lines)


def _cells(result: Result) -> list[str]:
    by_id = {row.id: row for row in result.rows}
    untuned, tuned, text = by_id[RowId.UNTUNED], by_id[RowId.TUNED], by_id.get(RowId.BEST_TEXT)

    def left(row: Row | None, role: Role) -> str:
        here, there = None if row is None else row.on(role), untuned.on(role)
        return "–" if here is None or there is None else f"{or_nan(here.loss) / or_nan(there.loss):.0%}"

    p = next((one.p for one in result.effects or () if one.role is Role.HELDOUT and one.rival == RowId.UNTUNED), None)
    held = untuned.heldout
    return [
        "–" if held is None else f"{or_nan(held.loss):.0f}",
        left(tuned, Role.TRAIN),
        left(tuned, Role.HELDOUT),
        left(text, Role.HELDOUT),
        "–" if p is None else f"{p:.3f}",
        "–" if tuned.heldout is None else f"{or_nan(tuned.heldout.mass):.2f}",
    ]


if __name__ == "__main__":
    main()
