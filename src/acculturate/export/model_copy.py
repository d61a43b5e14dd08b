"""A copy of a model with a soft prompt as added vocabulary, which any engine for such models serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from acculturate.errors import ModelError, first_line
from acculturate.export.rows import rows_of
from acculturate.export.subject import Subject
from acculturate.export.unsampled import HeadRow
from acculturate.export.virtual_tokens import VirtualTokens
from acculturate.files.run_directory import dump_json
from acculturate.model.engine.forward import embedding_of, head_of, is_tied

_LEFT_OUT = ("_name_or_path", "name_or_path", "is_local", "local_files_only", "_from_model_config")
"""Where on this machine a model was loaded from, and leave to make its settings for generation anew."""

_NARROW = (torch.bfloat16, torch.float16)


def write_model(subject: Subject, tokens: VirtualTokens, head: HeadRow, folder: Path) -> None:
    """Write the model with the prompt's tokens, its tokenizer and its template into a folder.

    The subject's model is changed by it. Raises ``UserError`` for a model that brings code of its own.
    """
    model = cast(Any, subject.respondent.model)
    if getattr(model.config, "auto_map", None):
        raise ModelError("This model brings code of its own, which a copy cannot vouch for; choose `to='embeds'`.")
    with torch.no_grad():
        _extend(model, rows_of(subject), tokens, head)
    model.generation_config.suppress_tokens = sorted({*(model.generation_config.suppress_tokens or ()), *tokens.ids})
    exact = {embedding_of(model).weight.data_ptr(), head_of(model).weight.data_ptr()}
    weights = {
        name: values if values.data_ptr() in exact else narrowed(values) for name, values in model.state_dict().items()
    }
    try:
        model.save_pretrained(folder, state_dict=weights)
        tokens.tokenizer.save_pretrained(folder)
    except OSError:
        raise
    except Exception as error:  # safetensors has an error of its own for a full disk
        raise ModelError(f"The copy of the model cannot be written ({first_line(error)}).") from error
    for file in folder.iterdir():
        # The library's weights are for their owner alone; the folder is to be served and given away.
        file.chmod(0o644)
        if file.suffix == ".json":
            _without_origin(file)


def _extend(model: Any, rows: Float[np.ndarray, "tokens hidden"], tokens: VirtualTokens, head: HeadRow) -> None:
    """Give the model's embedding the prompt's rows, and its output head rows that are never written."""
    ids = list(tokens.ids)
    tied = is_tied(model)
    if max(ids) >= embedding_of(model).weight.shape[0]:
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    table = embedding_of(model).weight
    output = head_of(model)
    if tied:
        output.weight = nn.Parameter(table.detach().clone(), requires_grad=False)
        for config in {id(one): one for one in (model.config, model.config.get_text_config())}.values():
            config.tie_word_embeddings = False
    table[ids] = torch.as_tensor(rows, dtype=table.dtype, device=table.device)
    output.weight[ids] = torch.as_tensor(head.row, dtype=output.weight.dtype, device=output.weight.device)
    if output.bias is not None:
        output.bias[ids] = 0.0


def narrowed(values: torch.Tensor) -> torch.Tensor:
    """Store numbers in the narrowest type that holds each of them exactly."""
    if values.dtype != torch.float32:
        return values
    for dtype in _NARROW:
        narrow = values.to(dtype)
        if torch.equal(narrow.to(torch.float32), values):
            return narrow
    return values


def _without_origin(file: Path) -> None:
    """Take out of a file of settings what holds for the original alone."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(content, dict) and any(name in content for name in _LEFT_OUT):
        file.write_bytes(dump_json({key: value for key, value in content.items() if key not in _LEFT_OUT}))
