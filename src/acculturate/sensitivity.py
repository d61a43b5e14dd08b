"""Which directions of an input embedding a model's first layer responds to, read from its weights.

Most directions of a soft prompt change next to nothing: what the first attention layer does not read, no later layer
sees but for the residual stream. A search that draws its directions where that layer looks therefore needs a fraction
of the evaluations (docs/search.md has the measurement). Only weights are read; nothing is differentiated.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from acculturate.engine import embedding_of
from acculturate.errors import UserError

# What architectures call the products that make queries, keys and values, apart or in one.
_READERS = {
    "q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv", "W_pack", "query", "key", "value",
}  # fmt: skip
# Part of the variance that every direction has, so that any prompt has a point in the space.
FLOOR = 0.05


def first_layer_shape(model: PreTrainedModel) -> Float[np.ndarray, "hidden hidden"]:
    """Symmetric square root R of a covariance of embeddings that favours what the first attention layer reads.

    With W the products that make queries, keys and values, behind the gain of the norm before them, and M the mean of
    their W'W scaled to trace 1: ``R R = (1 - FLOOR) S + FLOOR I`` where S is the square root of M scaled to trace
    ``hidden``. The root evens out a spectrum of which a few directions are nearly all. Mean variance is 1.

    Raises ``UserError`` where the first layer's weights cannot be found or read (an unknown architecture, 4 bits).
    """
    readers, gain = _first_attention(model)
    grams = [(weight * gain).T @ (weight * gain) for weight in readers]
    shape = _root(np.mean([gram / np.trace(gram) for gram in grams], axis=0))
    shape *= len(shape) / np.trace(shape)
    return _root((1 - FLOOR) * shape + FLOOR * np.eye(len(shape)))


def _root(a: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    values, vectors = np.linalg.eigh(a)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def _first_attention(model: PreTrainedModel) -> tuple[list[Float[np.ndarray, "out hidden"]], Float[np.ndarray, "_"]]:
    """Weights that read the normalised input of the first layer, and the norm's gain per coordinate."""
    hidden = int(embedding_of(model).weight.shape[1])
    stacks = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    first = max(stacks, key=len)[0] if stacks else nn.Module()
    readers = []
    for name, module in first.named_modules():
        if name.rpartition(".")[2] in _READERS and isinstance(module, nn.Linear | Conv1D):
            weight = _numbers(module.weight)
            readers.append(weight.T if isinstance(module, Conv1D) else weight)
    if not readers or any(weight.ndim != 2 or weight.shape[1] != hidden for weight in readers):
        raise UserError(
            f"The first attention layer of this model ({type(model).__name__}) cannot be read, so there is no "
            "sensitive space; use --space full."
        )
    return readers, _gain(first, hidden)


def _gain(layer: nn.Module, hidden: int) -> Float[np.ndarray, " hidden"]:
    """What the norm before the attention multiplies each coordinate with; ones where there is no such norm."""
    for name, module in layer.named_children():
        weight = getattr(module, "weight", None)
        if ("norm" in name or name.startswith("ln")) and weight is not None and weight.shape == (hidden,):
            # Put to the module rather than read from it: some families store the gain less one.
            signs = torch.ones(hidden, dtype=weight.dtype, device=weight.device)
            signs[::2] = -1.0
            with torch.inference_mode():
                change = module(signs[None]) - module(torch.zeros_like(signs)[None])
            return _numbers(change[0] * signs)
    return np.ones(hidden)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy().astype(np.float64)
