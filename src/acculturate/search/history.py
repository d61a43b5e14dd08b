"""The journal of a search as its course, and as a table of everything that was evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from acculturate.files.run_directory import RunDirectory
from acculturate.files.whole_file import write_whole

EVALUATIONS = "evaluations.parquet"


def search_record(lines: Sequence[Mapping[str, Any]], *, optimizer: str, dtype: str, rows: int) -> dict[str, Any]:
    """What the journal says about the search, without the evaluations themselves.

    ``rows``: candidates per forward pass at the end; fewer than the spec says where memory ran out.
    """
    curve = [
        {
            "evaluations": line["evaluations"],
            "best": line["best"],
            "median": line["median"],
            "mass": _mean_of_numbers(line["mass"]),
            "validation": line["validation"],
        }
        for line in lines
    ]
    # The point whose prompt the search delivers; none if no candidate had a loss.
    chosen = [
        {key: point[key] for key in ("evaluations", "best", "validation")}
        for point in curve
        if point["evaluations"] == lines[-1]["winner_at"]
    ]
    return {
        "optimizer": optimizer,
        "evaluations": lines[-1]["evaluations"] if lines else 0,
        "without_numbers": sum(loss is None for line in lines for loss in line["losses"]),
        "generations": len(lines),
        "validations": sum(line["validation"] is not None for line in lines),
        "search_loss": lines[-1]["best"] if lines else None,
        "dtype": dtype,
        "rows": rows,
        "chosen": next(iter(chosen), None),
        "curve": curve,
    }


def _mean_of_numbers(values: Sequence[float | None]) -> float | None:
    """The mean of what is not None, as the journal has what was not finite; None where nothing is left."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def write_evaluations(directory: RunDirectory) -> None:
    """evaluations.parquet: one row per candidate that was evaluated, in order, from the journal."""
    columns: dict[str, list[Any]] = {"generation": [], "index": [], "loss": [], "mass": [], "scores": []}
    for line in directory.lines():
        for index, (loss, mass, scores) in enumerate(zip(line["losses"], line["mass"], line["scores"], strict=True)):
            for name, value in zip(columns, (line["generation"], index, loss, mass, scores), strict=True):
                columns[name].append(value)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_whole(directory.path / EVALUATIONS, sink.getvalue().to_pybytes())
