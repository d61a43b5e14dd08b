"""Prompts by name from directories of every kind of run, and the one model that they are of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import acculturate as ac
from acculturate.errors import UserError
from acculturate.files.checksums import SUMS
from acculturate.model.soft_prompt import SoftPrompt, read_prompt, write_prompt
from acculturate.runs.finished import RESULT
from acculturate.runs.prompts import load_prompt, load_prompts, named_prompts, same_model, stored_prompts

RUNS = Path(__file__).resolve().parents[1] / "fixtures" / "runs"


@pytest.mark.parametrize(
    "folder, names",
    [
        ("align", ["align"]),
        ("steer", ["steer"]),
        ("multitask", ["multitask-USA", "multitask-CHN"]),
        ("multitask/USA", ["USA"]),
        ("align/prompt.safetensors", ["align"]),
    ],
)
def test_every_kind_of_run_has_named_prompts(folder, names) -> None:
    found = stored_prompts(RUNS / folder)
    assert [one.name for one in found] == names
    assert all(one.choice.name == "tiny" and not one.choice.trust_remote_code for one in found)
    assert all((one.verdict is not None) == (one.path / RESULT).is_file() for one in found)


def test_a_front_has_a_prompt_for_each_point() -> None:
    found = stored_prompts(RUNS / "pareto")
    assert [one.name for one in found] == [f"pareto-{k}" for k in range(1, len(found) + 1)]
    assert len(found) > 1


def test_a_name_of_ones_own_and_a_path_that_looks_like_one(tmp_path) -> None:
    assert stored_prompts(f"usa={RUNS / 'align'}")[0].name == "usa"
    shutil.copytree(RUNS / "align", tmp_path / "lr=3")
    assert stored_prompts(tmp_path / "lr=3")[0].name == "lr=3"
    both = named_prompts([f"a={RUNS / 'align'}", f"b={RUNS / 'align-dfgn'}"])
    assert [one.name for one in both] == ["a", "b"]


def test_models_are_compared_by_content_and_else_by_name() -> None:
    assert same_model({"model": "a", "sha256": "1"}, {"model": "b", "sha256": "1"})
    assert not same_model({"model": "a", "sha256": "1"}, {"model": "a", "sha256": "2"})
    assert same_model({"model": "a"}, {"model": "a", "sha256": "1"})
    assert not same_model({"model": "a"}, {"model": "b"})
    assert same_model({"model": "a", "revision": "main"}, {"model": "a", "revision": "0" * 40})


def test_a_run_of_another_model_is_refused_in_a_sentence(tmp_path) -> None:
    other = tmp_path / "other.safetensors"
    write_prompt(other, SoftPrompt(np.zeros((1, 32), np.float32), "system", {"model": "other"}))
    with pytest.raises(UserError, match=r"of the model 'tiny' and '.*' of another \('other'\); one process holds one"):
        named_prompts([RUNS / "align", other])


def test_code_of_a_model_runs_for_nobody_who_has_not_asked_for_it(tmp_path) -> None:
    run = Path(shutil.copytree(RUNS / "align", tmp_path / "run"))
    (run / SUMS).unlink()
    record = json.loads((run / RESULT).read_text())
    record["spec"]["trust_remote_code"] = True
    (run / RESULT).write_text(json.dumps(record))
    assert not stored_prompts(run)[0].choice.trust_remote_code


def test_a_finished_run_gives_its_tuned_model(tiny, tmp_path) -> None:
    few = {"protocol": "paper", "optimizer": "de", "budget": 10, "population": 5, "tokens": 2}
    run = ac.align(tiny, "USA", out=tmp_path / "run", **few)
    tuned = run.model()
    loaded = ac.load(tiny).tuned(tmp_path / "run")
    how = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None}
    ids = tuned.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], return_tensors="pt")
    assert (tuned.generate(**ids, **how) == loaded.generate(**ids, **how)).all()
    with pytest.raises(UserError, match="holds 2 prompts; give the directory of one of its countries"):
        load_prompt(RUNS / "multitask")
    with pytest.raises(UserError, match="a point that acculturate pick took"):
        load_prompt(RUNS / "pareto")
    from tiny import save_tiny_model

    shutil.rmtree(tiny_copy := tmp_path / "model", ignore_errors=True)
    moved = save_tiny_model(tiny_copy, seed=5)
    with pytest.warns(UserWarning, match="found with another model"):
        load_prompts([tmp_path / "run"], model=moved)
    assert read_prompt(tmp_path / "run").slot == "response_start"
