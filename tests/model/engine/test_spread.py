"""Models that are spread over devices: on a CPU and a disk, the answers are those of a model in memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluators import problem_of, prompts, written
from transformers import AutoModelForCausalLM, AutoTokenizer

from acculturate.errors import SettingError
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.forward import input_device, whole_state
from acculturate.model.loading import Loaded, load_model, release
from acculturate.model.pool.opening import shared
from acculturate.model.respondent import Respondent
from acculturate.runs.spec import make_spec, to_json
from acculturate.search.objective import search_objective
from acculturate.survey.formats import Role

HEAD_ON_DISK = {"model.layers.1": "disk", "model.norm": "disk", "lm_head": "disk"}
EMBEDDING_ON_DISK = {"model.embed_tokens": "disk", "model.layers.0": "disk"}


def spread(tiny: str, on_disk: dict[str, str], folder: Path, dtype: str = "float32") -> Respondent:
    parts = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "model.rotary_emb", "lm_head")
    where = dict.fromkeys(parts, "cpu") | on_disk
    model = AutoModelForCausalLM.from_pretrained(
        tiny, dtype=getattr(torch, dtype), device_map=where, offload_folder=str(folder)
    )
    model.requires_grad_(False)
    loaded = Loaded(model.eval(), AutoTokenizer.from_pretrained(tiny), {"model": tiny})
    return Respondent(ModelChoice(tiny, dtype=dtype, device_map="auto"), loaded)


def evaluations(respondent: Respondent, tiny: str, answers: str = "probabilities") -> list[list[str]]:
    evaluate = search_objective(problem_of(tiny, answers), respondent, Role.TRAIN)
    return written(evaluate(prompts(3, respondent.hidden)))


@pytest.mark.parametrize("on_disk", [HEAD_ON_DISK, EMBEDDING_ON_DISK], ids=["head", "embedding"])
@pytest.mark.parametrize("answers", ["probabilities", pytest.param("cloze", marks=pytest.mark.slow)])
def test_a_model_partly_on_disk_answers_as_one_in_memory(
    on_disk: dict[str, str], answers: str, tiny: str, tmp_path: Path
) -> None:
    respondent, whole = spread(tiny, on_disk, tmp_path), Respondent(ModelChoice(tiny))
    assert any(weights.is_meta for weights in respondent.model.parameters())
    assert input_device(respondent.model) == torch.device("cpu")
    assert respondent.weights_sum == whole.weights_sum
    assert respondent.unit == whole.unit
    assert evaluations(respondent, tiny, answers) == evaluations(whole, tiny, answers)
    assert respondent.packs


def test_the_whole_state_is_there_although_parts_are_on_disk(tiny: str, tmp_path: Path) -> None:
    respondent, whole = spread(tiny, HEAD_ON_DISK, tmp_path), Respondent(ModelChoice(tiny))
    expected = whole.model.state_dict()
    for name, weights in whole_state(respondent.model):
        assert torch.equal(weights, expected.pop(name)), name
    assert not expected


def test_low_precision_on_disk_is_computed_in_plain_batches(tiny: str, tmp_path: Path) -> None:
    respondent = spread(tiny, HEAD_ON_DISK, tmp_path, "bfloat16")
    whole = Respondent(ModelChoice(tiny, dtype="bfloat16"))
    whole.packs = False
    with pytest.warns(UserWarning, match="cannot be packed .* parts of it are kept elsewhere"):
        evaluate = search_objective(problem_of(tiny), respondent, Role.TRAIN)
    losses = [one.loss for one in evaluate(prompts(3, respondent.hidden))]
    plain = [one.loss for one in search_objective(problem_of(tiny), whole, Role.TRAIN)(prompts(3, whole.hidden))]
    np.testing.assert_allclose(losses, plain, atol=0.5)  # padded batches of another size, in bfloat16
    assert {weights.dtype for weights in respondent.model.parameters()} == {torch.bfloat16}


def test_a_released_model_holds_nothing(tiny: str, tmp_path: Path) -> None:
    for respondent in (spread(tiny, HEAD_ON_DISK, tmp_path), Respondent(ModelChoice(tiny))):
        release(respondent.model)
        assert all(t.is_meta for t in (*respondent.model.parameters(), *respondent.model.buffers()))


def test_a_device_map_loads_the_same_model_where_one_device_is_all_there_is(tiny: str) -> None:
    one, other = load_model(ModelChoice(tiny, device_map="auto")), load_model(ModelChoice(tiny))
    assert one.identity == other.identity
    for (_, weights), (_, expected) in zip(whole_state(one.model), whole_state(other.model), strict=True):
        assert torch.equal(weights.cpu(), expected.cpu())


def test_what_does_not_go_together_is_refused(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"Device map 'all' is unknown; expected one of none, auto"):
        load_model(ModelChoice(tiny, device_map="all"))
    with pytest.raises(SettingError, match="spreads the model over all devices, and `device='cpu'` names one"):
        load_model(ModelChoice(tiny, device="cpu", device_map="auto"))
    respondent = Respondent(ModelChoice(tiny, device_map="auto"))
    with pytest.raises(SettingError, match="leaves none for a second process"), shared(respondent, "local:2"):
        pass
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "accelerate" else found(name))
    with pytest.raises(SettingError, match=r"needs the package accelerate; .* 'acculturate\[large\]'"):
        load_model(ModelChoice(tiny, device_map="auto"))


def test_a_run_says_how_its_model_was_spread() -> None:
    assert to_json(make_spec({"country": "SAU", "device_map": "auto"}))["device_map"] == "auto"
    assert make_spec({"country": "SAU", "device_map": "balanced"}).choice.device_map == "balanced"
