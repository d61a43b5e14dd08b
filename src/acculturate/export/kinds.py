"""The forms in which a soft prompt leaves this program."""

from __future__ import annotations

from enum import StrEnum

from acculturate.errors import SettingError, setting
from acculturate.files.datafile import nearest


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
