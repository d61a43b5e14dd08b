"""Damage files of every kind for some minutes each, and see that all are read or refused in one sentence.

    PYTHONPATH=tests/support python benchmarks/fuzz.py --minutes 10

Prints a line for every parser: files, how many were read, how many refused, in how many sentences, and what escaped.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from mutations import damaged
from parsers import Parser, parsers

from acculturate.errors import UserError

_ROUND = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="for each parser")
    parser.add_argument("--only", default="", help="parsers whose name holds this")
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| reads | files | read | refused | sentences | escaped |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for name, one in parsers(Path(place) / "whole").items():
            if given_.only in name:
                print(_line(one, Path(place), 60 * given_.minutes, random.Random(given_.seed)), flush=True)


def _line(parser: Parser, place: Path, seconds: float, numbers: random.Random) -> str:
    folder = place / parser.name.replace(" ", "-")
    folder.mkdir()
    parser.prepared(folder)
    ends, counts = time.monotonic() + seconds, Counter[str]()
    sentences: set[str] = set()
    escaped: dict[str, bytes] = {}

    def read(content: bytes) -> None:
        file = folder / parser.file
        file.write_bytes(content)
        try:
            parser.read(file)
            counts["read"] += 1
        except UserError as error:
            counts["refused"] += 1
            sentences.add("".join(c for c in str(error) if not c.isdigit())[-40:])
        except BaseException as error:
            escaped.setdefault(f"{type(error).__name__}: {str(error)[:60]}", content)

    while time.monotonic() < ends:
        # Hypothesis alone would try ever the same after its first round.
        examples = settings(
            max_examples=_ROUND, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        seed(numbers.getrandbits(64))(examples(given(damaged(parser.whole))(read)))()
    total = sum(counts.values()) + len(escaped)
    cells = (parser.name, total, counts["read"], counts["refused"], len(sentences), "; ".join(escaped) or 0)
    return f"| {' | '.join(str(cell) for cell in cells)} |"


if __name__ == "__main__":
    main()
