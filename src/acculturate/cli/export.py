"""The verb ``export``: a run's prompt in the form of another engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acculturate.cli.flags import option_of
from acculturate.cli.printing import Json, is_json, print_json
from acculturate.cli.terminal import Console
from acculturate.errors import SettingError

if TYPE_CHECKING:
    from acculturate.export.export import Exported


def export(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run for one country.")],
    to: Annotated[
        str,
        typer.Option(help="Form: safetensors, peft, peft-tokens, tokens, embeds or gguf (docs/export.md)."),
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the export; by default in the run.")] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Load the export with its own library and compare its answers."),
    ] = True,
    gguf: Annotated[
        Path | None, typer.Option(help="A GGUF file of the model, for --to gguf; by default the run's own.")
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Upload the export to a private repository of the Hugging Face hub."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Where the run's model is now; by default where the run found it.")
    ] = None,
    trust_remote_code: Annotated[bool, option_of("trust_remote_code")] = False,
    output: Json = "text",
) -> None:
    """Write a run's prompt in the form of another engine, and show that it answers as the run did.

    Examples: acculturate export runs/sau --to peft-tokens
              acculturate export runs/sau --to tokens --out sau-model

    The export is loaded by the other library in a new process and asked the whole questionnaire of the run. Where its
    answers differ, nothing is kept.
    """
    as_json = is_json(output)
    if not to:
        raise SettingError("--to names the form of the export: safetensors, peft, peft-tokens, tokens, embeds or gguf.")
    from acculturate.runs.export import export_run
    from acculturate.runs.model_again import ModelNow

    console = Console(stderr=True)
    exported = export_run(
        run,
        to,
        out=out,
        verify=verify,
        gguf=gguf,
        push=push,
        model=ModelNow(model, trust_remote_code),
        stage=lambda words: console.print(words, soft_wrap=True),
    )
    if as_json:
        comparison = None if exported.parity is None else exported.parity.to_json()
        print_json({"export": exported.kind.value, "path": str(exported.path), "parity": comparison})
    else:
        _show(exported, push)


def _show(exported: Exported, push: str | None) -> None:
    console = Console()
    if exported.parity is not None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(f"{exported.parity.questions} questions, {exported.parity.library}")
        for name in ("difference", "allowed"):
            table.add_column(name, justify="right")
        for row in exported.parity.lines():
            table.add_row(*row)
        console.print(table)
        console.print()
    console.print(f"Export: {exported.path}", soft_wrap=True)
    if push is not None:
        console.print(f"Uploaded: {push}")
