"""Answers are kept, and found again by whatever decides them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.kept_answers import FOLDER
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.formats import Format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import Questionnaire, part_of, questionnaire

AXES = load_instrument("values_map")


@pytest.fixture
def asked() -> Questionnaire:
    return questionnaire(AXES, [Format(), Format("digits", "question-first", 1)])


@pytest.fixture
def respondent(tiny: str) -> Respondent:
    return Respondent(ModelChoice(tiny, dtype="float32"))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every time that a packed engine computes."""
    made: list[int] = []
    whole = PackedEngine.__call__
    monkeypatch.setattr(PackedEngine, "__call__", lambda self, *asked: made.append(1) or whole(self, *asked))
    return made


def files() -> list[Path]:
    return sorted((Path(os.environ["ACCULTURATE_CACHE"]) / FOLDER).rglob("*.safetensors"))


def test_nothing_is_computed_twice(respondent, asked, passes):
    first = ways.ask("probabilities", respondent, asked)
    computed = len(passes)
    again = ways.ask("probabilities", respondent, asked)
    assert computed and len(passes) == computed
    assert again.logprobs.tobytes() == first.logprobs.tobytes()
    assert len(files()) == len(asked.views)


def test_another_process_with_the_same_model_finds_them(tiny, respondent, asked, passes):
    first = ways.ask("cloze", respondent, asked)
    passes.clear()
    again = ways.ask("cloze", Respondent(ModelChoice(tiny, dtype="float32")), asked)
    assert not passes
    assert again.mass.tobytes() == first.mass.tobytes()


@pytest.mark.parametrize("context", [Context(system="Be brief."), Context(demonstrations={"v03": (("v08", 4),)})])
def test_a_context_is_another_question(respondent, asked, passes, context):
    ways.ask("probabilities", respondent, asked)
    passes.clear()
    ways.ask("probabilities", respondent, asked, context)
    assert passes


def test_other_weights_under_the_same_name_are_another_model(tiny, respondent, asked):
    first = ways.ask("probabilities", respondent, asked)
    changed = Respondent(ModelChoice(tiny, dtype="float32"))
    with torch.no_grad():
        next(iter(changed.model.model.layers.parameters()))[:] *= -1
    assert changed.identity == respondent.identity
    assert not np.array_equal(ways.ask("probabilities", changed, asked).logprobs, first.logprobs)


def test_a_view_answers_alike_whatever_else_is_asked(respondent, asked):
    whole, alone = ways.ask("calibrated", respondent, asked), ways.ask("calibrated", respondent, part_of(asked, [1]))
    assert whole.logprobs[2:].tobytes() == alone.logprobs.tobytes()


@pytest.mark.parametrize("damage", [b"", b"no tensors", None])
def test_a_damaged_file_is_made_anew(respondent, asked, damage):
    first = ways.ask("probabilities", respondent, asked)
    for file in files():
        content = bytearray(file.read_bytes())
        content[-3] ^= 1  # a digit of an answer
        file.write_bytes(bytes(content) if damage is None else damage)
    assert ways.ask("probabilities", respondent, asked).logprobs.tobytes() == first.logprobs.tobytes()


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(respondent, asked, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path / "file"))
    assert np.isfinite(ways.ask("probabilities", respondent, asked).mass).all()
