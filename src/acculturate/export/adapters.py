"""Soft prompts as PEFT adapters: prompt tuning before everything, or trained rows for token ids in any slot."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from safetensors.numpy import save

from acculturate.errors import ModelError
from acculturate.export.rows import rows_of
from acculturate.export.subject import Subject
from acculturate.export.virtual_tokens import VirtualTokens
from acculturate.files.run_directory import dump_json
from acculturate.model.engine.forward import embedding_of
from acculturate.model.peft_prompt import CONFIG, WEIGHTS

_ROWS = "trainable_tokens_delta"


def prompt_tuning(subject: Subject) -> dict[str, bytes]:
    """Write a prompt of the slot ``before_bos`` as an adapter of PEFT's prompt tuning: its files by name."""
    prompt = subject.prompt
    config = subject.respondent.model.config.get_text_config()
    settings = _settings(subject, "PROMPT_TUNING") | {
        # PEFT asks for a number and does not use it here; recurrent models have none.
        "num_attention_heads": getattr(config, "num_attention_heads", None) or 1,
        "num_layers": config.num_hidden_layers,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": len(prompt.vectors),
        "prompt_tuning_init": "RANDOM",
        "prompt_tuning_init_text": None,
        "token_dim": subject.respondent.hidden,
        "tokenizer_name_or_path": None,
    }
    return {CONFIG: dump_json(settings), WEIGHTS: _weights("prompt_embeddings", prompt.vectors)}


def trained_rows(subject: Subject, tokens: VirtualTokens) -> dict[str, bytes]:
    """Write a prompt as an adapter of PEFT's trainable tokens, with the chat template that fills the slot."""
    model = subject.respondent.model
    table = embedding_of(model)
    name = next((name for name, module in model.named_modules() if module is table), None)
    if name is None:
        raise ModelError("This model's embedding has no name of its own, so PEFT cannot find it; choose `to='tokens'`.")
    settings = _settings(subject, "TRAINABLE_TOKENS") | {
        "init_weights": True,
        "target_modules": [name],
        "token_indices": list(tokens.ids),
    }
    return {
        CONFIG: dump_json(settings),
        WEIGHTS: _weights(f"base_model.model.{name}.{_ROWS}", rows_of(subject)),
        "chat_template.jinja": tokens.template.encode(),
    }


def _settings(subject: Subject, kind: str) -> dict[str, object]:
    return {
        "auto_mapping": None,
        "base_model_name_or_path": subject.base_model,
        "inference_mode": True,
        "peft_type": kind,
        "revision": subject.identity.get("revision"),
        "task_type": "CAUSAL_LM",
    }


def _weights(name: str, values: Float[np.ndarray, "tokens hidden"]) -> bytes:
    return save({name: np.array(values, dtype=np.float32, order="C")}, {"format": "pt"})
