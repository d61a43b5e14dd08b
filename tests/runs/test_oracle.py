"""The oracle goes down the loss that the run's search minimised, from the same start, and leaves the run alone."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from acculturate.cli import main as cli
from acculturate.errors import UserError
from acculturate.runs.align import align
from acculturate.runs.oracle import Descent, compare_with_oracle
from acculturate.runs.spec import make_spec


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "sau"
    settings = {"model": tiny, "country": "SAU", "targets": "country-tool-estimate", "protocol": "paper"}
    align(make_spec({**settings, "optimizer": "de", "tokens": 2, "population": 5, "budget": 20}), out)
    return out


def _digest(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_it_starts_where_the_search_did_and_goes_down(run) -> None:
    before = _digest(run)
    found = compare_with_oracle(run, Descent(steps=12, rate=0.03, every=4))
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    first = json.loads((run / "journal.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert [point.step for point in found.curve] == [0, 4, 8, 12]
    assert found.curve[0].train == pytest.approx(min(first["losses"]), abs=1e-3)
    assert found.lowest.train < 0.95 * found.curve[0].train
    by_id = {row["id"]: row for row in result["rows"]}
    assert found.tuned == (by_id["tuned"]["train"]["loss"], by_id["tuned"]["heldout"]["loss"])
    assert found.untuned[0] == by_id["naive"]["train"]["loss"] and found.evaluations == 20
    assert compare_with_oracle(run, Descent(steps=12, rate=0.03, every=4)) == found
    assert _digest(run) == before


def test_the_verb_prints_the_search_beside_the_oracle(run, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["acculturate", "oracle", str(run), "--steps", "3"])
    with pytest.raises(SystemExit) as done:
        cli.main()
    shown = capsys.readouterr().out
    assert not done.value.code and "Search (de, 20 evaluations)" in shown and "Oracle after 3 steps" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_mistakes_are_one_sentence(tmp_path) -> None:
    with pytest.raises(UserError, match="There is no finished run in"):
        compare_with_oracle(tmp_path, Descent())
    with pytest.raises(UserError, match=r"rate is -1\.0; expected a number above 0"):
        Descent(rate=-1.0)
