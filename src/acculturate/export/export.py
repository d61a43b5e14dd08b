"""Exports: a run's prompt written in one form, compared with the run, and published under its name as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acculturate.errors import ModelError
from acculturate.export import client
from acculturate.export.adapters import prompt_tuning, trained_rows
from acculturate.export.card import CARD, model_card
from acculturate.export.folder import export_folder, write_about
from acculturate.export.free_tokens import free_tokens
from acculturate.export.gguf_copy import write_gguf
from acculturate.export.kinds import ExportKind
from acculturate.export.model_copy import write_model
from acculturate.export.parity import Parity, parity
from acculturate.export.subject import Subject
from acculturate.export.unsampled import unsampled_row
from acculturate.export.usage import notes_of, usage_of, weights_notes
from acculturate.export.virtual_tokens import VirtualTokens, name_of, virtual_tokens
from acculturate.files.whole_file import write_whole
from acculturate.model.engine.forward import is_tied
from acculturate.model.soft_prompt import FILE, SoftPrompt, write_prompt
from acculturate.version import VERSION


@dataclass(frozen=True)
class Exported:
    """Hold an export: its form, its folder and the comparison with the run (None where there was none)."""

    kind: ExportKind
    path: Path
    parity: Parity | None


def export_prompt(
    subject: Subject,
    kind: ExportKind,
    out: Path,
    *,
    verify: bool = True,
    stage: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a prompt in one form into a folder, and compare it with the run.

    Parameters
    ----------
    subject
        What is exported; its model may be changed.
    kind, out
        The form, and the folder, which appears when everything is written and compared.
    verify
        Whether the export is loaded by the other library and asked.
    stage
        Is told what is being done.

    Raises
    ------
    UserError
        Where this form cannot hold the prompt, or the export answers otherwise than the run.
    """
    if verify:  # before a form changes the model
        stage("asking the run's own engine")
        _ = (subject.tuned, subject.untuned) if kind is ExportKind.GGUF else (subject.tuned, subject.in_conversations)
    tied = is_tied(subject.respondent.model)  # a form may untie it
    tokens, meaning = _TOKENS[kind](subject) if kind in _TOKENS else (None, ())
    share = subject.share_of(tokens.ids) if verify and tokens is not None and kind is not ExportKind.EMBEDS else None
    with export_folder(out) as folder:
        stage(f"writing {kind.value}")
        sure = _WRITERS[kind](subject, tokens, folder)
        about = _about(subject, kind, tokens)
        write_about(folder, about)
        comparison = None
        if verify:
            stage("asking the export")
            comparison = parity(subject, kind, folder, tokens, share)
            _check(comparison)
            write_about(folder, about | {"parity": comparison.to_json()})
        notes = [*notes_of(kind, tokens, tied=tied, sure=sure, meaning=meaning), *weights_notes(subject, kind)]
        card = model_card(subject, kind, usage_of(subject, kind), notes, comparison)
        write_whole(folder / CARD, card.encode())
    return Exported(kind, out, comparison)


def _about(subject: Subject, kind: ExportKind, tokens: VirtualTokens | None) -> dict[str, object]:
    return {
        "export": kind.value,
        "format": 1,
        "acculturate": VERSION,
        "slot": subject.prompt.slot,
        "tokens": len(subject.prompt.vectors),
        "token_ids": [] if tokens is None else list(tokens.ids),
        "token_names": [] if tokens is None else list(tokens.names),
        "new_tokens": [] if tokens is None else list(tokens.new_tokens),
        "model": subject.identity,
        "country": subject.result.target.code,
        "parity": None,
    }


def _check(comparison: Parity) -> None:
    """Refuse an export that answers otherwise than the run."""
    worse = [row for row in comparison.rows if not row.holds]
    if worse:
        row = worse[0]
        raise ModelError(
            f"The export answers otherwise than the run when {comparison.library} asks it ({row.name} differs by "
            f"{row.difference:.2g}, {row.allowed:.2g} allowed), so it was not kept; choose another form, or report "
            "this with the model's name."
        )


def _free(subject: Subject) -> tuple[VirtualTokens, tuple[str, ...]]:
    free = free_tokens(subject)
    return virtual_tokens(subject, free.names, free.new, free.ids), free.meaning


def _added(subject: Subject) -> tuple[VirtualTokens, tuple[str, ...]]:
    names = [name_of(k) for k in range(len(subject.prompt.vectors))]
    return virtual_tokens(subject, names, names), ()


def _write_safetensors(subject: Subject, _tokens: VirtualTokens | None, folder: Path) -> bool:
    write_prompt(folder / FILE, SoftPrompt(subject.prompt.vectors, subject.prompt.slot, subject.identity))
    return True


def _write_peft(subject: Subject, tokens: VirtualTokens | None, folder: Path) -> bool:
    files = prompt_tuning(subject) if tokens is None else trained_rows(subject, tokens)
    for name, content in files.items():
        write_whole(folder / name, content)
    return True


def _write_embeds(subject: Subject, tokens: VirtualTokens | None, folder: Path) -> bool:
    assert tokens is not None
    _write_safetensors(subject, tokens, folder)
    write_whole(folder / "chat_template.jinja", tokens.template.encode())
    write_whole(folder / "client.py", Path(client.__file__).read_bytes())
    return True


def _write_tokens(subject: Subject, tokens: VirtualTokens | None, folder: Path) -> bool:
    assert tokens is not None
    head = unsampled_row(subject)
    write_model(subject, tokens, head, folder)
    return head.sure


def _write_gguf(subject: Subject, tokens: VirtualTokens | None, folder: Path) -> bool:
    assert tokens is not None
    head = unsampled_row(subject)
    write_gguf(subject, tokens, head, folder / "model.gguf")
    return head.sure


_TOKENS: dict[ExportKind, Callable[[Subject], tuple[VirtualTokens, tuple[str, ...]]]] = {
    ExportKind.PEFT_TOKENS: _free,
    ExportKind.TOKENS: _added,
    ExportKind.EMBEDS: _added,
    ExportKind.GGUF: _added,
}
"""The tokens that stand for a prompt, with those of them that had a meaning of their own; none in other forms."""

_WRITERS: dict[ExportKind, Callable[[Subject, VirtualTokens | None, Path], bool]] = {
    ExportKind.SAFETENSORS: _write_safetensors,
    ExportKind.PEFT: _write_peft,
    ExportKind.PEFT_TOKENS: _write_peft,
    ExportKind.TOKENS: _write_tokens,
    ExportKind.EMBEDS: _write_embeds,
    ExportKind.GGUF: _write_gguf,
}
"""Write a form into a folder, and tell whether the output head alone keeps the tokens from being written."""
