"""Soft prompts that PEFT saved: the same numbers as with our own file, and what is no soft prompt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.model.soft_prompt import SoftPrompt, check_fits, read_prompt, write_prompt
from acculturate.runs.provenance import named_files
from acculturate.runs.score import Asking, score_model
from acculturate.runs.spec import make_spec
from acculturate.survey.instrument_files import load_instrument


def saved(tiny: str, out: Path, config: peft.PeftConfig, dtype: torch.dtype = torch.float32) -> Path:
    torch.manual_seed(0)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), config).to(dtype)
    model.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def adapter(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    return saved(tiny, tmp_path_factory.mktemp("peft") / "adapter", config)


@pytest.fixture
def own(adapter, tmp_path) -> Path:
    return Path(shutil.copytree(adapter, tmp_path / "own"))


def test_an_adapter_scores_as_our_own_file_with_its_vectors(adapter, tiny, tmp_path):
    prompt = read_prompt(adapter)
    assert prompt.vectors.shape == (3, 32) and prompt.vectors.dtype == np.float32
    assert (prompt.slot, prompt.identity) == ("before_bos", {"model": tiny})
    write_prompt(tmp_path / "p.safetensors", SoftPrompt(prompt.vectors, "before_bos", {"model": tiny}))
    asking = Asking(("digits/question-first/0/en",))
    scores = [
        score_model(load_instrument("vsm2013"), ModelChoice(tiny, dtype="float32"), asking, prompt=path).scores
        for path in (adapter, adapter / "adapter_model.safetensors", tmp_path / "p.safetensors", None)
    ]
    assert scores[0] == scores[1] == scores[2] != scores[3]


def test_low_precision_is_read_as_it_is(tiny, tmp_path):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    stored = saved(tiny, tmp_path / "half", config, torch.bfloat16)
    vectors = torch.tensor(read_prompt(stored).vectors)
    assert torch.equal(vectors, vectors.bfloat16().float()) and vectors.abs().max() > 0


def test_it_can_be_begun_from_and_its_file_is_on_record(adapter):
    spec = make_spec({"country": "USA", "warm_start": str(adapter), "tokens": 3, "slot": "before_bos"})
    assert len(named_files(spec)["warm_start"]) == 64


def test_a_branch_is_no_commit_to_differ_from(adapter):
    prompt = SoftPrompt(read_prompt(adapter).vectors, "before_bos", {"model": "m", "revision": "main"})
    assert check_fits(prompt, {"model": "m", "revision": "0" * 40}, 32) is None


class TestMistakes:
    def test_another_kind_of_adapter(self, tiny, tmp_path):
        lora = saved(tiny, tmp_path / "lora", peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
        for path in (lora, lora / "adapter_model.safetensors"):
            with pytest.raises(UserError, match="of the type LORA; only one of prompt tuning"):
                read_prompt(path)

    def test_no_weights(self, own):
        (own / "adapter_model.safetensors").rename(own / "adapter_model.bin")
        with pytest.raises(UserError, match=r"has no adapter_model\.safetensors"):
            read_prompt(own)

    def test_weights_that_are_cut_off(self, own):
        file = own / "adapter_model.safetensors"
        file.write_bytes(file.read_bytes()[:-4])
        with pytest.raises(UserError, match="cannot be read as prompt tuning"):
            read_prompt(own)

    @pytest.mark.parametrize("changes", [{"num_virtual_tokens": 5}, {"base_model_name_or_path": None}])
    def test_a_configuration_that_does_not_fit(self, own, changes):
        config = json.loads((own / "adapter_config.json").read_text()) | changes
        (own / "adapter_config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match="cannot be read as prompt tuning"):
            read_prompt(own)

    def test_a_configuration_that_is_no_json(self, own):
        (own / "adapter_config.json").write_text("{")
        with pytest.raises(UserError, match=r"adapter_config\.json' is not valid JSON"):
            read_prompt(own)

    @pytest.mark.parametrize(
        "changes, said",
        [
            ({"base_model_name_or_path": "../../../etc"}, "a name in it leads out of its folder"),
            ({"tokenizer_name_or_path": "x\\..\\y"}, "a name in it leads out of its folder"),
            ({"tokenizer_kwargs": {"trust_remote_code": True}}, "it asks for code of its own to be run"),
            ({"more": [{"auto_map": {"AutoModel": "evil.py"}}]}, "it asks for code of its own to be run"),
            ({"auto_mapping": {"base_model_class": "X", "parent_library": "transformers_modules.evil"}}, "it asks for"),
            ({"token_dim": 31}, "cannot be read as prompt tuning"),
            ({"num_transformer_submodules": 2}, "cannot be read as prompt tuning"),
        ],
    )
    def test_a_hostile_configuration(self, own, changes, said):
        config = json.loads((own / "adapter_config.json").read_text()) | changes
        (own / "adapter_config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match=said):
            read_prompt(own)

    @pytest.mark.parametrize(
        "tensors",
        [
            {"prompt_embeddings": torch.full((3, 32), torch.nan)},
            {"prompt_embeddings": torch.zeros(3, 32, 1)},
            {"prompt_embeddings": torch.zeros(96)},
            {"../prompt_embeddings": torch.zeros(3, 32)},
            {"prompt_embeddings": torch.zeros(3, 32), "base_model.model.lm_head.weight": torch.zeros(2, 2)},
        ],
    )
    def test_hostile_weights(self, own, tensors):
        from safetensors.torch import save_file

        save_file(tensors, own / "adapter_model.safetensors")
        with pytest.raises(UserError, match="cannot be read as prompt tuning"):
            read_prompt(own)

    def test_weights_that_lie_elsewhere(self, own, tmp_path):
        file = own / "adapter_model.safetensors"
        file.rename(tmp_path / "elsewhere.safetensors")
        file.symlink_to(tmp_path / "elsewhere.safetensors")
        with pytest.raises(UserError, match="is a link that leads out of its folder"):
            read_prompt(own)

    def test_a_folder_of_the_hub_s_cache_holds_links(self, own, tmp_path):
        hub = tmp_path / "models--me--prompt"
        folder = hub / "snapshots" / "0"
        (hub / "blobs").mkdir(parents=True)
        shutil.copytree(own, folder)
        (folder / "adapter_model.safetensors").rename(hub / "blobs" / "hash")
        (folder / "adapter_model.safetensors").symlink_to("../../blobs/hash")
        assert read_prompt(folder).vectors.shape == (3, 32)
