"""What this machine is, and what a computation takes of its memory."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from acculturate.errors import setting


def synchronize() -> None:
    """Wait for the accelerator, or a clock would time the asking and not the work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Measure the most bytes by which memory grew within the context: the GPU's where there is one, else resident."""
    grown = [0]
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield grown
        grown[0] = torch.cuda.max_memory_allocated() - before
        return
    _give_back_free_memory()
    before, done = resident_bytes(), threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            grown[0] = max(grown[0], resident_bytes() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield grown
    finally:
        grown[0] = max(grown[0], resident_bytes() - before)
        done.set()
        watcher.join()


def _give_back_free_memory() -> None:
    """Ask the C library for what earlier methods freed, or a later one would seem to need nothing."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return  # not glibc


def available_bytes() -> int:
    """Measure the main memory that could be taken, what files occupy for the time being included; 0 where unknown."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def resident_bytes() -> int:
    """Measure the resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def machine_name(device: str) -> str:
    """Name the accelerator, or the processor with its number of cores."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores"


SLOW = 8.0
"""Times the cost of float32 from which a precision is no way to compute: emulated ones take thirty times and more."""


def slow_precision(dtype: str, device: str = "auto") -> str | None:
    """Warn of a precision that this processor has no instructions for; None where it has.

    ``dtype`` and ``device`` as a user gives them: ``auto`` is float32 on a processor.
    """
    on_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_cuda or device == "mps" or dtype not in ("bfloat16", "float16"):
        return None
    times = cost_of(dtype)
    if times < SLOW:
        return None
    return (
        f"This processor computes in {dtype} about {times:.0f} times as slowly as in float32; "
        f"give {setting('dtype', 'float32')}, or use a GPU."
    )


@cache
def cost_of(dtype: str) -> float:
    """Measure how many times as long as in float32 a matrix product takes in this precision, on the processor."""
    return _product_seconds(dtype) / _product_seconds("float32")


def _product_seconds(dtype: str) -> float:
    """Time the best of a few products, of some milliseconds at most even where each number is emulated."""
    a = torch.ones(64, 256, dtype=getattr(torch, dtype))
    b = torch.ones(256, 256, dtype=getattr(torch, dtype))
    _ = a @ b  # the first one sets things up
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        _ = a @ b
        taken.append(time.perf_counter() - start)
    return min(taken)
