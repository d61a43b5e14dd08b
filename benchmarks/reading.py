"""How models read the survey, and how far texts move them: audits in several ways of answering, with ceilings.

Every audit is kept in a file of its own, so that the script goes on where it was stopped, and the answers are kept too
(docs/method.md). It prints a table for docs/validity.md and one plain sentence a model.

    python benchmarks/reading.py --out results/reading embedded path/to/model.gguf
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from countries import COUNTRIES

from acculturate.judge.audits import audit_model, ceilings, with_ceilings
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.targets import Target, find_target

WAYS = ("probabilities", "calibrated", "cloze", "cloze-prior")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("results/reading"))
    parser.add_argument("--texts", type=int, help="texts to try, the most promising first (default: all)")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--countries", default=",".join(COUNTRIES))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    instrument = load_instrument("vsm2013")
    targets = [find_target(code, COUNTRIES[code], instrument.dimension_ids) for code in given.countries.split(",")]
    for name in given.models:
        respondent = None
        for way in given.ways.split(","):
            file = given.out / f"{Path(name).stem}-{way}.json"
            if not file.exists():
                respondent = respondent or Respondent(ModelChoice(name, dtype=given.dtype))
                audited = audit_model(respondent, instrument, way, personas=False)
                audited = with_ceilings(
                    audited, ceilings(respondent, instrument, way, targets, most=given.texts, watch=print)
                )
                file.write_text(json.dumps(audited.to_json(), indent=1), encoding="utf-8")
    print(table(given.out, targets))


def table(folder: Path, targets: list[Target]) -> str:
    """Tabulate what was found: reading, order, agreement between wordings, and what the best text leaves."""
    names = " | ".join(target.country for target in targets)
    lines = [
        f"| model | answers | verdict | mass | orders | wordings, within scales | {names} |",
        "|---|---|---|---|---|---|" + "---|" * len(targets),
    ]
    for file in sorted(folder.glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        model, way = file.stem.removesuffix(f"-{found['answers']}"), found["answers"]
        cells = [model, way, found["verdict"], *(_signed(found[k]) for k in ("mass", "order_correlation"))]
        low, high = found["wording_interval"] or (None, None)
        cells.append(f"{_signed(found['wording_correlation'])} [{_signed(low)}, {_signed(high)}]")
        by_country = {one["country"]: one for one in found["ceilings"]}
        cells += [_left(by_country.get(target.country)) for target in targets]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _left(record: dict[str, Any] | None) -> str:
    if record is None or record["best"] is None:
        return "–"
    return f"{record['untuned']:.0f} → {record['best']:.0f} ({record['best'] / record['untuned']:.0%})"


if __name__ == "__main__":
    main()
