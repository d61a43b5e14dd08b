"""The verb chat: lines from a pipe, a terminal of its own, Ctrl-C, and text that would steer the terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import arguments, call, failing

from acculturate.legible import legible
from acculturate.model import reply
from acculturate.model.fluency import replies
from acculturate.runs.load import open_run


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chat") / "usa"
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, *arguments(tiny, out)) == 0
    return out


def piped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: str, *words: object) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert call(monkeypatch, "chat", *words, "--max-tokens", 6) == 0
    return capsys.readouterr().out


def test_lines_are_answered_plainly_with_and_without_the_prompt(run, tiny, monkeypatch, capsys) -> None:
    tuned = open_run(run).model()
    respondent = tuned._respondent
    expected = [replies(respondent, ["Hello"], prompt, tokens=6)[0] for prompt in (tuned.prompt, None)]
    assert expected[0] != expected[1]
    shown = [legible(one) for one in expected]
    greedy = ("--temperature", "0")
    assert piped(monkeypatch, capsys, "Hello\n", run, *greedy) == f"{shown[0]}\n"
    both = piped(monkeypatch, capsys, "Hello", run, "--compare", *greedy)
    assert both == f"tuned: {shown[0]}\nuntuned: {shown[1]}\n"
    assert piped(monkeypatch, capsys, "Hello\n", "--model", tiny, "--prompt", run, *greedy) == f"{shown[0]}\n"


def test_a_conversation_goes_on_until_it_is_reset(run, monkeypatch, capsys) -> None:
    how = (run, "--format", "json", "--seed", "3", "--compare", "--system", "Be kind.")
    lines = [
        json.loads(line) for line in piped(monkeypatch, capsys, "Hi\n\nHi\n/reset\nHi\n/quit\nHi\n", *how).splitlines()
    ]
    assert [line["message"] for line in lines] == ["Hi"] * 3
    assert lines[0] == lines[2] != lines[1]
    assert set(lines[0]) == {"message", "tuned", "untuned"}


def test_a_model_alone_and_a_message_too_long(tiny, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{'word ' * 9000}\nHi\n"))
    assert call(monkeypatch, "chat", "--model", tiny, "--max-tokens", 4, "--seed", 0) == 2
    shown = capsys.readouterr()
    assert "this model reads 8192 at most" in shown.err
    assert "/reset begins anew" in shown.err
    assert shown.out.count("\n") >= 1


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Give the directory of a finished run, or a model with --model"),
        (["RUN", "--prompt", "RUN"], "--prompt goes with --model"),
        (["--model", "TINY", "--compare"], "There is no prompt to compare"),
        (["RUN", "--temperature", "3"], "--temperature is 3"),
        (["RUN", "--seed", "-1"], "--seed is -1"),
        (["nowhere"], "There is no soft prompt at"),
    ],
)
def test_mistakes_are_one_sentence(run, tiny, words, said, capsys, monkeypatch) -> None:
    filled = [{"RUN": run, "TINY": tiny}.get(word, word) for word in words]
    assert said in failing(capsys, monkeypatch, "chat", *filled)


class Terminal:
    """A process of the verb on a terminal of its own."""

    def __init__(self, *words: object) -> None:
        self.ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "acculturate", "chat", *map(str, words)]
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=os.environ | {"TERM": "dumb"},
        )
        os.close(theirs)
        self.seen = ""

    def until(self, pattern: str, seconds: float = 60) -> str:
        ends = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            left = ends - time.monotonic()
            assert left > 0, self.seen
            if select.select([self.ours], [], [], left)[0]:
                try:
                    self.seen += os.read(self.ours, 4096).decode(errors="replace")
                except OSError:
                    break
        assert match or re.search(pattern, self.seen), self.seen
        before, self.seen = self.seen, ""
        return before

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def interrupt(self, *, at_prompt: bool = True) -> None:
        if at_prompt:  # a signal between the prompt and the waiting for a key is answered at the next key alone
            time.sleep(0.5)
        self.process.send_signal(signal.SIGINT)


def test_a_terminal_ctrl_c_stops_an_answer_and_the_second_leaves(run) -> None:
    talk = Terminal(run, "--max-tokens", 8000, "--compare")
    talk.until("> $")
    talk.type("Hello\n")
    talk.until("tuned: (?s:.{5})")
    talk.interrupt(at_prompt=False)
    talk.until(r"stopped; Ctrl-C once more leaves\)\r\n> $")
    talk.type("/reset\n")
    talk.until("> $")
    talk.interrupt()
    talk.until("once more leaves")
    talk.interrupt()
    assert "Traceback" not in talk.until("interrupted")
    assert talk.process.wait(20) == 130
    os.close(talk.ours)


def test_the_end_of_the_input_leaves_cleanly(run) -> None:
    talk = Terminal(run, "--max-tokens", 3)
    talk.until("> $")
    talk.type("Hello\n")
    talk.until("\r\n> $")
    talk.type("\x04")
    assert talk.process.wait(20) == 0
    os.close(talk.ours)


def test_what_a_model_says_does_not_steer_the_terminal(run, monkeypatch, capsys) -> None:
    def hostile(self, token: int) -> str:
        return "\x1b[2J\x1b]0;x\x07[bold]\r\u202e{{ 7 * 7 }}"

    monkeypatch.setattr(reply.WrittenText, "add", hostile)
    monkeypatch.setattr(reply.WrittenText, "finish", lambda self: "")
    shown = piped(monkeypatch, capsys, "Hello\n", run)
    assert shown.startswith("\\x1b[2J\\x1b]0;x\\x07[bold]\\x0d\\u202e{{ 7 * 7 }}")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", shown)
