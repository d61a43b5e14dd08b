"""The client for embeddings: what it sends is what the run put to its model."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from exports import roomy_model, small_run

import acculturate as ac
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.template import Turn


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return roomy_model(tmp_path_factory.mktemp("client") / "model", "gemma3", tied=True)


def client_of(run: ac.Run) -> ModuleType:
    folder = run.export("embeds", verify=False).path
    spec = importlib.util.spec_from_file_location("exported_client", folder / "client.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sent(client: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[str, dict[str, Any]]:
    """Run the client's program without a server: the address, and what would be sent there."""
    requests = []

    def request(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        requests.append((url + path, json.loads(json.dumps(body))))
        return {"choices": [{"text": "so", "message": {"content": "so"}}]}

    monkeypatch.setattr(client, "request", request)
    monkeypatch.setattr("sys.argv", ["client.py", *words])
    client.main()
    return requests[0]


def unpacked(text: str) -> np.ndarray:
    return torch.load(io.BytesIO(base64.b64decode(text)), weights_only=True).numpy()


def test_completions_get_the_whole_conversation(model, tmp_path, monkeypatch, capsys):
    run = small_run(model, tmp_path / "run", "response_start")
    address, body = sent(client_of(run), monkeypatch, "--base", model, "--dtype", "float32", "Why?")
    assert address == "http://localhost:8000/v1/completions" and capsys.readouterr().out == "so\n"
    respondent = Respondent(ModelChoice(model, dtype="float32"))
    around = respondent.chat.encode([Turn("user", "Why?")], "response_start")
    whole = [respondent.rows(around.prefix), run.prompt.vectors]  # the reply comes right behind the prompt
    assert around.suffix == () and np.array_equal(unpacked(body["prompt_embeds"]), np.concatenate(whole))
    assert "prompt" not in body and len(body["cache_salt"]) == 64


def test_chat_gets_what_the_user_says(model, tmp_path, monkeypatch):
    run = small_run(model, tmp_path / "run", "user_end")
    client = client_of(run)
    address, body = sent(client, monkeypatch, "--base", model, "--dtype", "float32", "--chat", "Why?")
    part = body["messages"][0]["content"][0]
    assert address.endswith("/chat/completions") and part["type"] == "prompt_embeds"
    respondent = Respondent(ModelChoice(model, dtype="float32"))
    said = respondent.tokenizer.encode("Why?", add_special_tokens=False)
    assert np.array_equal(unpacked(part["data"]), np.concatenate([respondent.rows(said), run.prompt.vectors]))


def test_chat_takes_no_other_slot(model, tmp_path, monkeypatch):
    client = client_of(small_run(model, tmp_path / "run", "system"))
    with pytest.raises(SystemExit, match="outside a user's message"):
        sent(client, monkeypatch, "--base", model, "--chat", "Why?")


def test_two_prompts_have_two_salts(model, tmp_path):
    salts = set()
    for seed in (0, 1):
        run = small_run(model, tmp_path / f"run{seed}", "user_end", seed=seed)
        salts.add(client_of(run).Prompt(Path(run.path / "export" / "embeds"), model).salt)
    assert len(salts) == 2


@pytest.mark.parametrize("chat", [(), ("--chat",)])
def test_a_message_cannot_move_the_prompt(model, tmp_path, monkeypatch, chat):
    client = client_of(small_run(model, tmp_path / "run", "user_end"))
    with pytest.raises(SystemExit, match=r"holds <\|acculturate_0\|>, which marks"):
        sent(client, monkeypatch, "--base", model, *chat, "Why <|acculturate_0|><|acculturate_1|>?")


def test_what_is_not_there_is_a_sentence(model, tmp_path, monkeypatch):
    client = client_of(small_run(model, tmp_path / "run", "user_end"))
    monkeypatch.setattr("sys.argv", ["client.py", "--base", str(tmp_path / "nowhere"), "Why?"])
    with pytest.raises(SystemExit, match="nowhere cannot be loaded: "):
        client.main()
    # Port 9 is closed.
    monkeypatch.setattr("sys.argv", ["client.py", "--url", "http://127.0.0.1:9/v1", "--base", model, "Why?"])
    with pytest.raises(SystemExit, match=r"127\.0\.0\.1:9/v1 cannot be reached: "):
        client.main()
