"""GGUF files with a prompt, asked through llama.cpp; the binding is in the dependency group of the slow checks."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from exports import small_run
from tiny import save_tiny_gguf, save_tiny_model
from transformers import LlamaConfig, LlamaForCausalLM

import acculturate as ac


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    save_tiny_gguf(save_tiny_model(folder / "model"), [folder / "tiny.gguf"])
    return folder / "tiny.gguf"


def test_everything_but_two_tables_and_the_vocabulary_stays(model, tmp_path):
    run = small_run(str(model), tmp_path / "run", "system")
    file = run.export("gguf", verify=False).path / "model.gguf"
    before, after = gguf.GGUFReader(model), gguf.GGUFReader(file)
    old, new = ({tensor.name: tensor for tensor in reader.tensors} for reader in (before, after))
    assert set(old) == set(new)
    n = old["token_embd.weight"].data.shape[0]
    for name, tensor in old.items():
        assert np.array_equal(
            new[name].data[:n] if name in ("token_embd.weight", "output.weight") else new[name].data, tensor.data
        )
    ids = json.loads((file.parent / "acculturate.json").read_text())["token_ids"]
    assert np.array_equal(new["token_embd.weight"].data[ids], run.prompt.vectors)
    words = after.get_field("tokenizer.ggml.tokens").contents()
    assert [words[i] for i in ids] == ["<|acculturate_0|>", "<|acculturate_1|>"] and len(words) == max(ids) + 1
    types = after.get_field("tokenizer.ggml.token_type").contents()
    assert [types[i] for i in ids] == [3, 3] and len(types) == len(words)
    assert after.get_field("llama.vocab_size").contents() == len(words)
    assert "acculturate_0" in after.get_field("tokenizer.chat_template").contents()
    # And it is a model of ours again, which reads itself as it was written.
    again = ac.load(str(file))
    assert again.score().scores.keys() == ac.load(str(model)).score().scores.keys()


def test_a_file_of_another_model(model, tiny, tmp_path):
    other = tmp_path / "other"
    save_tiny_model(other)
    config = LlamaConfig.from_pretrained(other)
    config.hidden_size = 64
    LlamaForCausalLM(config).save_pretrained(other)
    save_tiny_gguf(str(other), [tmp_path / "other.gguf"])
    run = small_run(tiny, tmp_path / "run", "response_start")
    with pytest.raises(ac.ModelError, match="no embedding of this model's width"):
        run.export("gguf", verify=False, gguf=tmp_path / "other.gguf")
    with pytest.raises(ac.SettingError, match="does not exist"):
        run.export("gguf", verify=False, gguf=tmp_path / "none.gguf")
    with pytest.raises(ac.SettingError, match="names a file for the form gguf"):
        run.export("tokens", verify=False, gguf=model)


@pytest.mark.slow
@pytest.mark.parametrize("slot", ["before_bos", "system", "user_end", "response_start"])
def test_llama_cpp_answers_as_the_run(model, tmp_path, slot):
    pytest.importorskip("xllamacpp")
    compared = small_run(str(model), tmp_path / "run", slot).export("gguf").parity
    rows = {row.name: row.difference for row in compared.rows}
    assert compared.holds and rows["log-probability, mean"] < 0.01 and rows["templated conversations"] == 0


@pytest.mark.slow
def test_a_model_in_the_hugging_face_format_goes_by_a_file_of_its_own(model, tmp_path):
    pytest.importorskip("xllamacpp")
    run = small_run(str(model.parent / "model"), tmp_path / "run", "user_end")
    assert run.export("gguf", gguf=model).parity.holds


@pytest.mark.slow
def test_llama_cpp_answers_as_the_embedded_model_and_talks(tmp_path):
    xllamacpp = pytest.importorskip("xllamacpp")
    exported = small_run("embedded", tmp_path / "run", "response_start").export("gguf")
    rows = {row.name: row.difference for row in exported.parity.rows}
    assert exported.parity.holds and rows["log-probability, mean"] < 0.1 and rows["templated conversations"] == 0
    assert rows["likeliest virtual token"] < 1e-12
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.use_jinja = str(exported.path / "model.gguf"), 512, True
    talk = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 8, "temperature": 1.0}
    reply = xllamacpp.Server(settings).handle_chat_completions(talk)
    assert "acculturate" not in reply["choices"][0]["message"]["content"]
