"""Runs in which the model's own numbers overflow: for some prompts, and for all of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from acculturate.cli import steer as cli_steer
from acculturate.cli.tables import plain_tables
from acculturate.errors import UserError
from acculturate.files.run_directory import RunDirectory, read_json
from acculturate.judge.records import Result
from acculturate.model.soft_prompt import read_prompt
from acculturate.report.run_page import render
from acculturate.runs.align import align
from acculturate.runs.multitask import multitask, multitask_spec
from acculturate.runs.pareto import pareto
from acculturate.runs.records import Steered
from acculturate.runs.spec import make_spec
from acculturate.runs.steer import steer
from acculturate.search.history import generations, search_record
from acculturate.search.loop import Search
from acculturate.search.optimizers.de import DE
from acculturate.search.spaces import Full
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.response import Response

VSM = load_instrument("vsm2013")
# In float16, which ends at 65,504, some prompts have an infinite coordinate where embeddings are so wide and spread.
WIDER, SPREAD = 70, 1000.0


@pytest.fixture(scope="module")
def wide(tiny, tmp_path_factory) -> str:
    """The tiny model with wide embeddings, which its first normalisation makes as narrow as they were."""
    folder = str(tmp_path_factory.mktemp("wide") / "model")
    shutil.copytree(tiny, folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(WIDER)
    model.save_pretrained(folder)
    return folder


def settings(model: str, **changes: object) -> dict[str, object]:
    return {
        "model": model, "country": "SAU", "targets": "country-tool-estimate", "protocol": "paper", "optimizer": "de",
        "tokens": 2, "population": 10, "budget": 40, "dtype": "float16",
        "start": "text", "text": "Saudi Arabia", "spread": SPREAD, "heldout_formats": [], **changes,
    }  # fmt: skip


def lost(out: Path) -> tuple[int, int]:
    losses = [loss for line in RunDirectory(out).lines() for loss in line["losses"]]
    return sum(loss is None for loss in losses), len(losses)


@pytest.fixture(scope="module", params=["de", "dfgn"])
def run(request, wide, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("overflow") / request.param
    align(make_spec(settings(wide, optimizer=request.param)), out)
    return out


def test_a_run_ends_well_when_some_prompts_overflow(run):
    result = read_json(run / "result.json")
    some, n = lost(run)
    assert 0 < some < n
    assert result["search"]["without_numbers"] == some
    assert any(f"{some} of {n} candidates gave no numbers" in s for s in result["verdict"]["sentences"])
    assert np.isfinite(read_prompt(run).vectors).all()
    assert not re.search(r"\bnan\b", json.dumps(result), re.IGNORECASE)
    assert plain_tables(Result.model_validate(result)) and render(Result.model_validate(result))


class Overflowing:
    """Evaluates every candidate to no numbers at all."""

    def __call__(self, prompts: np.ndarray) -> list[Evaluation]:
        nothing = Response(np.full((1, 24, 5), np.nan), np.full((1, 24), np.nan))
        survey = Loss(
            VSM.values(), VSM.weights(), VSM.constants(50.0), np.full(6, 50.0), ((0,),), 1.0, nothing.logprobs
        )
        return [survey.evaluate(nothing) for _ in prompts]


@pytest.mark.parametrize("validated", [False, True])
def test_a_search_in_which_nothing_is_a_number_delivers_nothing(tmp_path, validated):
    start = np.random.default_rng(0).standard_normal((6, 4))
    search = Search(
        Overflowing(), Full(np.zeros((2, 2)), 1.0), DE(), 18, (lambda prompts: np.nan) if validated else None
    )
    for _ in range(2):  # the same command again says the same
        with pytest.raises(UserError, match=r"None of the 18 candidates gave numbers.*`dtype='float32'`"):
            search.run(start, 0, RunDirectory(tmp_path))
    assert lost(tmp_path) == (18, 18)
    record = search_record(generations(RunDirectory(tmp_path)), optimizer="de", dtype="float16", rows=1)
    assert (record.without_numbers, record.chosen, record.curve[0].mass) == (18, None, None)


def test_several_countries_and_two_objectives(wide, tmp_path):
    spec = multitask_spec(settings(wide, country=["SAU", "USA"], targets="hofstede-2015"))
    multitask(spec, tmp_path / "multi")
    assert lost(tmp_path / "multi")[0] > 0
    assert all(np.isfinite(read_prompt(tmp_path / "multi" / code).vectors).all() for code in ("SAU", "USA"))
    front = pareto(make_spec(settings(wide, optimizer="auto")), "untuned", tmp_path / "front")
    assert lost(tmp_path / "front")[0] > 0 and front.points


@pytest.mark.parametrize("run", ["dfgn"], indirect=True)
def test_steering_leaves_out_what_overflows(run, tmp_path, capsys):
    record = steer(run, {"pdi": 60.0}, tmp_path / "steered", budget=10).to_json()
    assert np.isfinite(read_prompt(tmp_path / "steered").vectors).all()
    record["effects"]["measured"][0][0] = None
    cli_steer._show(Steered.model_validate(record), tmp_path / "steered")
    assert "–" in capsys.readouterr().out
