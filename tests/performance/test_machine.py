"""What a machine tells of its memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acculturate.performance import machine


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="this system tells it otherwise")
def test_memory_that_files_occupy_counts_as_available() -> None:
    told = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines()}
    assert told["MemFree"] / 2 < machine.available_bytes() <= told["MemTotal"]
    taken = np.ones(2**28, dtype=np.uint8)  # a quarter of a gigabyte; other processes come and go
    assert machine.available_bytes() < told["MemTotal"] - taken.nbytes


def test_a_system_without_that_file_is_asked_in_another_way(monkeypatch) -> None:
    def none(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", none)
    assert machine.available_bytes() > 0
    monkeypatch.setattr(machine.os, "sysconf", none)
    assert machine.available_bytes() == 0
