"""Soft prompts as rows of an embedding table: what a module does to its rows is undone."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from acculturate.errors import ModelError
from acculturate.export.subject import Subject
from acculturate.model.engine.forward import embedding_of


@torch.inference_mode()
def rows_of(subject: Subject) -> Float[np.ndarray, "tokens hidden"]:
    """Compute the table's rows that come out of the embedding module as the prompt's vectors.

    Some modules multiply their rows by a number (Gemma: by the root of the width). Raises ``UserError`` for one that
    does anything else.
    """
    model = subject.respondent.model
    table = embedding_of(model)
    ids = torch.as_tensor(subject.respondent.vocabulary[:64], device=model.device)
    stored, out = table.weight[ids].double(), table(ids).double()
    scale = float((stored * out).sum() / (stored * stored).sum())
    if not np.isfinite(scale) or scale == 0 or not torch.allclose(out, scale * stored, rtol=1e-3, atol=1e-6):
        raise ModelError(
            "This model's embedding does more to a row than multiply it by a number, so the prompt cannot become one; "
            "choose `to='embeds'`."
        )
    return (subject.prompt.vectors.astype(np.float64) / scale).astype(np.float32)
