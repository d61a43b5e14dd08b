"""The table of search methods: exact counts, align's own numbers, resumption, sharing a file, rendering."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from acculturate.errors import UserError
from acculturate.runs.align import align
from acculturate.runs.spec import make_spec
from acculturate.search.loop import Progress, Search
from acculturate.search.objective import Objective
from acculturate.search.optimizers.random_search import RandomSearch
from acculturate.search.spaces import Full
from acculturate.survey.loss import Evaluation
from acculturate.survey.response import Response

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "search.py"
_spec = importlib.util.spec_from_file_location("bench_search", FILE)
assert _spec is not None
assert _spec.loader is not None
bench = importlib.util.module_from_spec(_spec)
sys.modules["bench_search"] = bench
_spec.loader.exec_module(bench)

TASK = {"country": "SAU", "targets": "country-tool-estimate", "tokens": 2, "population": 6, "budget": 20}
PAPER = {**TASK, "protocol": "paper", "slot": "response_start", "projection_dim": 30}
BALANCED = {
    **PAPER,
    "protocol": "balanced",
    "train_formats": ["letters/options-first/0/en"],
    "validation_formats": ["digits/options-first/1/en"],
    "heldout_formats": ["digits/options-first/2/en"],
}


@pytest.fixture(scope="module")
def paper(tiny: str) -> bench.Bench:
    return bench.Bench({**PAPER, "model": tiny})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """All candidates, batch by batch, that are put to the format trained on."""
    batches, call = [], Objective.__call__

    def counting(self: Objective, prompts: np.ndarray):
        if self.interview.questionnaire.view_names[0].startswith("digits/question-first/0/en"):
            batches.append(prompts)
        return call(self, prompts)

    monkeypatch.setattr(Objective, "__call__", counting)
    return batches


@pytest.mark.parametrize("method", ["dfgn", "de", "lshade", "cma-es", "scipy", "pymoo"])
def test_every_method_spends_exactly_the_budget(paper, trained, method):
    if method in bench.PEERS:
        pytest.importorskip(method)
    cell = paper.cell(method, "vocabulary", 0)
    assert cell["evaluations"] == sum(map(len, trained)) == 20  # no multiple of the population
    assert len(cell["curve"]) == 10
    assert cell["curve"] == sorted(cell["curve"], reverse=True)
    assert cell["curve"][-1] == cell["loss"]


def test_every_method_begins_with_the_same_population(paper, trained):
    methods = [m for m in ("de", "dfgn", "scipy", "pymoo") if importlib.util.find_spec(m) or m not in bench.PEERS]
    firsts = []
    for method in methods:
        done = len(trained)
        paper.cell(method, "vocabulary", 3)
        firsts.append(trained[done])
    for first in firsts:
        assert len(first) == 6
        assert first.dtype == np.float32
        np.testing.assert_allclose(first, firsts[0], rtol=1e-5, atol=1e-6)
    paper.cell("de", "culture", 3)
    assert np.abs(trained[-4] - firsts[0]).max() > 1


def test_the_numbers_are_those_of_align(tiny, tmp_path):
    settings = {**BALANCED, "model": tiny}
    benchmark = bench.Bench(settings)
    cell = benchmark.cell("dfgn", benchmark.start(None), 1)
    spec = make_spec({**settings, "optimizer": "dfgn", "seed": 1, "dtype": "float32"})
    result = align(spec, tmp_path / "run")
    untuned, tuned = result.untuned, result.tuned
    assert untuned.heldout is not None and tuned.heldout is not None
    assert cell["loss"] == cell["curve"][-1] == result.search.search_loss
    assert len(cell["curve"]) == len(cell["heldout_curve"]) == 10
    assert cell["heldout"] == cell["heldout_curve"][-1] == pytest.approx(tuned.heldout.loss, abs=1e-3)
    assert cell["untuned"]["train"] == pytest.approx(untuned.train.loss, abs=1e-3)
    assert cell["untuned"]["heldout"] == pytest.approx(untuned.heldout.loss, abs=1e-3)


def test_a_peers_winner_is_chosen_as_in_align():
    validated = {1.0: 5.0, 3.0: 2.0, 2.0: 9.0}
    search = stub(lambda x: float(x[0, 0]), budget=9, validate=lambda x: validated[float(x[0, 0, 0])])
    x = np.array([[4.0], [3.0], [2.0], [1.0]])
    counted = bench.Counted(search, Progress.before(x, 0), lambda progress: None)
    assert counted(x[:2]).tolist() == [4.0, 3.0]
    assert counted(x[2:3]).tolist() == [2.0]
    assert counted(x[3:]).tolist() == [1.0]
    assert (counted.progress.best_loss, counted.progress.winner_x.tolist()) == (1.0, [3.0])


def stub(loss, *, budget: int, validate=None) -> Search:
    """A search over one-token prompts of width 1 with this loss."""

    def evaluate(prompts: np.ndarray) -> list:
        response = Response(np.zeros((1, 1, 1)), np.ones((1, 1)))
        return [Evaluation(response, np.zeros((1, 1)), loss(p)) for p in prompts]

    return Search(evaluate, Full(np.zeros((1, 1)), 1.0), RandomSearch(), budget, validate)


@pytest.mark.parametrize("peer", ["scipy", "pymoo"])
def test_peers_survive_losses_that_are_not_numbers(peer):
    pytest.importorskip(peer)
    asked = []

    def loss(prompt: np.ndarray) -> float:
        asked.append(float(prompt[0, 0]))
        return {0: np.nan, 1: np.inf}.get(len(asked) % 4, abs(asked[-1]))

    search = stub(loss, budget=43)
    start = np.linspace(1, 3, 8)[:, None]
    tenths = bench.searched(SimpleNamespace(loop=search, start=start), peer, 0)
    end = tenths[-1]
    assert end.evaluations == len(asked) == 43
    assert end.best_loss == min(abs(x) for n, x in enumerate(asked, 1) if n % 4 > 1)
    assert [progress.evaluations for progress in tenths] == [0, 8, 8, 16, 16, 24, 24, 32, 32, 43]


KEY = {"task": {"model": "x"}, "method": "de", "start": "vocabulary", "seed": 0}


class TestResults:
    def test_what_is_there_is_skipped_and_a_torn_line_is_done_again(self, tiny, tmp_path, capsys, monkeypatch):
        file = tmp_path / "some" / "search.jsonl"
        command = ["--results", file, "--model", tiny, "--tokens", 2, "--budget", 8, "--population", 4, "--seeds", 2]

        def run(methods: str) -> str:
            bench.main([*map(str, command), "--methods", methods])
            return capsys.readouterr().err

        run("de")
        whole = file.read_bytes()
        first, second = whole.splitlines(keepends=True)
        file.write_bytes(first + second[: len(second) // 2])
        said = run("de,random")
        assert "de, seed 0" not in said
        assert "de, seed 1" in said
        cells = bench.read_cells(file)
        assert [(c["method"], c["seed"]) for c in cells] == [("de", 0), ("de", 1), ("random", 0), ("random", 1)]
        again = json.loads(second)
        assert {**cells[1], "seconds": 0} == {**again, "seconds": 0}
        assert str(tmp_path) not in file.read_text()
        monkeypatch.setattr(bench.Bench, "cell", lambda *_: pytest.fail("computed again"))
        before = file.read_bytes()
        assert run("de,random") == ""
        assert file.read_bytes() == before

    def test_two_processes_never_compute_the_same_cell(self, tmp_path):
        path = tmp_path / "r.jsonl"
        (told, tell), (wait, go) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:  # claims the cell, says so, and dies without letting it go
            with bench.Results(path).claimed(KEY) as mine:
                os.write(tell, b"y" if mine else b"n")
                os.read(wait, 1)
                os._exit(0)
        assert os.read(told, 1) == b"y"
        results = bench.Results(path)
        with results.claimed(KEY) as mine:
            assert not mine
        with results.claimed({**KEY, "seed": 1}) as mine:
            assert mine
        os.write(go, b"x")
        os.waitpid(child, 0)
        with results.claimed(KEY) as mine:
            assert mine, "a dead process holds nothing"
            results.append({**KEY, "loss": float("nan")})
        with results.claimed(KEY) as mine:
            assert not mine
        assert bench.read_cells(path) == [{**KEY, "loss": None}]

    def test_a_peer_that_is_missing_is_said_and_skipped(self, monkeypatch, tmp_path):
        monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
        said = []
        nothing = SimpleNamespace(task={})
        bench.fill(nothing, bench.Results(tmp_path / "r.jsonl"), ["pymoo"], 5, said.append)
        assert said == ["pymoo is not installed"]

    def test_mistakes_come_before_the_model(self, tmp_path):
        for methods, word in (("dee", "'dee'"), ("de@nowhere", "nowhere")):
            with pytest.raises(UserError, match=word):
                bench.main(["--results", str(tmp_path / "r"), "--model", "no/such", "--methods", methods])


def test_table():
    task = {
        **{"model": "m.gguf", "country": "SAU", "targets": "set", "protocol": "paper", "train": ["a/b/0/en"]},
        **{"validation": [], "heldout": ["c/d/0/en"], "slot": "system", "tokens": 3, "population": 20, "budget": 1000},
        "mass_penalty": 20.0,
    }
    common = {"task": task, "start": "vocabulary", "evaluations": 1000, "untuned": {"train": 130.04, "heldout": 120.0}}
    losses = [5.0, 1.0, 4.0, 2.0, 30.0]
    cells = [
        *({**common, "method": "poor", "seed": s, "loss": None, "heldout": None} for s in range(3)),
        *({**common, "method": "some", "seed": s, "loss": v, "heldout": 105.0} for s, v in enumerate([None, 9, 8])),
        *({**common, "method": "good", "seed": s, "loss": v, "heldout": 90 - v} for s, v in enumerate(losses)),
        {**common, "task": {**task, "tokens": 4}, "method": "good", "seed": 0, "loss": 3.0, "heldout": 9.0},
        {**common, "method": "good", "start": "culture", "seed": 0, "loss": 50.0, "heldout": 7.0, "evaluations": 980},
    ]
    first, second = bench.tables(cells).split("\n\nm.gguf")
    assert "20 points for a nat of lost answer mass. Untuned: 130.0 trained, 120.0 held out." in first
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in first.splitlines()[2:]]
    assert rows[0] == ["method", "start", "seeds", "trained", "held out"]
    assert rows[2:] == [
        ["`good`", "vocabulary", "5", "4.0 (1.0 to 30.0)", "86.0 (60.0 to 89.0)"],
        ["`some`", "vocabulary", "3", "9.0 (8.0 to inf)", "105.0 (105.0 to 105.0)"],
        ["`good` (980 evaluations)", "culture", "1", "50.0", "7.0"],
        ["`poor`", "vocabulary", "3", "–", "–"],
    ]
    assert "4 tokens" in second
