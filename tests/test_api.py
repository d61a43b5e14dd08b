"""The Python side: a model that is lent gives the same bytes as one loaded by name, and mistakes are sentences."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acculturate as ac
from acculturate.api import model as api_model
from acculturate.model.choice import ModelChoice
from acculturate.runs.score import ScoreKeywords

FEW: dict[str, Any] = {"protocol": "paper", "optimizer": "de", "budget": 12, "population": 6}


@pytest.fixture(scope="module")
def model(tiny: str) -> ac.Model:
    return ac.load(tiny)


def _files(folder: Path) -> dict[str, bytes]:
    # Sums and checkpoints with them; the page says nothing that the others do not.
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_lent_model_gives_the_bytes_of_one_that_the_run_loads(tiny: str, model: ac.Model, tmp_path: Path) -> None:
    by_name = ac.align(tiny, "USA", out=tmp_path / "name", **FEW)
    lent = ac.align(model, ac.target("USA"), out=tmp_path / "lent", **FEW)
    again = ac.align(model, "USA", out=tmp_path / "again", **FEW)
    assert _files(by_name.path) == _files(lent.path) == _files(again.path)


def test_a_lent_model_in_another_precision_stays_whole(tiny: str, tmp_path: Path) -> None:
    half = ac.load(tiny, dtype="bfloat16")
    before = half.score().scores
    run = ac.align(half, "USA", out=tmp_path / "run", **FEW)
    assert run.record.search.dtype == "bfloat16"
    assert half.score().scores == before, "measuring in float32 emptied the model of its owner"


def test_a_model_that_is_named_for_one_call_is_measured_in_float32(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str] = []

    class Noted(ac.Model):
        def __init__(self, choice: ModelChoice) -> None:
            held.append(choice.dtype)
            super().__init__(choice)

    monkeypatch.setattr(api_model, "Model", Noted)
    ac.score(tiny)
    ac.audit(tiny, short=True)
    assert held == ["float32", "float32"], "on a GPU 'auto' is bfloat16, and the command line measures in float32"


def test_the_keywords_of_score_are_those_of_a_loaded_model() -> None:
    own = inspect.signature(ac.Model.score).parameters
    assert set(ScoreKeywords.__annotations__) == set(own) - {"self"}


def test_a_search_to_iterate_visits_what_the_run_visits(tiny: str, model: ac.Model, tmp_path: Path) -> None:
    run = ac.align(tiny, "USA", out=tmp_path / "run", **FEW)
    search = ac.PromptSearch(model, "USA", **FEW)
    with pytest.raises(ac.UserError, match="No candidate gave numbers yet"):
        _ = search.prompt
    first = next(iter(search))
    assert first.evaluations == 6
    rest = list(search)
    assert [one.evaluations for one in rest] == [12], "the second loop goes on"
    assert [first.best, rest[0].best] == run.curve()["best"].tolist()
    assert np.array_equal(search.prompt.vectors, run.prompt.vectors)
    assert list(search) == []


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda model: ac.align(model, "USA", budget="many"), "Bad value for 'budget' in the call of align"),
        (
            lambda model: ac.align(model, "USA", bugdet=10),
            "Unknown key 'bugdet' in the call of align .nearest",
        ),
        (lambda model: ac.align(model, "USA", start="text"), r"give one with `text`"),
        (lambda model: ac.align(model, "USA", dtype="bfloat16"), "was loaded with dtype = 'auto'"),
        (ac.align, "Bad value for 'country' in the call of align"),
        (lambda model: ac.multitask(model, ["USA"]), "at least two countries"),
        (lambda model: ac.score(model, answers="spoken"), r"`answers` is 'spoken'; expected one of"),
        (lambda model: ac.audit(model, answers="spoken"), r"`answers` is 'spoken'; expected one of"),
        (lambda model: ac.target("Atlantis"), "Atlantis"),
    ],
)
def test_a_mistake_is_one_sentence_that_speaks_of_keywords(model: ac.Model, call: Any, complaint: str) -> None:
    with pytest.raises(ac.UserError, match=complaint) as error:
        call(model)
    assert "--" not in str(error.value)


def test_importing_the_package_loads_no_model_library() -> None:
    code = "import sys, acculturate; print(sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exported_name_is_there_and_no_other() -> None:
    assert set(ac.__all__) <= set(dir(ac))
    for name in ac.__all__:
        assert getattr(ac, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ac.nothing
