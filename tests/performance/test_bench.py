"""The benchmark on a model small enough to time in a test: every row is there and says what it should."""

from __future__ import annotations

import importlib
import json
import re

import numpy as np
import pytest
from architectures import small_instrument, tiny_model_dir

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.performance import machine
from acculturate.performance.bench import run_bench
from acculturate.performance.bench_methods import ENGINE, FLOOR, FULL_HEAD, GENERATE
from acculturate.performance.bench_plan import BenchPlan
from acculturate.performance.bench_table import format_table
from acculturate.performance.machine import peak_memory, resident_bytes
from acculturate.performance.shapes import SHAPES

pytestmark = pytest.mark.filterwarnings("ignore")  # of PEFT and transformers, about each other
PLAN = BenchPlan(n_tokens=2, repeats=1, checked=4, generated=1, instrument=small_instrument(("m01", "m21")))


@pytest.fixture(scope="module")
def choice(tmp_path_factory) -> ModelChoice:
    return ModelChoice(str(tiny_model_dir(tmp_path_factory)), device="cpu")


@pytest.fixture(autouse=True)
def _precisions_cost_the_same(monkeypatch) -> None:
    """Whatever this machine has instructions for."""
    monkeypatch.setattr(machine, "cost_of", lambda dtype: 1.0)


def _rows(table, method, dtype="float32"):
    return {row.slot: row for row in table.rows if row.method == method and row.dtype == dtype}


def test_one_table_has_every_method_slot_and_precision(choice) -> None:
    said = []
    table = run_bench(choice, PLAN, said.append)
    for dtype in PLAN.dtypes:
        assert set(_rows(table, FULL_HEAD, dtype)) == {"before_bos"}
        assert set(_rows(table, ENGINE, dtype)) == set(_rows(table, FLOOR, dtype)) == set(PLAN.slots)
    for slot, row in _rows(table, ENGINE).items():
        assert row.deviation is not None and row.deviation < 1e-4
        rough = _rows(table, ENGINE, "bfloat16")[slot].deviation
        assert rough is not None and 1e-4 < rough < 0.5
        assert row.over_floor == pytest.approx(row.seconds / _rows(table, FLOOR)[slot].seconds)
        full = _rows(table, FULL_HEAD)["before_bos"]
        assert row.against_full_head == pytest.approx(full.seconds / row.seconds)
        assert row.tokens < full.tokens and row.memory is not None and row.memory > 0
    full = _rows(table, FULL_HEAD)["before_bos"]
    assert full.deviation is not None and full.deviation < 1e-4, "the usual way is written wrongly"
    assert said and json.loads(json.dumps(table.to_json()))["rows"][0]["method"] == FULL_HEAD
    lines = format_table(table).splitlines()
    assert len({len(line) for line in lines if line.startswith("|")}) == 1
    assert sum(line.startswith("| ") for line in lines) == len(table.rows) + 1


def test_the_sampled_loop_is_scaled_to_all_questions_or_left_out_with_a_line(choice, monkeypatch) -> None:
    plan = BenchPlan(**{**vars(PLAN), "dtypes": ("float32",), "slots": ("user_end",)})
    if importlib.util.find_spec("peft") is not None:
        table = run_bench(choice, plan)
        assert _rows(table, GENERATE)["before_bos"].seconds > _rows(table, FULL_HEAD)["before_bos"].seconds
        assert any("five seeds on 1 questions, scaled up to all" in note for note in table.notes)
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    table = run_bench(choice, plan)
    assert not _rows(table, GENERATE)
    assert any("peft is not installed" in note for note in table.notes)


def test_a_shape_is_filled_with_random_weights(choice) -> None:
    plan = BenchPlan(**{**vars(PLAN), "shape": "tiny", "slots": ("user_end",), "clock": "cpu"})
    table = run_bench(choice, plan)
    assert table.model == "tiny shape, random weights"
    assert SHAPES["llama-8b"]["hidden_size"] == 4096
    exact, rough = (_rows(table, ENGINE, dtype)["user_end"].deviation for dtype in plan.dtypes)
    assert exact is not None and exact < 1e-4
    # The same random weights in either precision, else this would be far larger.
    assert rough is not None and rough < 0.2


def test_a_precision_of_the_users_is_the_only_one_timed(choice) -> None:
    plan = BenchPlan(**{**vars(PLAN), "slots": ("user_end",), "generated": 1, "populations": (1, 4)})
    table = run_bench(ModelChoice(choice.name, dtype="bfloat16", device="cpu"), plan)
    assert {row.dtype for row in table.rows} == {"bfloat16"}
    (note,) = (note for note in table.notes if "by population" in note)
    assert re.search(r"bfloat16, s/cand by population: 1: \S+, 4: \S+; process at [\d,]+ MiB\.", note)


def test_an_emulated_precision_is_left_out_unless_it_is_asked_for(choice, monkeypatch) -> None:
    monkeypatch.setattr(machine, "cost_of", lambda dtype: 31.4)
    plan = BenchPlan(**{**vars(PLAN), "slots": ("user_end",), "generated": 1})
    said = []
    table = run_bench(choice, plan, said.append)
    assert {row.dtype for row in table.rows} == {"float32"}
    assert any(
        note.startswith("bfloat16 was left out. This processor computes in bfloat16 about 31 times as slowly")
        for note in table.notes
    )
    for row in table.rows:
        assert f"{row.method} {row.slot} float32: {row.seconds:.3g} s per candidate" in said, "rows as they are known"
    asked_for = run_bench(ModelChoice(choice.name, dtype="bfloat16", device="cpu"), plan)
    assert {row.dtype for row in asked_for.rows} == {"bfloat16"}


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"shape": "llama-9t"}, "Shape 'llama-9t'"),
        ({"clock": "sun"}, "Clock 'sun'"),
        ({"dtypes": ("x",)}, "Precision 'x'"),
        ({"populations": (8, 0)}, "population of 0 has no candidate"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_loaded(wrong, part) -> None:
    with pytest.raises(UserError, match=part):
        run_bench(ModelChoice("/nowhere"), BenchPlan(**{**vars(PLAN), **wrong}))


@pytest.mark.skipif(resident_bytes() == 0, reason="this system does not tell resident memory")
def test_memory_that_is_taken_and_given_back_is_seen() -> None:
    with peak_memory() as grown:
        block = np.ones(8_000_000)
        del block
    assert 40e6 < grown[0] < 200e6
