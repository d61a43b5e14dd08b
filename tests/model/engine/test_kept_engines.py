"""Engines that are kept: the same answers, no second layout, and never more memory than there is room for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import small_questionnaire, tiny_model_dir

from acculturate.model.choice import ModelChoice
from acculturate.model.engine.kept_engines import KeptEngines
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent


@pytest.fixture
def respondent(tmp_path_factory) -> Respondent:
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory)), dtype="float32"))
    respondent.engines = KeptEngines(2**30)
    return respondent


def _prompt(respondent: Respondent, n_tokens: int) -> np.ndarray:
    drawn = np.random.default_rng(1).standard_normal((1, n_tokens, respondent.hidden))
    return (drawn * respondent.unit).astype(np.float32)


def test_the_same_questions_are_laid_out_once_and_answered_alike(respondent) -> None:
    asked, prompt = small_questionnaire(), _prompt(respondent, 2)
    first, second = (Interview(respondent, asked, n_tokens=2) for _ in range(2))
    assert second.engine is first.engine
    respondent.engines = None
    alone = Interview(respondent, asked, n_tokens=2)
    assert alone.engine is not first.engine
    assert (second(prompt)[0].logprobs == alone(prompt)[0].logprobs).all()


def test_what_changes_the_answers_is_laid_out_anew(respondent) -> None:
    asked = small_questionnaire()
    made = [
        Interview(respondent, asked, n_tokens=2),
        Interview(respondent, asked, n_tokens=3),
        Interview(respondent, asked, n_tokens=2, slot="user_end"),
        Interview(respondent, asked, n_tokens=2, context=Context(system="Be brief.")),
    ]
    assert len({id(one.engine) for one in made}) == len(respondent.engines) == 4


def test_the_oldest_go_where_there_is_no_room(respondent) -> None:
    asked = small_questionnaire()
    respondent.engines = KeptEngines(0)
    alone = Interview(respondent, asked, n_tokens=2).engine
    assert len(respondent.engines) == 0
    assert isinstance(alone, PackedEngine)
    respondent.engines = KeptEngines(int(1.5 * alone.held_bytes))
    first, second = (Interview(respondent, asked, n_tokens=n).engine for n in (2, 3))
    assert len(respondent.engines) == 1
    assert Interview(respondent, asked, n_tokens=3).engine is second
    assert Interview(respondent, asked, n_tokens=2).engine is not first


def test_nothing_is_kept_where_memory_ran_out(respondent, monkeypatch) -> None:
    interview = Interview(respondent, small_questionnaire(), n_tokens=2, rows=2)
    forward, calls = type(interview.engine).__call__, []

    def short_of_memory(engine, prompts, *rest):
        calls.append(len(prompts))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(engine, prompts, *rest)

    monkeypatch.setattr(type(interview.engine), "__call__", short_of_memory)
    before = interview.engine
    with pytest.warns(UserWarning, match="Memory ran out"):
        interview(_prompt(respondent, 2))
    assert calls == [2, 1]
    assert interview.engine is not before and len(respondent.engines) == 1
