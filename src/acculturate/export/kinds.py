"""The forms in which a soft prompt leaves this program."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from acculturate.errors import SettingError, setting
from acculturate.files.datafile import nearest
from acculturate.model.slot import Slot


class ExportKind(StrEnum):
    """Name a form of a soft prompt for another engine."""

    SAFETENSORS = "safetensors"
    PEFT = "peft"
    PEFT_TOKENS = "peft-tokens"
    TOKENS = "tokens"
    EMBEDS = "embeds"
    GGUF = "gguf"


def kind_named(name: str) -> ExportKind:
    """Find a form by its name; ``UserError`` for one that there is not."""
    if name not in set(ExportKind):
        raise SettingError(
            f"{setting('to', name[:40])} names no form of a prompt{nearest(name, list(ExportKind))}; "
            f"choose one of {', '.join(ExportKind)}."
        )
    return ExportKind(name)


def check_form(kind: ExportKind, slot: str, gguf: Sequence[Path]) -> None:
    """Refuse a form that cannot hold a prompt, before its model is loaded.

    Parameters
    ----------
    kind, slot
        The form, and where the prompt stands.
    gguf
        The model's GGUF files; none where it is in another format.

    Raises
    ------
    UserError
        Says which form to choose.
    """
    if kind is ExportKind.PEFT and slot != Slot.BEFORE_BOS:
        raise SettingError(
            f"PEFT's prompt tuning puts a prompt before everything, and this one stands in the slot {slot}; "
            "choose `to='peft-tokens'`, `to='tokens'` or `to='embeds'`."
        )
    if kind is ExportKind.GGUF and not gguf:
        raise SettingError(
            f"This run's model is in the Hugging Face format; name a GGUF file of the same model with "
            f"{setting('gguf')} (llama.cpp's convert_hf_to_gguf.py makes one), or choose `to='tokens'` and "
            "convert that."
        )
