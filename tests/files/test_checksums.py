"""A finished run's checksums: whatever is changed, cut or misplaced in it is noticed by all who read it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
from commands import arguments, call, failing, settings
from folders import contents

from acculturate.errors import UserError
from acculturate.files.checksums import SUMS, check_sum, read_sums, write_sums
from acculturate.files.run_directory import RunDirectory
from acculturate.judge.records import Result
from acculturate.model.soft_prompt import SoftPrompt, read_prompt, write_prompt
from acculturate.runs.align import Align, align
from acculturate.runs.finished import RESULT, finished, read_record
from acculturate.runs.spec import make_spec

NAMES = ["evaluations.parquet", "journal.jsonl", "prompt.safetensors", "result.json", "spec.json"]


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checksums") / "run"
    align(make_spec(settings(tiny)), out)
    return out


@pytest.fixture
def own(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "own"))


@pytest.fixture
def fails(capsys, monkeypatch):
    return lambda *words: failing(capsys, monkeypatch, *words)


def bytes_of(folder: Path) -> dict[str, str]:
    return {name: digest for name, (digest, _) in contents(folder).items()}


def to_be_made_anew(folder: Path, name: str) -> None:
    with pytest.warns(UserWarning, match=rf"{name} is cut off or damaged; it goes on from its last checkpoint"):
        assert finished(RunDirectory(folder), {}, RESULT, Result, beside=Align.beside) is None


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def flipped(path: Path) -> None:
    """A bit in the middle: of a table, of numbers, of text."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def another_digit(path: Path, key: str) -> None:
    """The first digit after a key, as a mistaken hand changes it; the file remains valid."""
    text = path.read_text()
    place = next(i for i in range(text.index(f'"{key}"') + len(key) + 2, len(text)) if text[i].isdigit())
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])


class TestFile:
    def test_every_file_of_a_finished_run_is_named(self, run):
        assert sorted(read_sums(run)) == NAMES

    @pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils are not here")
    def test_the_usual_tool_checks_it(self, own):
        check = ["sha256sum", "--check", "--strict", SUMS]
        assert subprocess.run(check, cwd=own, capture_output=True, check=False).returncode == 0
        another_digit(own / "result.json", "loss")
        said = subprocess.run(check, cwd=own, capture_output=True, text=True, check=False)
        assert said.returncode == 1 and "result.json: FAILED" in said.stdout

    def test_the_page_may_be_drawn_anew(self, own, tiny, monkeypatch, capsys):
        assert call(monkeypatch, *arguments(tiny, own)) == 0
        (own / "report.html").write_text("an older page")
        assert call(monkeypatch, *arguments(tiny, own)) == 0
        assert "</html>" in (own / "report.html").read_text()

    @pytest.mark.parametrize("text", [b"", b"x\n", b"\xff", f"{'0' * 64} result.json\n".encode()])
    def test_one_that_cannot_be_read_is_said(self, own, text):
        (own / SUMS).write_bytes(text)
        with pytest.raises(UserError, match=rf"{SUMS}' is damaged: .*remove it"):
            read_record(own / "result.json", Result)

    def test_one_that_is_a_directory_is_said(self, tmp_path):
        (tmp_path / SUMS).mkdir()
        with pytest.raises(UserError, match=f"{SUMS}' is damaged"):
            read_sums(tmp_path)

    def test_what_it_does_not_name_is_not_checked(self, tmp_path):
        (tmp_path / "a").write_text("a")
        check_sum(tmp_path / "a")
        write_sums(tmp_path, {"b": hashlib.sha256(b"b").hexdigest()})
        check_sum(tmp_path / "a")
        check_sum(tmp_path / "b")  # missing: whoever reads it says so


class TestChanged:
    def test_a_changed_digit_in_the_result_is_refused_by_all_who_read_it(self, fails, own, run, tiny):
        another_digit(own / "result.json", "loss")
        before = contents(own)
        for words in (arguments(tiny, own), ["compare", own, run], ["oracle", own]):
            said = fails(*words)
            assert f"result.json' is cut off, damaged or changed: it does not fit its checksum in {SUMS}" in said
            assert "remove it and give the run's command again" in said
        assert contents(own) == before

    def test_what_is_said_to_help_helps(self, own):
        (own / "result.json").unlink()
        assert finished(RunDirectory(own), {}, RESULT, Result, beside=Align.beside) is None

    def test_changed_settings_are_no_other_settings_of_the_user(self, fails, own, tiny):
        another_digit(own / "spec.json", "seed")
        said = fails(*arguments(tiny, own))
        assert "spec.json' was changed or damaged after the run wrote it" in said and "seed" not in said
        assert "spec.json' was changed" in fails("steer", own, "--set", "PDI=50", "--out", own.parent / "steered")

    @pytest.mark.parametrize("harm", [cut, emptied, flipped])
    @pytest.mark.parametrize("name", ["prompt.safetensors", "evaluations.parquet"])
    def test_damage_to_what_can_be_made_anew_is_noticed(self, own, name, harm):
        harm(own / name)
        to_be_made_anew(own, name)

    def test_what_can_be_made_anew_is(self, own, run, tiny):
        os.truncate(own / "journal.jsonl", (own / "journal.jsonl").stat().st_size - 5)
        cut(own / "prompt.safetensors")
        flipped(own / "evaluations.parquet")
        with pytest.warns(UserWarning, match=r"prompt\.safetensors is cut off or damaged"):
            align(make_spec(settings(tiny)), own)
        assert bytes_of(own) == bytes_of(run)

    @pytest.mark.parametrize("harm", [emptied, flipped])
    def test_a_journal_that_cannot_be_made_anew_is_refused(self, fails, own, tiny, harm):
        harm(own / "journal.jsonl")
        before = contents(own)
        assert "journal.jsonl is cut off or damaged, and it cannot be made anew" in fails(*arguments(tiny, own))
        assert contents(own) == before

    def test_a_journal_and_checkpoints_may_be_thrown_away(self, own, run, tiny):
        (own / "journal.jsonl").unlink()
        shutil.rmtree(own / "checkpoints")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert align(make_spec(settings(tiny)), own).to_json() == json.loads((run / "result.json").read_text())

    def test_without_checkpoints_a_damaged_prompt_is_refused(self, fails, own, tiny):
        shutil.rmtree(own / "checkpoints")
        cut(own / "prompt.safetensors")
        said = fails(*arguments(tiny, own))
        assert "prompt.safetensors is cut off or damaged, and it cannot be made anew" in said

    @pytest.mark.parametrize("harm", [cut, flipped])
    def test_whoever_uses_the_prompt_notices(self, own, harm):
        harm(own / "prompt.safetensors")
        with pytest.raises(UserError, match=r"prompt\.safetensors' is cut off, damaged or changed"):
            read_prompt(own)

    def test_the_prompt_of_another_run_is_noticed(self, own):
        prompt = read_prompt(own)
        write_prompt(own / "prompt.safetensors", SoftPrompt(2 * prompt.vectors, prompt.slot, prompt.identity))
        with pytest.raises(UserError, match="does not fit its checksum"):
            read_prompt(own)


class TestEarlierVersions:
    @pytest.fixture
    def earlier(self, own) -> Path:
        (own / SUMS).unlink()
        return own

    def test_a_run_without_checksums_is_returned_and_left_alone(self, earlier, run, tiny):
        before = contents(earlier)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert align(make_spec(settings(tiny)), earlier).to_json() == json.loads((run / "result.json").read_text())
        assert contents(earlier) == before

    @pytest.mark.parametrize("harm", [cut, emptied])
    @pytest.mark.parametrize("name", ["prompt.safetensors", "evaluations.parquet"])
    def test_what_is_visibly_not_whole_is_noticed(self, earlier, name, harm):
        harm(earlier / name)
        to_be_made_anew(earlier, name)


class TestPlaces:
    @pytest.mark.parametrize(
        "name", ["result.json", "prompt.safetensors", "evaluations.parquet", "journal.jsonl", SUMS]
    )
    def test_a_directory_in_the_place_of_a_file_is_refused_before_the_work(self, fails, own, tiny, name):
        (own / name).unlink()
        (own / name).mkdir()
        said = fails(*arguments(tiny, own))
        assert f"{name}'" in said and ("is not a file" in said or "is damaged" in said)

    def test_a_file_in_the_place_of_the_checkpoints_is_refused(self, fails, own, tiny):
        shutil.rmtree(own / "checkpoints")
        (own / "checkpoints").write_text("")
        assert "checkpoints' is not a directory" in fails(*arguments(tiny, own))

    def test_a_directory_for_a_record_is_refused_by_those_who_read_it(self, fails, own, run):
        (own / "result.json").unlink()
        (own / "result.json").mkdir()
        assert "result.json' is not a file" in fails("compare", own, run)
        assert "There is no finished run" in fails("oracle", own)
