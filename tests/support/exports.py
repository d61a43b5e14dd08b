"""Small finished runs of models of several architectures, to be exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from architectures import ARCHITECTURES, VOCABULARY, saved_model_dir
from architectures import COMMON as SMALL

import acculturate as ac

COMMON: dict[str, Any] = SMALL | {"vocab_size": VOCABULARY + 8}
FEW: dict[str, Any] = {
    "targets": "country-tool-estimate",
    "protocol": "paper",
    "heldout_formats": [],
    "baselines": [],
    "optimizer": "random",
    "tokens": 2,
    "population": 4,
    "budget": 4,
}


def roomy_model(folder: Path, architecture: str, *, tied: bool = False, **changes: Any) -> str:
    """A tiny model whose embedding has rows that its tokenizer does not use."""
    name, extra = ARCHITECTURES[architecture]
    settings = COMMON | extra | {"tie_word_embeddings": tied} | changes
    return str(saved_model_dir(folder, name, settings))


def small_run(model: str, out: Path, slot: str, **changes: Any) -> ac.Run:
    """A search of four candidates."""
    return ac.align(model, "SAU", out=out, slot=slot, **(FEW | changes))
