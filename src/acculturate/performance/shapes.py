"""Shapes of well-known models, filled with random weights where the weights themselves are not at hand."""

from __future__ import annotations

from dataclasses import replace

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from acculturate.model.choice import ModelChoice
from acculturate.model.loading import DTYPES, Loaded, load_model, resolve_device
from acculturate.model.respondent import Respondent

SHAPES: dict[str, dict[str, int]] = {
    "llama-8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
    },
    "tiny": {
        "vocab_size": 1024,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
    },
}


def respondent_of_shape(choice: ModelChoice, shape: str) -> Respondent:
    """Build a respondent with random weights.

    Parameters
    ----------
    choice
        Gives the tokenizer, the precision and the device.
    shape
        A key of ``SHAPES``.
    """
    loaded = load_model(replace(choice, dtype="float32", device="cpu"))  # for its tokenizer
    size = dict(SHAPES[shape])
    size["vocab_size"] = max(size["vocab_size"], len(loaded.tokenizer))
    # The same float32 numbers for every precision, so that deviations mean something.
    torch.manual_seed(0)
    with torch.device(resolve_device(choice.device)):
        model = AutoModelForCausalLM.from_config(LlamaConfig.from_dict(size), dtype=torch.float32)
    model = model.to(DTYPES[choice.dtype]).requires_grad_(False).eval()
    return Respondent(choice, Loaded(model, loaded.tokenizer, {"model": f"{shape} (random weights)"}))
