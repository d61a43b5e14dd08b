"""The journal of a search as a table of everything that was evaluated."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from acculturate.files.run_directory import RunDirectory
from acculturate.files.whole_file import write_whole

EVALUATIONS = "evaluations.parquet"


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
