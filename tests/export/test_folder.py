"""An export stands under its name as a whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from acculturate.errors import SettingError
from acculturate.export import folder as folder_module
from acculturate.export.folder import ABOUT, export_folder, write_about


def write(out: Path, text: str) -> None:
    with export_folder(out) as folder:
        (folder / "file").write_text(text)
        write_about(folder, {"export": "x"})


def test_what_fails_leaves_nothing_and_what_stood_there_stays(tmp_path):
    out = tmp_path / "deep" / "out"
    with pytest.raises(FileExistsError), export_folder(out) as folder:
        (folder / "file").symlink_to(folder) or (folder / "file").symlink_to(folder)
    assert list((tmp_path / "deep").iterdir()) == []
    write(out, "whole")
    with pytest.raises(KeyboardInterrupt), export_folder(out):
        raise KeyboardInterrupt
    assert (out / "file").read_text() == "whole" and list(out.parent.iterdir()) == [out]


def test_an_earlier_export_is_replaced_and_a_killed_one_is_no_hindrance(tmp_path):
    out = tmp_path / "out"
    (tmp_path / ".out.partial" / "sub").mkdir(parents=True)
    (tmp_path / ".out.partial" / "left").symlink_to(tmp_path / "elsewhere")
    write(out, "first")
    write(out, "second")
    assert (out / "file").read_text() == "second"
    assert sorted(path.name for path in out.iterdir()) == [ABOUT, "file"]
    assert list(tmp_path.iterdir()) == [out]


def test_nothing_of_others_is_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "false").mkdir()
    (tmp_path / "false" / ABOUT).write_text("[]")
    for name, said in (("mine", "other files"), ("false", "other files"), ("file", "no folder"), ("link", "no folder")):
        with pytest.raises(SettingError, match=said), export_folder(tmp_path / name):
            pass
    # A link where the scratch folder goes is not written through.
    (tmp_path / ".out.partial").symlink_to(tmp_path / "mine")
    write(tmp_path / "out", "x")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "x")


def test_two_processes_do_not_write_one_export(tmp_path):
    code = (
        "import sys; from pathlib import Path; from acculturate.export.folder import export_folder\n"
        "with export_folder(Path(sys.argv[1])): print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        with pytest.raises(SettingError, match="Another process is writing"), export_folder(tmp_path / "out"):
            pass
        other.communicate("")
    assert (tmp_path / "out").is_dir()


def test_a_file_that_somebody_put_into_an_export_is_not_lost(tmp_path):
    write(tmp_path / "out", "first")
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(SettingError, match="other files"), export_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_an_export_that_was_set_aside_comes_back(tmp_path):
    """A process was killed between setting the earlier export aside and publishing the new one."""
    out = tmp_path / "out"
    write(out, "whole")
    out.rename(tmp_path / ".out.earlier")
    with pytest.raises(KeyboardInterrupt), export_folder(out):
        raise KeyboardInterrupt
    assert (out / "file").read_text() == "whole" and list(tmp_path.iterdir()) == [out]


def test_a_folder_that_was_published_in_the_meantime_is_not_emptied(tmp_path, monkeypatch):
    """Another process publishes between our opening the scratch folder and our locking it."""
    out, scratch, lock = tmp_path / "out", tmp_path / ".out.partial", folder_module.fcntl.flock
    scratch.mkdir()
    (scratch / "file").write_text("whole")

    def publish_first(handle: int, how: int) -> None:
        scratch.rename(out)
        lock(handle, how)

    monkeypatch.setattr(folder_module.fcntl, "flock", publish_first)
    with pytest.raises(SettingError, match="Another process is writing"), export_folder(out):
        pass
    assert (out / "file").read_text() == "whole"


def test_a_place_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(SettingError, match="file' is no folder; name another"),
        export_folder(tmp_path / "file" / "out"),
    ):
        pass


def test_a_killed_process_leaves_the_earlier_export(tmp_path):
    out = tmp_path / "out"
    write(out, "whole")
    code = (
        "import sys; from pathlib import Path; from acculturate.export.folder import export_folder\n"
        "with export_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(out)], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        other.kill()
    assert (out / "file").read_text() == "whole"
    write(out, "next")
    assert (out / "file").read_text() == "next" and list(tmp_path.iterdir()) == [out]
