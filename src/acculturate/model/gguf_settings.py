"""Settings and tensors of a GGUF file beyond what the transformers library reads of it.

The library drops tensors and settings that it has no place for, without a word: frequency factors of Llama 3.1,
scaled positions, biases, layers beyond the count. Positions are translated here; what is left over is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gguf
import numpy as np
from transformers import PreTrainedModel

from acculturate.errors import some

# Tensors that hold settings of the positions, not weights.
_FREQUENCIES, _LONG, _SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
_DERIVED = ("attn_rot_embd", "rotary_emb.inv_freq")
# Settings that change every answer: where they stand in the model's configuration, and the value that changes nothing.
_SAME = ("attn_logit_softcapping", "final_logit_softcapping", "attention.sliding_window")
_NEUTRAL = {
    "attention.clamp_kqv": 0.0,
    "attention.scale": 0.0,
    "attention.temperature_scale": 0.0,
    "embedding_scale": 1.0,
    "logit_scale": 1.0,
    "residual_scale": 1.0,
    "router_logit_softcapping": 0.0,
}
# The frequency factors of Llama 3.1 and later are made from these (Llama3 models' own configurations).
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def carry_over(model: PreTrainedModel, reader: gguf.GGUFReader) -> None:
    """Complete the configuration of a model that was read from a GGUF file; raises ``ValueError`` in words.

    The model itself keeps the positions it was built with: it has to be saved and loaded again.
    """
    _check_tensors(model, reader)
    said = _settings(reader)
    config = model.config
    for name in _SAME:
        there = name.split(".")[-1]
        if name in said and getattr(config, there, None) != said[name]:
            if not hasattr(config, there) and said[name]:
                raise ValueError(f"its setting {name} ({said[name]}) has no place in this architecture")
            setattr(config, there, said[name])
    for name, neutral in _NEUTRAL.items():
        value = said.get(name, neutral)
        if value != neutral and getattr(config, name.split(".")[-1], None) != value:
            raise ValueError(f"its setting {name} ({value:g}) has no place in this architecture")
    _carry_positions(config, said, {tensor.name: tensor for tensor in reader.tensors})


def _settings(reader: gguf.GGUFReader) -> dict[str, Any]:
    """Collect the architecture's own settings, without its name before them."""
    arch = reader.get_field("general.architecture")
    lead = f"{arch.contents() if arch else ''}."
    return {name.removeprefix(lead): field.contents() for name, field in reader.fields.items() if name.startswith(lead)}


def _check_tensors(model: PreTrainedModel, reader: gguf.GGUFReader) -> None:
    """Refuse a file that holds more weights than the model has places for.

    Nothing is missing when this is called, so the counts agree unless some were dropped.
    """
    tied = not any(name.endswith("lm_head.weight") for name, _ in model.named_parameters())
    stored = {
        tensor.name: int(tensor.n_elements)
        for tensor in reader.tensors
        if tensor.name not in (_FREQUENCIES, _LONG, _SHORT)
        and not any(part in tensor.name for part in _DERIVED)
        and not (tied and tensor.name == "output.weight")
    }
    parameters = sum(p.numel() for p in model.parameters())
    buffers = sum(b.numel() for name, b in model.named_buffers() if name in model.state_dict())
    if (surplus := sum(stored.values()) - parameters) <= 0 or surplus == buffers:
        return
    layers = int(model.config.get_text_config().num_hidden_layers)
    biased = any(name.endswith(".bias") for name, _ in model.named_parameters())
    unread = [name for name in stored if _layer(name) >= layers or (name.endswith(".bias") and not biased)]
    raise ValueError(
        f"it holds {surplus} numbers that this architecture ({model.config.model_type}) has no place for"
        + (f": {some(unread)}" if unread else "")
    )


def _layer(name: str) -> int:
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blk" and parts[1].isdigit() else -1


def _carry_positions(config: Any, said: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Put the file's rotary positions into the configuration."""
    own = getattr(config, "rope_parameters", None)
    kind = said.get("rope.scaling.type", "linear" if "rope.scale_linear" in said else "none")
    scaled = _scaling(str(kind), said, tensors, config)
    if own is None:
        if scaled:
            raise ValueError(f"its positions are scaled ({kind}), which has no place in this architecture")
        return
    if _FREQUENCIES in tensors:
        if scaled:
            raise ValueError("it scales its positions in two ways at once")
        scaled = _by_factors(_numbers(tensors[_FREQUENCIES]), float(own.get("rope_theta") or 1e4), config)
    # Where kinds of layers have positions of their own, scaling is that of full attention (Gemma 3).
    by_kind = all(isinstance(value, dict) for value in own.values())
    target = own["full_attention"] if by_kind else own
    if "rope.freq_base" in said:
        target["rope_theta"] = float(said["rope.freq_base"])
    width = said.get("rope.dimension_count")
    heads = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if width and not by_kind and width != int(heads * target.get("partial_rotary_factor", 1.0)):
        target["partial_rotary_factor"] = config.partial_rotary_factor = width / heads
    if scaled:
        kept = {key: target[key] for key in ("rope_theta", "partial_rotary_factor") if key in target}
        target.clear()
        target.update(kept | scaled)
    config.rope_parameters = own


def _scaling(kind: str, said: Mapping[str, Any], tensors: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Describe scaled positions as the library does; empty where they are not scaled."""
    factor = float(said.get("rope.scaling.factor", said.get("rope.scale_linear", 1.0)))
    original = int(said.get("rope.scaling.original_context_length", 0)) or config.max_position_embeddings
    lists = {"long_factor": tensors.get(_LONG), "short_factor": tensors.get(_SHORT)}
    attention = float(said.get("rope.scaling.attn_factor", 1.0))
    if any(lists.values()):
        if not all(lists.values()):
            raise ValueError("it has factors of its positions for long texts or for short ones, but not for both")
        out: dict[str, Any] = {"rope_type": "longrope", "original_max_position_embeddings": original}
        out |= {name: _numbers(tensor).tolist() for name, tensor in lists.items()}
        if "rope.scaling.attn_factor" in said:
            out["attention_factor"] = attention
        return out | {"factor": config.max_position_embeddings / original}
    if kind == "none" or (kind == "linear" and factor == 1.0):
        return {}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn":
        out = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
        for name in ("beta_fast", "beta_slow"):
            if (value := said.get(f"rope.scaling.yarn_{name}")) is not None:
                out[name] = float(value)
        if attention != 1.0:
            out["attention_factor"] = attention * (0.1 * math.log(factor) + 1.0)
        if config.model_type == "gpt_oss":  # its own configuration cuts the ramp at no whole dimension
            out["truncate"] = False
        return out
    raise ValueError(f"its positions are scaled in a way that is not known here ({kind})")


def _by_factors(factors: np.ndarray, theta: float, config: Any) -> dict[str, Any]:
    """Describe positions whose every frequency is divided by a factor of its own."""
    if np.allclose(factors, 1.0):
        return {}
    largest = float(factors.max())
    if np.allclose(factors, _llama3_factors(len(factors), theta, largest), rtol=1e-3):
        return {"rope_type": "llama3", "factor": largest, **_LLAMA3}
    same: Sequence[float] = factors.tolist()
    return {
        "rope_type": "longrope",
        "short_factor": same,
        "long_factor": same,
        "original_max_position_embeddings": config.max_position_embeddings,
        "factor": 1.0,
        "attention_factor": 1.0,
    }


def _llama3_factors(n: int, theta: float, factor: float) -> np.ndarray:
    """Compute the divisors of Llama 3.1 for ``n`` frequencies: long waves by ``factor``, short ones not at all."""
    waves = 2 * np.pi * theta ** (np.arange(n) / n)
    turns = _LLAMA3["original_max_position_embeddings"] / waves
    low, high = _LLAMA3["low_freq_factor"], _LLAMA3["high_freq_factor"]
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return 1.0 / ((1.0 - share) / factor + share)


def _numbers(tensor: Any) -> np.ndarray:
    return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64).reshape(-1)
