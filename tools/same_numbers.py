"""Compare the numbers of two versions of this project, command by command.

    .venv/bin/python tools/same_numbers.py COMMIT [--model tiny|embedded] [--keep DIRECTORY]

Every command runs once with the code of COMMIT and once with the working tree, in this environment and with the same
model. Prompts, evaluations and all figures of the results are compared; names that only one version writes are
listed. Exits with 1 if a figure differs.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
_TINY = (
    "--dtype float32 --train-formats letters/options-first/0/en,digits/question-first/1/en "
    "--validation-formats lower/options-first/2/en --heldout-formats letters/question-first/3/en"
)
COMMANDS = {
    "de": "align --model {model} --country SAU --targets country-tool-estimate --protocol paper --slot response_start"
    " --tokens 2 --optimizer de --population 8 --budget 32 --dtype float32 --out de",
    "dfgn": f"align --model {{model}} --country USA --tokens 2 --optimizer dfgn --budget 80 {_TINY} --out dfgn",
    "cma-es": f"align --model {{model}} --country IND --tokens 2 --optimizer cma-es --space projection"
    f" --projection-dim 20 --budget 24 --anchor 1 {_TINY} --heldout-items m01,m15 --out cma-es",
    "multitask": "multitask --model {model} --country USA --country CHN --protocol paper --shared-tokens 1 --tokens 1"
    " --optimizer dfgn --budget 60 --out many",
    "pareto": "pareto --model {model} --country USA --protocol paper --tokens 2 --population 8 --budget 32"
    " --dtype float32 --out front",
    "steer": "steer dfgn --set PDI=60 --set IDV=40 --budget 8 --out steered",
    "audit": "audit --model {model} --short --format json",
    "score": "score --model {model} --prompt dfgn --country USA --format json",
    "compare": "compare de dfgn --format json",
    "oracle": "oracle dfgn --format json",
}
TOLERANCE = 1e-9
_PROSE = {"version", "seconds", "evaluations_per_second", "started", "finished", "machine", "versions"}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("commit", help="the version to compare with")
    options.add_argument("--model", choices=["tiny", "embedded"], default="tiny")
    options.add_argument("--keep", type=Path, help="directory for both versions' files")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = (given.keep or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        tree = work / "tree"
        if not tree.exists():
            subprocess.run(["git", "worktree", "add", "--detach", "-q", str(tree), given.commit], cwd=ROOT, check=True)
        try:
            outputs = [_outputs(source, work / name, given.model) for source, name in ((tree, "old"), (ROOT, "new"))]
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    sys.exit(_report(*outputs))


def _outputs(source: Path, work: Path, model: str) -> dict[str, Any]:
    """Run every command with the code in ``source`` and read all figures that it wrote."""
    work.mkdir(exist_ok=True)
    if model == "tiny":
        sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "support")]
        from tiny import save_tiny_model  # type: ignore[import-not-found]

        save_tiny_model(work / "tiny")
    environment = os.environ | {"PYTHONPATH": str(source / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    figures: dict[str, Any] = {}
    for name, words in COMMANDS.items():
        print(f"{work.name}: {name}", file=sys.stderr)
        command = [sys.executable, "-m", "acculturate", *words.format(model=model).split()]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        figures[f"{name}: exit"] = done.returncode
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
        elif "json" in words:
            figures |= dict(_leaves(json.loads(done.stdout), name))
    for file in sorted(work.rglob("*")):
        figures |= dict(_figures(file, str(file.relative_to(work))))
    return figures


def _figures(file: Path, name: str) -> Iterator[tuple[str, Any]]:
    if file.parts[-2] in ("tiny", "checkpoints"):
        return
    if file.name in ("result.json", "front.json"):
        yield from _leaves(json.loads(file.read_text()), name)
    elif file.suffix == ".safetensors":
        yield from ((f"{name}: {key}", values) for key, values in load_file(file).items())
    elif file.suffix == ".parquet":
        table = pd.read_parquet(file)
        yield from ((f"{name}: {key}", table[key].tolist()) for key in table)


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Every number, truth value and sentence of a record, by its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _PROSE:
                yield from _leaves(inner, f"{where}/{key}")
    elif isinstance(value, list):
        for k, inner in enumerate(value):
            yield from _leaves(inner, f"{where}/{k}")
    else:
        yield where, value


def _report(old: dict[str, Any], new: dict[str, Any]) -> int:
    both = sorted(old.keys() & new.keys())
    different = [name for name in both if not _same(old[name], new[name])]
    for name in different:
        print(f"DIFFERS {name}: {_short(old[name])} -> {_short(new[name])}")
    for title, only in (("only old", old.keys() - new.keys()), ("only new", new.keys() - old.keys())):
        for name in sorted(only):
            print(f"{title}: {name}")
    print(f"{len(both)} figures in both versions, {len(different)} differ")
    return 1 if different or not both else 0


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))
    if isinstance(one, list):
        return json.dumps(one, default=str) == json.dumps(other, default=str)
    return one == other


def _short(value: Any) -> str:
    return str(value)[:80]


if __name__ == "__main__":
    main()
