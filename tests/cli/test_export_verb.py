"""The verb export: a table, JSON, mistakes in one sentence, and uploads that say when there is no hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import arguments, call, failing


@pytest.fixture(autouse=True)
def forget_the_run(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    capsys.readouterr()


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "run"
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, *arguments(tiny, out)) == 0
    return out


def test_an_export_shows_how_near_it_is(run, monkeypatch, capsys, tmp_path):
    out = tmp_path / "out"
    assert call(monkeypatch, "export", run, "--to", "safetensors", "--out", out) == 0
    shown = capsys.readouterr()
    assert "log-probability" in shown.out and "0.0001" in shown.out and f"Export: {out}" in shown.out
    assert "asking the export" in shown.err
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "acculturate.json", "prompt.safetensors"]
    assert call(monkeypatch, "export", run, "--to", "safetensors", "--out", out, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["export"] == "safetensors" and found["parity"]["rows"][0]["allowed"] == 1e-4
    # What was exported can be used as a prompt is.
    assert call(monkeypatch, "export", run, "--to", "safetensors", "--no-verify") == 0
    assert (run / "export" / "safetensors" / "prompt.safetensors").is_file()


@pytest.mark.parametrize(
    "words, said",
    [
        (["RUN"], "--to names the form of the export"),
        (["RUN", "--to", "onnx"], "--to onnx names no form of a prompt"),
        (["nowhere", "--to", "peft"], "There is no finished run for one country in 'nowhere'"),
        (
            ["RUN", "--to", "tokens", "--out", "full"],
            "'full' holds other files (mine.txt); name a new folder",
        ),
        (["RUN", "--to", "tokens", "--gguf", "x.gguf"], "--gguf names a file for the form gguf"),
        (["RUN", "--to", "peft", "--push", "name"], "--push name names no repository of the hub"),
        (["RUN", "--to", "peft", "--push", "../../x"], "names no repository of the hub"),
    ],
)
def test_mistakes_are_one_sentence(run, monkeypatch, capsys, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert said in failing(capsys, monkeypatch, "export", *[run if word == "RUN" else word for word in words])


def test_an_upload_without_a_hub_is_one_sentence_and_the_export_stays(run, monkeypatch, capsys, tmp_path):
    out = tmp_path / "out"
    words = ("--to=safetensors", "--no-verify", f"--out={out}", "--push=me/prompt")
    code = call(monkeypatch, "export", run, *words)
    shown = capsys.readouterr()
    last = shown.err.strip().splitlines()[-1]
    assert code == 2 and shown.out == ""
    assert "was not uploaded to 'me/prompt': the hub cannot be reached from here." in last
    assert (out / "README.md").is_file()
