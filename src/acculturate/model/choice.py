"""Which model is meant, and how it is held in memory; knows no model library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelChoice:
    """Name a model and the way it is held in memory.

    Parameters
    ----------
    name
        A Hugging Face id, a local directory, a GGUF file, or ``embedded``.
    revision
        Revision of a Hugging Face model.
    dtype
        ``auto`` (bfloat16 on CUDA, float32 elsewhere), ``float32``, ``bfloat16`` or ``float16``.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    quantize
        ``none``, ``8bit`` or ``4bit``.
    trust_remote_code
        Whether code that comes with the model may run.
    device_map
        ``none``: the model is on one device. ``auto``, ``balanced``, ``balanced_low_0`` or ``sequential``: its layers
        are spread over the devices of this machine, main memory and disk, as transformers does it.
    """

    name: str = "embedded"
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    quantize: str = "none"
    trust_remote_code: bool = False
    device_map: str = "none"
