"""What this machine is, and what a computation takes of its memory."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


def synchronize() -> None:
    """Wait for the accelerator, or a clock would time the asking and not the work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Most bytes by which memory grew within the context: the GPU's where there is one, else resident memory."""
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


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def machine_name(device: str) -> str:
    """The accelerator's name, or the processor's with its number of cores."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores"
