"""Checks of an installation: what is there, what is missing and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass

from acculturate.errors import UserError


@dataclass(frozen=True)
class Check:
    """Hold one fact about this machine; ``optional``: the main job works without it."""

    name: str
    ok: bool
    detail: str
    optional: bool = False


def checks() -> list[Check]:
    """Run all checks, the slow imports included."""
    found = [Check("python", sys.version_info >= (3, 11), f"{platform.python_version()} (3.11 or newer)")]
    for package in ("acculturate", "torch", "transformers", "numpy", "safetensors", "gguf"):
        found.append(_package(package))
    found += [_package(name, optional=True) for name in ("peft", "bitsandbytes", "accelerate", "ray")]
    if not all(check.ok for check in found if not check.optional):
        return found  # the rest would fail on the same missing package
    return [*found, _devices(), *map(_precision, ("bfloat16", "float16")), _embedded(), _cache(), _hub()]


def _package(name: str, *, optional: bool = False) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name), optional)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"not installed; pip install {name}", optional)


def _devices() -> Check:
    import torch

    cores = f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores in use"
    if torch.cuda.is_available():
        return Check("devices", True, f"{torch.cuda.get_device_name()}; {cores}")
    return Check("devices", True, f"{cores}; no CUDA device")


def _precision(name: str) -> Check:
    from acculturate.performance.machine import SLOW, cost_of

    times = cost_of(name)
    advice = "; give --dtype float32 on this processor" if times >= SLOW else ""
    return Check(name, True, f"a matrix product takes {times:.2g} times as long as in float32{advice}", True)


def _embedded() -> Check:
    from acculturate.model.loading import EMBEDDED, embedded_path

    try:
        return Check("embedded model", True, f"{EMBEDDED} ({embedded_path().stat().st_size / 2**20:.0f} MiB)")
    except UserError as error:
        return Check("embedded model", False, str(error), True)


def _cache() -> Check:
    from acculturate.model.gguf import cache_folder

    try:
        folder = cache_folder()
    except (UserError, RuntimeError):  # there is no home to keep one in
        return Check("cache", False, "no home directory; set ACCULTURATE_CACHE to a directory you can write to")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        return Check("cache", False, f"cannot write {folder} ({error.strerror}); set ACCULTURATE_CACHE")
    writable = os.access(folder, os.W_OK)
    return Check("cache", writable, f"{folder}, {free:.0f} GiB free")


def _hub() -> Check:
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    detail = "offline (HF_HUB_OFFLINE=1): local models only" if offline else "models are fetched from the hub by id"
    return Check("model hub", True, detail, True)
