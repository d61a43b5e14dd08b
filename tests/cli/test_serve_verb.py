"""The verb serve as a process: how it begins, what it refuses, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import arguments, call, failing
from openai import OpenAI

from acculturate.model.soft_prompt import SoftPrompt, write_prompt


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("serve") / "usa"
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, *arguments(tiny, out)) == 0
    return out


def begun(*words: object) -> tuple[subprocess.Popen[str], str]:
    """Start the server as a process of its own, and read where it listens."""
    command = [sys.executable, "-m", "acculturate", "serve", *map(str, words), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return process, line


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_run_is_served_until_a_signal_and_ends_well(run, end) -> None:
    process, line = begun(run)
    assert line.startswith("Serving usa, untuned at http://127.0.0.1:")
    client = OpenAI(base_url=line.split(" at ")[1].split(";")[0], api_key="none", max_retries=0)
    assert "verdict" in client.models.retrieve("usa").to_dict()
    stream = client.chat.completions.create(
        model="usa", messages=[{"role": "user", "content": "Hi"}], max_tokens=8000, stream=True
    )
    next(stream)
    process.send_signal(end)
    begins = time.monotonic()
    out, err = process.communicate(timeout=40)
    assert time.monotonic() - begins < 20
    assert process.returncode == 0
    assert out == ""
    assert err == ""


def test_names_and_json(run, tmp_path) -> None:
    process, line = begun(f"first={run}", f"second={run}", "--format", "json")
    rest = line
    while not rest.rstrip().endswith("}"):
        rest += process.stdout.readline()
    assert json.loads(rest)["models"] == ["first", "second", "untuned"]
    process.terminate()
    assert process.wait(20) == 0


def test_mistakes_are_said_before_anything_listens(run, tiny, tmp_path, capsys, monkeypatch) -> None:
    def said(*words: object) -> str:
        return failing(capsys, monkeypatch, "serve", *words, "--port", "0")

    assert "give the directory of a run, or a model with --model" in said()
    assert "There is no soft prompt at" in said(tmp_path)
    assert "both called 'usa'; give them names: NAME=PATH" in said(run, run)
    assert "names the model without a prompt" in said(f"untuned={run}")
    other = tmp_path / "other.safetensors"
    write_prompt(other, SoftPrompt(np.zeros((1, 32), np.float32), "system", {"model": "elsewhere"}))
    assert "one process holds one model" in said(run, other)
    assert "--port is 70000" in failing(capsys, monkeypatch, "serve", run, "--port", "70000")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} cannot be listened on" in failing(capsys, monkeypatch, "serve", run, "--port", port)


def test_a_model_that_has_changed_since_is_refused(run, tmp_path, capsys, monkeypatch) -> None:
    from tiny import save_tiny_model

    changed = save_tiny_model(tmp_path / "changed", seed=1)
    prompt = tmp_path / "prompt.safetensors"
    identity = {"model": changed, "files_sha256": "0" * 64}
    write_prompt(prompt, SoftPrompt(np.zeros((1, 32), np.float32), "system", identity))
    assert "has changed since" in failing(capsys, monkeypatch, "serve", prompt, "--port", "0")


def test_the_command_line_loads_neither_torch_nor_a_server_for_its_help() -> None:
    script = (
        "import sys; import acculturate.cli.main; "
        "print([name for name in ('torch', 'transformers', 'starlette', 'uvicorn', 'openai') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
