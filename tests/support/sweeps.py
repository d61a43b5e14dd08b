"""Small sweeps on a tiny model, and what stands in their directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SETTINGS = {
    "protocol": "paper",
    "optimizer": "de",
    "population": 4,
    "budget": 12,
    "baselines": [],
    "heldout_formats": ["digits/question-first/1/en"],
}


def content(tiny: str, **parts: Any) -> dict[str, Any]:
    """The content of a sweep's file: two countries, one seed, unless ``parts`` say something else."""
    return {"settings": {**SETTINGS, "model": tiny}, "grid": {"country": ["USA", "CHN"]}, **parts}


def sweep_file(folder: Path, tiny: str, **parts: Any) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content(tiny, **parts), sort_keys=False), encoding="utf-8")
    return path
