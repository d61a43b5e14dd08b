"""The verb ``serve``: an OpenAI-compatible server on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from acculturate.cli.flags import option_of
from acculturate.cli.printing import Json, is_json, print_json
from acculturate.cli.settings import RunDevice, RunPrecision, check_range, warn_if_slow
from acculturate.cli.terminal import complain, say


def serve(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Directories of runs, prompt files or PEFT adapters, of one model; NAME=PATH names one."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model; by default that of the first run.")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free one.")] = 8000,
    expose: Annotated[
        bool,
        typer.Option(
            "--expose",
            help="Listen on all networks: whoever reaches this machine can use the model; no password, no encryption.",
        ),
    ] = False,
    dtype: RunPrecision = None,
    device: RunDevice = None,
    trust_remote_code: Annotated[bool, option_of("trust_remote_code")] = False,
    output: Json = "text",
) -> None:
    """Answer as the API of OpenAI does, on this machine: the name of the model chooses the prompt, or none.

    Examples: acculturate serve runs/usa runs/chn
              acculturate serve strict=runs/a/prompt.safetensors --model embedded --port 0

    POST /v1/chat/completions and /v1/completions, GET /v1/models; Ctrl-C ends it (docs/serving.md).
    """
    as_json = is_json(output)
    check_range("--port", port, 0, 65535)
    from acculturate.runs.prompts import load_prompts
    from acculturate.serve import server

    with server.listening_socket(port, exposed=expose) as opened:
        warn_if_slow(dtype or "float32", device or "auto")
        prompts = load_prompts(runs or [], model=model, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        host = server.EVERYWHERE if expose else server.LOOPBACK
        url, names = f"http://{host}:{opened.getsockname()[1]}/v1", list(prompts.by_name)

        def ready() -> None:
            if expose:
                complain("warning: whoever reaches this machine can use the model now; no password, no encryption.")
            if as_json:
                print_json({"url": url, "models": names})
            else:
                say(f"Serving {', '.join(names)} at {url}; Ctrl-C ends it.")

        server.serve(prompts, opened, complain, exposed=expose, ready=ready)
