"""What a GGUF file says beyond what the library reads of it is carried over, or the file is refused."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tiny import save_tiny_gguf, save_tiny_model

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.model.loading import load_model

_THETA = 10000.0
_LLAMA3 = {
    "rope_theta": _THETA,
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_YARN = {"rope_theta": _THETA, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
_LINEAR = {"rope_theta": _THETA, "rope_type": "linear", "factor": 2.0}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path / "cache"))


def _logits(path: str) -> torch.Tensor:
    loaded = load_model(ModelChoice(path))
    ids = loaded.tokenizer.encode("How important is it to have time for yourself? " * 4)
    with torch.inference_mode():
        return loaded.model(torch.tensor([ids])).logits


def _factors_of(folder: str) -> np.ndarray:
    """What the model in a directory divides its frequencies by, as a GGUF converter writes it."""
    rotary = load_model(ModelChoice(folder)).model.model.rotary_emb
    plain = _THETA ** -(np.arange(len(rotary.inv_freq)) / len(rotary.inv_freq))
    return (plain / rotary.inv_freq.numpy()).astype(np.float32)


def _scaled(writer: gguf.GGUFWriter, kind: gguf.RopeScalingType, factor: float) -> None:
    writer.add_rope_scaling_type(kind)
    writer.add_rope_scaling_factor(factor)


def _yarn(writer: gguf.GGUFWriter) -> None:
    _scaled(writer, gguf.RopeScalingType.YARN, 4.0)
    writer.add_rope_scaling_orig_ctx_len(64)


@pytest.mark.parametrize("kind", ["llama3", "yarn", "linear"])
def test_scaled_positions_are_those_of_the_model(kind, tmp_path) -> None:
    rope = {"llama3": _LLAMA3, "yarn": _YARN, "linear": _LINEAR}[kind]
    # Wide heads: narrow ones have too few frequencies for Llama 3 to touch several of them.
    folder = save_tiny_model(tmp_path / "model", rope_parameters=dict(rope), head_dim=64)
    more = {
        "llama3": lambda w: w.add_tensor("rope_freqs.weight", _factors_of(folder)),
        "yarn": _yarn,
        "linear": lambda w: _scaled(w, gguf.RopeScalingType.LINEAR, 2.0),
    }[kind]

    def whole(writer: gguf.GGUFWriter) -> None:
        writer.add_rope_dimension_count(64)
        more(writer)

    file, bare = tmp_path / "scaled.gguf", tmp_path / "bare.gguf"
    save_tiny_gguf(folder, [file], more=whole)
    save_tiny_gguf(folder, [bare], more=lambda w: w.add_rope_dimension_count(64))
    torch.testing.assert_close(_logits(str(file)), _logits(folder), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(_logits(str(bare)), _logits(folder), atol=1e-2)  # so it matters here
    made = load_model(ModelChoice(str(file))).model.config.rope_parameters
    assert made["rope_type"] == kind


def test_factors_of_no_known_kind_divide_the_frequencies_all_the_same(tmp_path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    factors = np.array([1.0, 1.5, 2.5, 7.0], dtype=np.float32)
    file = tmp_path / "odd.gguf"
    save_tiny_gguf(folder, [file], more=lambda w: w.add_tensor("rope_freqs.weight", factors))
    rotary = load_model(ModelChoice(str(file))).model.model.rotary_emb
    plain = torch.tensor(_THETA ** -(np.arange(4) / 4) / factors, dtype=torch.float32)
    torch.testing.assert_close(rotary.inv_freq, plain)
    assert rotary.attention_scaling == 1.0


def test_the_base_of_the_positions_is_taken_over(tmp_path) -> None:
    folder = save_tiny_model(tmp_path / "model", rope_parameters={"rope_theta": 500.0, "rope_type": "default"})
    file = tmp_path / "base.gguf"
    save_tiny_gguf(folder, [file], more=lambda w: w.add_rope_freq_base(500.0))
    torch.testing.assert_close(_logits(str(file)), _logits(folder), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            lambda w: w.add_tensor("blk.1.attn_q.bias", np.ones(32, np.float32)),
            r"32 numbers that this architecture \(llama\) has no place for: blk.1.attn_q.bias;",
        ),
        (
            lambda w: w.add_tensor("blk.2.attn_norm.weight", np.ones(32, np.float32)),
            r"has no place for: blk.2.attn_norm.weight;",
        ),
        (lambda w: w.add_final_logit_softcapping(30.0), r"setting final_logit_softcapping \(30.0\) has no place"),
        (lambda w: w.add_logit_scale(0.25), r"setting logit_scale \(0.25\) has no place"),
        (lambda w: w.add_string("llama.rope.scaling.type", "su"), r"scaled in a way that is not known here \(su\)"),
    ],
)
def test_what_has_no_place_in_the_model_is_refused_by_name(more, said, tmp_path) -> None:
    file = Path(tmp_path / "more.gguf")
    save_tiny_gguf(save_tiny_model(tmp_path / "model"), [file], more=more)
    with pytest.raises(UserError, match=rf"'{file}' cannot be read whole: .*{said}"):
        load_model(ModelChoice(str(file)))
