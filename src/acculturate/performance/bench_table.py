"""The table of a benchmark, and how a terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class BenchRow:
    """Hold the figures of one method; None where a figure does not apply.

    Parameters
    ----------
    seconds, tokens
        Of one candidate.
    against_full_head, against_generate
        Candidates per second as a multiple of that method's in the same precision.
    over_floor
        Seconds over the floor's for the same tokens.
    memory
        Bytes: the weights, and what running it added.
    deviation
        Largest difference in an option's log-probability from one question at a time in float32.
    """

    method: str
    slot: str
    dtype: str
    seconds: float
    tokens: int
    against_full_head: float | None = None
    against_generate: float | None = None
    over_floor: float | None = None
    memory: int | None = None
    deviation: float | None = None

    @property
    def candidates_per_second(self) -> float:
        """Count the candidates computed in a second."""
        return 1.0 / self.seconds


@dataclass(frozen=True)
class BenchTable:
    """Hold all rows of one run on one machine; ``notes`` say what was scaled, sampled or left out."""

    machine: str
    model: str
    settings: str
    rows: tuple[BenchRow, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Collect plain values by name."""
        rows = [asdict(row) | {"candidates_per_second": row.candidates_per_second} for row in self.rows]
        return {
            "machine": self.machine,
            "model": self.model,
            "settings": self.settings,
            "rows": rows,
            "notes": list(self.notes),
        }


def format_table(table: BenchTable) -> str:
    """Write the table as Markdown that a terminal shows aligned too."""
    header = ("method", "slot", "dtype", "cand/s", "s/cand", "x full head", "x generate")
    header += ("tokens", "memory MiB", "/ floor", "max dev")
    lines: list[tuple[str, ...]] = [header]
    for row in table.rows:
        lines.append(
            (
                row.method,
                row.slot,
                row.dtype,
                f"{row.candidates_per_second:.3g}",
                f"{row.seconds:.3g}",
                _number(row.against_full_head, ".2f"),
                _number(row.against_generate, ".1f"),
                f"{row.tokens:,}",
                _number(None if row.memory is None else row.memory / 2**20, ",.0f"),
                _number(row.over_floor, ".2f"),
                _number(row.deviation, ".1e"),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    left = 3  # columns of words; the others are numbers

    def shown(line: Sequence[str]) -> str:
        cells = [c.ljust(w) for c, w in zip(line[:left], widths[:left], strict=True)]
        cells += [c.rjust(w) for c, w in zip(line[left:], widths[left:], strict=True)]
        return "| " + " | ".join(cells) + " |"

    words = "|".join("-" * (w + 2) for w in widths[:left])
    rule = f"|{words}|" + "|".join("-" * (w + 1) + ":" for w in widths[left:]) + "|"
    text = [f"{table.model} on {table.machine}", table.settings, "", shown(lines[0]), rule]
    return "\n".join([*text, *(shown(line) for line in lines[1:]), "", *table.notes])


def _number(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
