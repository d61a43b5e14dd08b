"""A model is checked before it is believed: numbers, direction, embeddings, and what may be packed."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from architectures import (
    CHATML,
    HIDDEN,
    VOCABULARY,
    saved_model_dir,
    small_questionnaire,
    tiny_model_dir,
)

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.engine.plain import PlainEngine
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.model.soundness import float32_layers, packed_engine
from acculturate.survey.formats import Format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import questionnaire

_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
_PER_LAYER = {
    "head_dim": 8,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "sliding_window": 24,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
_NEO = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_layers": 4,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 2]],
    "window_size": 16,
    "max_position_embeddings": 2048,
}
_MAMBA2 = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_heads": 8,
    "head_dim": 8,
    "state_size": 8,
    "n_groups": 1,
    "chunk_size": 16,
}
_MPT = {"vocab_size": VOCABULARY, "d_model": HIDDEN, "n_layers": 3, "n_heads": 4, "max_seq_len": 2048}
_CHUNKED = {
    "head_dim": 8,
    "intermediate_size_mlp": 48,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "attention_chunk_size": 32,
}
_HYBRID = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_state": 8, "mamba_chunk_size": 16, "head_dim": 8}
_LONG_ROPE = {
    "original_max_position_embeddings": 200,
    "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4},
}
_CONVOLUTION = {"layer_types": ["conv", "full_attention"] * 2}
UNPACKABLE = {
    "local attention": ("GPTNeoConfig", _NEO),
    "chunked attention": ("Llama4TextConfig", _SMALL | _CHUNKED),
    "state space": ("Mamba2Config", _MAMBA2),
    "position bias": ("MptConfig", _MPT),
    "hybrid": ("FalconH1Config", _SMALL | _HYBRID),
    "convolution": ("Lfm2Config", _SMALL | _CONVOLUTION),
    "positions scaled by length": ("Phi3Config", _SMALL | _LONG_ROPE),
}


@pytest.mark.parametrize("slot", ["response_start", "user_end"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", UNPACKABLE)
def test_what_cannot_be_packed_is_found_out_in_every_precision(kind, dtype, slot, tmp_path) -> None:
    respondent = Respondent(ModelChoice(str(saved_model_dir(tmp_path, *UNPACKABLE[kind])), dtype=dtype))
    with pytest.warns(UserWarning, match="cannot be packed"):
        interview = Interview(respondent, questionnaire(load_instrument("vsm2013"), [Format()]), slot=slot, n_tokens=2)
    assert isinstance(interview.engine, PlainEngine)
    prompt = (np.random.default_rng(1).standard_normal((1, 2, respondent.hidden)) * respondent.unit).astype(np.float32)
    alone = PlainEngine(respondent.model, interview._sequences, interview.reading.options)(prompt)
    got = interview(prompt)[0]
    expected = interview.questionnaire.canonical(alone.logprobs)[0]
    np.testing.assert_allclose(np.exp(got.logprobs), np.exp(expected), atol=1e-5 if dtype == "float32" else 2e-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "mistral", "gpt2"])
def test_what_can_be_packed_is_packed_in_every_precision(architecture, dtype, tmp_path_factory) -> None:
    folder = tiny_model_dir(tmp_path_factory, architecture)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        respondent = Respondent(ModelChoice(str(folder), dtype=dtype))
        assert isinstance(Interview(respondent, small_questionnaire(), n_tokens=2).engine, PackedEngine)


def test_a_longer_row_is_compared_again(tmp_path_factory, monkeypatch) -> None:
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory))))
    calls = []

    def seen(*arguments) -> PackedEngine | None:
        calls.append(arguments)
        return packed_engine(*arguments)

    monkeypatch.setattr("acculturate.model.interview.packed_engine", seen)
    short, long = small_questionnaire(), small_questionnaire(Format(), Format("digits"), Format("lower"))
    for asked, times in ((short, 1), (short, 1), (long, 2), (short, 2)):
        assert Interview(respondent, asked).engine
        assert len(calls) == times


def test_a_longer_row_that_leaves_the_chunk_is_found_out_later(tmp_path, tmp_path_factory) -> None:
    plain = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory))))
    Interview(plain, small_questionnaire(), n_tokens=2)
    fits = max(row for row, _, _ in plain.packed_sizes.values())
    chunks = UNPACKABLE["chunked attention"][1] | {"attention_chunk_size": fits}
    respondent = Respondent(ModelChoice(str(saved_model_dir(tmp_path, "Llama4TextConfig", chunks))))
    assert isinstance(Interview(respondent, small_questionnaire(), n_tokens=2).engine, PackedEngine)
    with pytest.warns(UserWarning, match="cannot be packed"):
        long = Interview(respondent, questionnaire(load_instrument("vsm2013"), [Format()]), n_tokens=2)
    assert isinstance(long.engine, PlainEngine)


def test_layers_in_float32_are_those_of_a_float32_model_and_put_back_to_the_bit(tmp_path_factory) -> None:
    folder = str(tiny_model_dir(tmp_path_factory, "gemma3"))
    narrow, wide = (Respondent(ModelChoice(folder, dtype=dtype)) for dtype in ("bfloat16", "float32"))
    wide.model.load_state_dict({k: v.float() for k, v in narrow.model.state_dict().items()})
    before = {name: values.clone() for name, values in narrow.model.state_dict().items()}
    interview = Interview(wide, small_questionnaire())
    nothing = np.zeros((1, 0, HIDDEN), dtype=np.float32)
    with float32_layers(narrow.model):
        got = PlainEngine(narrow.model, interview._sequences, interview.reading.options)(nothing)
    expected = PlainEngine(wide.model, interview._sequences, interview.reading.options)(nothing)
    np.testing.assert_allclose(got.logprobs, expected.logprobs, atol=1e-2)  # Gemma's embedding scale is rounded
    np.testing.assert_allclose(got.log_mass, expected.log_mass, atol=1e-2)
    for name, values in narrow.model.state_dict().items():
        assert values.dtype == torch.bfloat16 and torch.equal(values, before[name])


def test_answer_mass_is_compared_in_float32_too(tmp_path_factory) -> None:
    folder = str(tiny_model_dir(tmp_path_factory, "qwen2"))
    narrow, wide = (Respondent(ModelChoice(folder, dtype=dtype)) for dtype in ("bfloat16", "float32"))
    wide.model.load_state_dict({k: v.float() for k, v in narrow.model.state_dict().items()})
    interview = Interview(wide, small_questionnaire())
    nothing = np.zeros((1, 0, HIDDEN), dtype=np.float32)
    with float32_layers(narrow.model):
        got = PlainEngine(narrow.model, interview._sequences, interview.reading.options)(nothing)
    expected = PlainEngine(wide.model, interview._sequences, interview.reading.options)(nothing)
    np.testing.assert_allclose(got.log_mass, expected.log_mass, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        (
            "Gemma3nTextConfig",
            {
                "intermediate_size": [48] * 4,
                "altup_num_inputs": 2,
                "laurel_rank": 4,
                "activation_sparsity_pattern": [0.0] * 4,
            },
        ),
        ("Gemma4TextConfig", {"global_head_dim": 8}),
    ],
)
def test_a_model_that_looks_ids_up_again_is_refused(name, extra, tmp_path) -> None:
    folder = saved_model_dir(tmp_path, name, _SMALL | _PER_LAYER | extra)
    with pytest.raises(UserError, match="looks its token ids up again behind the embeddings"):
        Respondent(ModelChoice(str(folder)))


def test_an_encoder_is_found_out_though_nothing_names_it(tmp_path) -> None:
    settings = {k: v for k, v in _SMALL.items() if k != "num_key_value_heads"}
    folder = saved_model_dir(tmp_path, "BertConfig", settings)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": None}))
    with pytest.raises(UserError, match="lets later tokens change what it says at earlier ones"):
        Respondent(ModelChoice(str(folder)))


def _changed(source: Path, folder: Path, change) -> str:
    shutil.copytree(source, folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(source)
    with torch.no_grad():
        change(model)
    model.save_pretrained(folder)
    return str(folder)


def _overflowing(model) -> None:
    model.model.layers[0].mlp.down_proj.weight.mul_(3000)
    model.model.layers[0].mlp.up_proj.weight.mul_(3000)


def test_a_precision_that_overflows_is_refused_and_another_named(tmp_path_factory, tmp_path) -> None:
    hot = _changed(tiny_model_dir(tmp_path_factory), tmp_path / "hot", _overflowing)
    with pytest.raises(
        UserError, match=r"^In float16 this model gives no numbers .*; use `dtype='bfloat16'` or `dtype='float32'`\.$"
    ):
        Respondent(ModelChoice(hot, dtype="float16"))
    assert Respondent(ModelChoice(hot, dtype="float32")).unit > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.lm_head.weight[7].fill_(torch.nan), "gives no numbers"),
        (lambda m: m.model.norm.weight.fill_(torch.inf), "gives no numbers"),
        (lambda m: m.lm_head.weight.zero_(), "gives every token the same probability"),
        (lambda m: m.model.embed_tokens.weight[300].fill_(1e30), "embedding of token number 300 holds 1e\\+30"),
        (lambda m: m.model.embed_tokens.weight[300].fill_(torch.nan), "embedding of token number 300 holds nan"),
    ],
)
def test_damaged_weights_are_found_out_before_anything_is_asked(change, said, tmp_path_factory, tmp_path) -> None:
    damaged = _changed(tiny_model_dir(tmp_path_factory), tmp_path / "damaged", change)
    with pytest.raises(UserError, match=said):
        Respondent(ModelChoice(damaged))


def test_answers_that_are_no_numbers_are_refused_where_the_untuned_model_is_asked(
    tmp_path_factory, monkeypatch
) -> None:
    interview = Interview(Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory)))), small_questionnaire())
    whole = interview.engine

    def gap(prompts):
        answers = whole(prompts)
        answers.logprobs[0, 1], answers.log_mass[0, 1] = np.nan, np.nan
        return answers

    monkeypatch.setattr(interview, "_engine", gap)
    with pytest.raises(UserError, match="answers to 1 of 4 questions are NaN"):
        interview.ask()


def test_a_token_beyond_the_embedding_is_named(tmp_path_factory, tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir(tmp_path_factory), folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|reply|>"]})
    tokenizer.save_pretrained(folder)
    assert Respondent(ModelChoice(str(folder))).hidden == HIDDEN  # a token that nothing uses does no harm
    tokenizer.chat_template = CHATML.replace("assistant\n{% endif %}", "assistant\n<|reply|>{% endif %}")
    tokenizer.save_pretrained(folder)
    with pytest.raises(
        UserError, match=r"token '<\|reply\|>' with the number 400, but the model's embedding ends at 399"
    ):
        Respondent(ModelChoice(str(folder)))


def test_what_the_template_adds_is_recorded_and_said(tmp_path_factory) -> None:
    dated = tiny_model_dir(tmp_path_factory, "llama", "Today: {{ strftime_now('%Y') }}\n" + CHATML)
    assert Respondent(ModelChoice(str(dated))).identity["template_date"] == "2025-01-01"
    thinking = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>{% endif %}")
    with pytest.warns(UserWarning, match="begins every reply with thoughts; they are closed at once"):
        respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory, "llama", thinking))))
    assert "template_date" not in respondent.identity
