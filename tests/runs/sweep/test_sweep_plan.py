"""The file of a sweep: which runs it describes, how they are named, and what is wrong with one that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acculturate.errors import UserError
from acculturate.files.checksums import SPEC
from acculturate.runs.sweep.plan import MARKER, PAGE, TABLE, SweepPlan, _free_name, plan_sweep, read_sweep


def names(**content: Any) -> list[str]:
    return [run.name for run in plan_sweep(content).runs]


def test_a_grid_is_every_combination_and_rows_follow_it() -> None:
    plan = plan_sweep(
        {
            "kind": "align",
            "settings": {"budget": 40, "tokens": 3},
            "grid": {"country": ["USA", "CHN"], "seed": [0, 1]},
            "runs": [{"country": "IND", "budget": 60, "optimizer": "de"}],
        }
    )
    assert [run.name for run in plan.runs] == [
        "USA_seed-0",
        "USA_seed-1",
        "CHN_seed-0",
        "CHN_seed-1",
        "IND_budget-60_de",
    ]
    assert [run.spec.budget for run in plan.runs] == [40, 40, 40, 40, 60]
    assert {run.spec.tokens for run in plan.runs} == {3}
    assert plan.runs[1].varied == {"country": "USA", "seed": 1}


@pytest.mark.parametrize("ending", ["toml", "yaml"])
def test_both_kinds_of_file_are_read(ending: str, tmp_path: Path) -> None:
    text = {
        "toml": '[settings]\nbudget = 40\n[grid]\ncountry = ["USA"]\nanchor = [0, 0.5]\n[[runs]]\ncountry = "IND"\n',
        "yaml": "settings: {budget: 40}\ngrid:\n  country: [USA]\n  anchor: [0, 0.5]\nruns:\n  - {country: IND}\n",
    }[ending]
    path = tmp_path / f"sweep.{ending}"
    path.write_text(text, encoding="utf-8")
    plan = read_sweep(path)
    assert [run.name for run in plan.runs] == ["USA_anchor-0", "USA_anchor-0.5", "IND"]
    assert [run.spec.anchor for run in plan.runs] == [0.0, 0.5, 0.0]


def test_names_are_readable_and_safe() -> None:
    grid = {
        "country": ["Côte d'Ivoire", "united states"],
        "model": ["embedded", "../models/Qwen 2.5", "org/name-7B"],
        "targets": ["hofstede-2015"],
        "mas25": [True, False],
        "train_formats": [["letters/options-first/0/en"]],
    }
    made = names(grid={**grid, "country": ["united states", "CHN"]})
    assert made[0].startswith("united-states_embedded_targets-hofstede-2015_mas25_train-formats-")
    assert made[1].startswith("united-states_embedded_targets-hofstede-2015_no-mas25_train-formats-")
    assert any("_Qwen-2.5_" in name for name in made) and any("_name-7B_" in name for name in made)
    assert len({name.casefold() for name in made}) == len(made) == 12
    assert not any(set(name) & set("/\\ :'\"") or name.startswith(".") for name in made)


def test_equal_names_get_digits_and_the_first_keeps_its_own() -> None:
    made = names(grid={"country": ["USA"], "model": ["a/tiny", "b/tiny"]})
    assert made[0] == "USA_tiny"
    assert made[1].startswith("USA_tiny_") and len(made[1]) == len("USA_tiny_") + 6
    assert names(runs=[{"model": PAGE, "country": "USA"}])[0] != PAGE


def test_names_fit_file_systems_in_any_script() -> None:
    many = {"country": "USA", "model": "模" * 80, "targets": "hofstede-2015", "text": "字" * 80, "start": "text"}
    made = names(runs=[{**many, "seed": seed} for seed in (0, 1)])
    assert max(len(name.encode()) for name in made) <= 120 + 7 and len(set(made)) == 2


def test_no_run_is_named_like_a_file_of_the_sweep() -> None:
    taken = {PAGE, TABLE, MARKER, SPEC}
    free = {_free_name({"country": name}, set(taken)) for name in taken}
    assert len(free) == 4 and not free & taken


def test_runs_with_one_model_follow_each_other() -> None:
    plan: SweepPlan = plan_sweep({"grid": {"country": ["USA", "CHN"], "model": ["a", "b"]}})
    assert [run.spec.model for run in plan.runs] == ["a", "b", "a", "b"]
    assert [run.name for run in plan.in_order_of_models] == ["USA_a", "CHN_a", "USA_b", "CHN_b"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "there is nothing to run; give a 'grid' of settings, or 'runs' one by one"),
        ({"gird": {}}, "unknown key 'gird' (nearest: 'grid')"),
        ({"kind": "pareto", "runs": [{"country": "USA"}]}, "a sweep is of the kind 'align' so far, not 'pareto'"),
        ({"grid": {"contry": ["USA"]}}, "grid: unknown key 'contry' (nearest: 'country')"),
        ({"settings": {"trust_remote_code": True}, "runs": [{}]}, "settings: no file may have the code of a model run"),
        ({"grid": {}}, "the grid is empty"),
        ({"settings": {"bugdet": 3}, "runs": [{"country": "USA"}]}, "settings: unknown key 'bugdet'"),
        ({"runs": [{"country": "USA"}, {"sed": 1}]}, "runs[1]: unknown key 'sed' (nearest: 'seed')"),
        ({"grid": {"country": "USA"}}, "grid.country: expected a list with at least one entry, found 'USA'"),
        ({"grid": {"country": ["USA"], "seed": []}}, "grid.seed: expected a list with at least one entry"),
        ({"grid": {"country": ["USA"], "seed": [0, 0]}}, "grid.seed: the value 0 stands twice; keep one"),
        ({"settings": {"seed": 1}, "grid": {"country": ["USA"], "seed": [0]}}, "stands in 'settings' too; keep one"),
        ({"grid": {"seed": [0]}}, "grid: the run has no country"),
        ({"grid": {"country": ["USA"], "budget": [0]}}, "Bad value for 'budget'"),
        ({"grid": {"country": ["Atlantis"]}}, "run 'Atlantis': "),
        ({"grid": {"country": ["USA"]}, "runs": [{"country": "United States"}]}, "have equal settings; keep one"),
        ({"grid": {"country": ["USA"], "seed": list(range(10_001))}}, "more than 10,000 runs"),
        ({"grid": {"country": ["USA"]}, "runs": 3}, "runs: expected a list"),
        ({"grid": {"country": ["USA"]}, "runs": [{"country": "CHN"}] * 10_000}, "more than 10,000 runs; give fewer"),
        ({"grid": {"country": ["USA"], "seed": [10**5000]}}, "grid: Bad value for 'seed' in the run's settings"),
        ({"runs": [{"country": "USA", "optimizer_options": {1: "a", "b": "c"}}]}, "Bad value for 'optimizer_options'"),
        ({"runs": [{"country": "USA", "optimizer_options": {"F": 10**5000}, "optimizer": "de"}]}, "runs[0]"),
        ({"runs": [{"country": "USA", "constant": 10**5000}]}, "Bad value for 'constant'"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_mistake_is_one_sentence_with_its_place(content: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        plan_sweep(content)
    sentence = str(refused.value)
    assert said in sentence and sentence.startswith("the call of sweep, ") and sentence.endswith((".", "?"))
