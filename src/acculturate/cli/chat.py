"""The verb ``chat``: a conversation on the terminal, with the tuned model and the untuned one."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acculturate.cli.flags import in_flags, option_of
from acculturate.cli.interruption import RememberedInterrupt
from acculturate.cli.printing import Json, is_json
from acculturate.cli.settings import PromptOfModel, RunDevice, RunPrecision, check_range, warn_if_slow
from acculturate.cli.terminal import complain, say, say_json, say_on
from acculturate.errors import SettingError, UserError

if TYPE_CHECKING:
    from acculturate.serve.conversation import Conversation

RESET, QUIT = "/reset", "/quit"
_TUNED, _UNTUNED = "tuned", "untuned"


def chat(
    run: Annotated[
        Path | None, typer.Argument(help="Directory of a finished run, a prompt file or a PEFT adapter.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model; by default that of the run.")] = None,
    prompt: PromptOfModel = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Answer as the untuned model too, below the tuned one.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    temperature: Annotated[float, typer.Option(help="0 to 2; 0 for the likeliest words.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Total probability of the tokens that are drawn from.")] = 0.8,
    max_tokens: Annotated[int, typer.Option(help="Where an answer is cut off.")] = 512,
    seed: Annotated[int | None, typer.Option(help="What all draws follow from; by default fresh ones.")] = None,
    dtype: RunPrecision = None,
    device: RunDevice = None,
    trust_remote_code: Annotated[bool, option_of("trust_remote_code")] = False,
    output: Json = "text",
) -> None:
    """Talk to the tuned model; /reset begins anew, /quit leaves, Ctrl-C stops an answer and leaves at the second time.

    Examples: acculturate chat runs/usa --compare
              acculturate chat --model embedded --prompt prompt.safetensors --temperature 0

    Where standard input is no terminal, every line is a message, and answers are printed plainly (docs/serving.md).
    """
    as_json = is_json(output)
    check_range("--seed", seed, 0, 2**63)
    check_range("--temperature", temperature, 0, 2)
    check_range("--top-p", top_p, 1e-9, 1)
    check_range("--max-tokens", max_tokens, 1, 10**6)
    if run is not None and prompt is not None:
        raise SettingError("--prompt goes with --model; the first argument names a prompt already.")
    if run is None and model is None:
        raise SettingError("Give the directory of a finished run, or a model with --model.")
    from acculturate.model.reply import Decoding
    from acculturate.runs.prompts import load_prompt
    from acculturate.serve.conversation import Conversation

    warn_if_slow(dtype or "float32", device or "auto")
    respondent, soft = load_prompt(
        run or prompt, model=model, dtype=dtype, device=device, trust_remote_code=trust_remote_code
    )
    how = Decoding(temperature, top_p, max_tokens)
    talks = {_UNTUNED: Conversation(respondent, None, how, seed=seed, system=system)}
    if soft is not None:
        tuned = {_TUNED: Conversation(respondent, soft, how, seed=seed, system=system)}
        talks = {**tuned, **talks} if compare else tuned
    elif compare:
        raise SettingError("There is no prompt to compare the untuned model with; give a run, or --prompt.")
    with RememberedInterrupt() as interrupt:
        if not _talk(talks, _answered_in_json if as_json else _answered, interrupt):
            raise typer.Exit(2)


Answering = Callable[[str, dict[str, "Conversation"], Callable[[], None]], None]
"""Print the answers to a message; the last argument is called between words, and ends them by raising."""


def _talk(talks: dict[str, Conversation], answered: Answering, interrupt: RememberedInterrupt) -> bool:
    """Read messages and answer them until the input ends; tell whether all piped ones were answered."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text are no reason to leave
    on_terminal = sys.stdin.isatty()
    if on_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 (its import gives input() an editor and a history)
        verb = "answers" if len(talks) == 1 else "answer"
        complain(f"{' and '.join(talks)} {verb}; {RESET} begins anew, {QUIT} leaves.")
    stopped, whole = False, True
    while True:
        try:
            message = input("> ") if on_terminal else _line()
            stopped = False
            if message.strip() == QUIT:
                break
            whole &= _take(message, talks, answered, interrupt.check) or on_terminal
        except EOFError:
            if on_terminal:
                say("")
            break
        except KeyboardInterrupt:
            if stopped or not on_terminal:
                raise
            stopped = True
            interrupt.dealt_with()
            say("\n(stopped; Ctrl-C once more leaves)")
    return whole


def _take(message: str, talks: dict[str, Conversation], answered: Answering, check: Callable[[], None]) -> bool:
    """Answer a message, or begin anew; tell whether that went well."""
    if message.strip() == RESET:
        for talk in talks.values():
            talk.reset()
    elif message.strip():
        try:
            answered(message, talks, check)
        except UserError as error:
            complain(f"{in_flags(str(error))} {RESET} begins anew.")
            return False
    return True


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


def _answered(message: str, talks: dict[str, Conversation], check: Callable[[], None]) -> None:
    """Print every answer as it is written, one below the other."""

    def write(text: str) -> None:
        check()
        say_on(text)

    for name, talk in talks.items():
        if len(talks) > 1:
            say_on(f"{name}: ")
        talk.answer(message, write)
        say("")


def _answered_in_json(message: str, talks: dict[str, Conversation], check: Callable[[], None]) -> None:
    """Print a line of JSON for each message, with all its answers."""
    answers = {name: talk.answer(message, lambda _: check()).text for name, talk in talks.items()}
    say_json(json.dumps({"message": message, **answers}, ensure_ascii=False))
