"""A run's directory against what befalls files: removed, cut, flipped, linked, on a disk without locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from folders import contents
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from acculturate.errors import UserError
from acculturate.files.run_directory import RunDirectory
from acculturate.files.whole_file import write_whole
from acculturate.model.soft_prompt import SoftPrompt, read_prompt, write_prompt
from acculturate.report.run_page import write_page
from acculturate.survey.fitting import FittedInstrument

SPEC = {"seed": 1}


def spend(directory: RunDirectory, *generations: int) -> None:
    for n in generations:
        directory.append({"generation": n})
        directory.checkpoint(n, {"x": np.full(4, float(n)), "worst": np.array(np.inf)}, {"n": n})


@pytest.fixture
def cut(tmp_path) -> RunDirectory:
    """A run that was killed after its third generation."""
    directory = RunDirectory(tmp_path / "run")
    with directory.claimed(SPEC):
        spend(directory, 1, 2, 3)
    return directory


def checkpoint(directory: RunDirectory, number: int) -> Path:
    return directory.path / "checkpoints" / f"{number:06d}.safetensors"


def restored(directory: RunDirectory) -> int | None:
    """The generation that the run goes on from."""
    with directory.claimed(SPEC):
        found = directory.restore()
    return None if found is None else int(str(found[1]["n"]))


class TestHeld:
    def test_a_directory_that_was_begun_anew_is_not_written_into(self, tmp_path):
        first, second = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "run")
        with first.claimed(SPEC):
            spend(first, 1, 2)
            shutil.rmtree(first.path)
            with second.claimed({"seed": 2}):
                spend(second, 1, 2)
                before = contents(tmp_path)
                for write in (
                    lambda: first.append({"generation": 3}),
                    lambda: first.checkpoint(3, {"x": np.zeros(1)}, {}),
                    first.lines,
                ):
                    with pytest.raises(UserError, match="removed or begun anew"):
                        write()
                assert contents(tmp_path) == before

    def test_a_directory_that_was_removed_is_not_made_again(self, tmp_path):
        directory = RunDirectory(tmp_path / "run")
        with directory.claimed(SPEC):
            shutil.rmtree(directory.path)
            with pytest.raises(UserError, match="removed or begun anew"):
                directory.append({"generation": 1})
        assert not directory.path.exists()

    @pytest.mark.parametrize("harm", [Path.unlink, lambda p: os.truncate(p, 20), lambda p: p.write_bytes(b"")])
    def test_a_journal_that_is_cut_under_the_run_stops_it(self, tmp_path, harm):
        directory = RunDirectory(tmp_path / "run")
        with directory.claimed(SPEC):
            spend(directory, 1, 2)
            harm(directory.journal)
            with pytest.raises(UserError, match=r"journal\.jsonl.* was changed, cut or removed"):
                directory.append({"generation": 3})

    def test_a_journal_of_the_same_length_with_other_content_is_noticed_at_the_end(self, tmp_path):
        directory = RunDirectory(tmp_path / "run")
        with directory.claimed(SPEC):
            spend(directory, 1, 2)
            directory.journal.write_bytes(directory.journal.read_bytes().replace(b"2", b"7"))
            with pytest.raises(UserError, match="was changed"):
                directory.lines()


class TestGoingOn:
    def test_a_flipped_bit_anywhere_in_a_checkpoint_falls_back_to_the_one_before(self, cut):
        whole = checkpoint(cut, 3).read_bytes()
        for place in range(0, len(whole), 7):
            flipped = bytearray(whole)
            flipped[place] ^= 0x40
            checkpoint(cut, 3).write_bytes(flipped)
            found = cut.newest()
            # In the name of the checksum itself, a bit makes no other content.
            assert found is not None and found[0]["x"].tolist() == [float(str(found[1]["n"]))] * 4
            if b"checksum" in flipped:
                assert found[1]["n"] == 2, f"byte {place}"
        assert restored(cut) == 2
        assert len(cut.lines()) == 2

    @pytest.mark.parametrize(
        "state",
        [
            {"journal": 1},
            {"scalars": {}, "journal": 2.5},
            {"scalars": [], "journal": 2},
            {"scalars": {}, "journal": -1},
            {"scalars": {}, "journal": 2, "journal_sha256": 5},
            [],
            None,
        ],
    )
    def test_a_header_of_the_wrong_kind_falls_back_too(self, cut, state):
        save_file({"x": np.zeros(4)}, checkpoint(cut, 3), {"state": json.dumps(state)})
        assert restored(cut) == 2

    def test_what_is_no_number_comes_back_as_it_was(self, cut):
        arrays, _ = cut.newest()
        assert arrays["worst"].shape == () and arrays["worst"] == np.inf

    def test_a_checkpoint_from_before_the_checksums_is_gone_on_with(self, cut):
        length = cut.journal.stat().st_size
        state = json.dumps({"scalars": {"n": 4}, "journal": length})
        save_file({"x": np.zeros(4)}, checkpoint(cut, 4), {"state": state})
        assert restored(cut) == 4
        cut.journal.write_bytes(b"x" * length)
        with pytest.raises(UserError, match="journal"):
            cut.newest()

    @pytest.mark.parametrize("harm", [lambda text: text.replace("3", "7"), lambda text: text[:-5]])
    def test_damage_in_the_last_line_is_computed_again(self, cut, harm):
        cut.journal.write_text(harm(cut.journal.read_text()))
        assert restored(cut) == 2
        assert cut.lines() == [{"generation": 1}, {"generation": 2}]

    @pytest.mark.parametrize(
        "harm", [lambda text: text.replace("1", "7"), lambda text: "\n" + text[1:], lambda text: text[:20], None]
    )
    def test_damage_further_up_is_said_at_once(self, cut, harm):
        cut.journal.unlink() if harm is None else cut.journal.write_text(harm(cut.journal.read_text()))
        before = contents(cut.path)
        with cut.claimed(SPEC), pytest.raises(UserError, match=r"\(journal\.jsonl\) is damaged, cut or missing"):
            cut.restore()
        assert contents(cut.path) == before

    def test_without_any_checkpoint_only_the_first_generation_is_begun_anew(self, cut):
        shutil.rmtree(cut.path / "checkpoints")
        with cut.claimed(SPEC), pytest.raises(UserError, match=r"No checkpoint .* is whole"):
            cut.restore()
        cut.journal.write_text('{"generation":1}\n')
        assert restored(cut) is None
        assert not cut.journal.exists()

    def test_generations_of_seven_digits_come_after_those_of_six(self, tmp_path):
        directory = RunDirectory(tmp_path / "run")
        with directory.claimed(SPEC):
            for n in range(999_998, 1_000_002):
                directory.checkpoint(n, {"x": np.zeros(1)}, {"n": n})
        assert [p.stem for p in sorted((directory.path / "checkpoints").iterdir())] == ["1000000", "1000001"]
        assert restored(directory) == 1_000_001

    def test_other_settings_are_named_by_their_place_and_cut_short(self, tmp_path):
        directory = RunDirectory(tmp_path / "run")
        with directory.claimed({"model": {"name": "a", "text": "b" * 500}}):
            pass
        with pytest.raises(UserError, match=r"model\.text = 'b+\.\.\.b+', not 'nothing'") as said:
            directory.check({"model": {"name": "a"}})
        assert len(str(said.value)) < 400


class TestLock:
    @pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
    def test_a_disk_without_locks_is_warned_about_and_used(self, tmp_path, monkeypatch, code):
        def flock(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(fcntl, "flock", flock)
        directory = RunDirectory(tmp_path / "run")
        with pytest.warns(UserWarning, match="has no locks .*no other process"), directory.claimed(SPEC):
            spend(directory, 1)
        assert directory.lines() == [{"generation": 1}]

    def test_a_lock_that_is_a_link_is_refused_and_its_target_left_alone(self, tmp_path):
        (tmp_path / "precious").write_text("precious")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
        with pytest.raises(UserError, match=r"its \.lock is a link or"), RunDirectory(tmp_path / "run").claimed(SPEC):
            pass
        assert (tmp_path / "precious").read_text() == "precious"

    def test_a_lock_that_is_a_pipe_is_refused_at_once(self, tmp_path):
        (tmp_path / "run").mkdir()
        os.mkfifo(tmp_path / "run" / ".lock")
        claim = RunDirectory(tmp_path / "run").claimed(SPEC)
        with pytest.raises(UserError, match=r"its \.lock is .* no plain file"), claim:
            pass


class TestWholeFiles:
    def test_a_killed_writer_leaves_one_scratch_file_that_the_next_removes(self, tmp_path):
        script = (
            "import os, sys, pathlib\n"
            "pathlib.Path.replace = lambda self, other: os.kill(os.getpid(), 9)\n"
            "from acculturate.files.whole_file import write_whole\n"
            "write_whole(pathlib.Path(sys.argv[1]), b'new')\n"
        )
        path = tmp_path / "report.html"
        path.write_bytes(b"old")
        for _ in range(2):
            subprocess.run([sys.executable, "-c", script, str(path)], check=False)
        assert path.read_bytes() == b"old"
        assert len(list(tmp_path.iterdir())) == 2
        write_page(path, "newer")
        assert path.read_bytes() == b"newer"
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"]

    def test_a_link_in_the_place_of_a_scratch_file_is_not_followed(self, tmp_path):
        (tmp_path / "precious").write_text("precious")
        (tmp_path / ".spec.json.partial").symlink_to(tmp_path / "precious")
        write_whole(tmp_path / "spec.json", b"{}")
        assert (tmp_path / "precious").read_text() == "precious"
        assert (tmp_path / "spec.json").read_bytes() == b"{}" and not (tmp_path / "spec.json").is_symlink()

    def test_a_writing_that_fails_leaves_nothing(self, tmp_path, monkeypatch):
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(tmp_path / "a", b"x")
        assert not list(tmp_path.iterdir())

    def test_a_fitted_instrument_is_an_ordinary_file(self, tmp_path):
        before = os.umask(0o022)
        try:
            FittedInstrument.write(_Fitted(), tmp_path / "values.toml")  # pyright: ignore[reportArgumentType]
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "values.toml").stat().st_mode) == 0o644
        assert [p.name for p in tmp_path.iterdir()] == ["values.toml"]


class _Fitted:
    toml = 'id = "é"\n'


class TestPrompts:
    @pytest.fixture
    def prompt(self, tmp_path) -> Path:
        vectors = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
        write_prompt(tmp_path / "prompt.safetensors", SoftPrompt(vectors, "system", {"model": "m"}))
        return tmp_path / "prompt.safetensors"

    def test_a_flipped_bit_is_refused(self, prompt):
        whole = prompt.read_bytes()
        for place in range(len(whole) - 2 * 8 * 4, len(whole)):
            flipped = bytearray(whole)
            flipped[place] ^= 0x01
            prompt.write_bytes(flipped)
            with pytest.raises(UserError, match="cut off or damaged"):
                read_prompt(prompt)

    def test_a_prompt_from_before_the_checksum_is_read(self, prompt):
        with safe_open(prompt, framework="np") as stored:
            about = json.loads(stored.metadata()["acculturate"])
        vectors = load_file(prompt)
        del about["checksum"]
        save_file(vectors, prompt, {"acculturate": json.dumps(about)})
        assert read_prompt(prompt).vectors.tolist() == vectors["prompt"].tolist()

    @pytest.mark.parametrize("about", [{"slot": 1}, {"model": None}, {"model": {"sha256": 5}}, {"slot": None}])
    def test_a_record_of_the_wrong_kind_is_refused(self, prompt, about):
        record = {"slot": "system", "model": {"model": "m"}} | about
        save_file(load_file(prompt), prompt, {"acculturate": json.dumps(record)})
        with pytest.raises(UserError, match="is not a soft prompt"):
            read_prompt(prompt)
