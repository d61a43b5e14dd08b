"""What a terminal gets: sentences that steer nothing, in any encoding, and an answer to Ctrl-C."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import acculturate
from rich.table import Table

from acculturate.cli import interruption
from acculturate.cli import main as cli
from acculturate.cli.printing import print_json
from acculturate.cli.terminal import Console, complain, say, warn_in_sentences
from acculturate.legible import STEERING, legible
from acculturate.performance import machine
from acculturate.runs.progress import ProgressBar

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202eEvil\u2066\rX"
LAST = "acculturate: interrupted; give the same command again to go on from here."


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of the command line in this process."""
    monkeypatch.setattr(sys, "argv", ["acculturate", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return int(done.value.code or 0)


def search(tiny: str, out: Path, **changes: object) -> list[object]:
    settings = {"model": tiny, "country": "USA", "protocol": "paper", "optimizer": "de", "population": 5} | changes
    settings |= {"heldout-formats": ""}
    return ["align", *(part for key, value in settings.items() for part in (f"--{key}", value)), "--out", out]


class TestEncoding:
    @pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
    def test_what_cannot_be_shown_is_replaced(self, encoding, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        shown = acculturate("list", "countries")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "Saudi Arabia" in shown.stdout and "?" in shown.stdout

    def test_json_loses_nothing(self, monkeypatch):
        printed = []
        for encoding in ("utf-8", "ascii"):
            monkeypatch.setenv("PYTHONIOENCODING", encoding)
            printed.append(acculturate("list", "optimizers", "--format", "json"))
        assert [one.returncode for one in printed] == [0, 0]
        assert json.loads(printed[0].stdout) == json.loads(printed[1].stdout)

    def test_json_spells_out_what_steers(self, monkeypatch):
        for encoding in ("utf-8", "ascii"):
            stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
            monkeypatch.setattr(sys, "stdout", stream)
            print_json({"é\U0001f30d": HOSTILE, "path": "caf\udce9"})
            text = stream.buffer.getvalue().decode(encoding)
            assert json.loads(text) == {"é\U0001f30d": HOSTILE, "path": "caf\udce9"}
            assert not STEERING.search(text)

    def test_a_run_ends_well_where_output_is_ascii(self, tiny, tmp_path, monkeypatch):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        assert run(monkeypatch, *search(tiny, tmp_path / "run", budget=5)) == 0
        assert b"Report: " in streams[0].buffer.getvalue()
        assert b"searching" in streams[1].buffer.getvalue()

    def test_an_error_is_told_where_output_is_ascii(self, monkeypatch):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stderr", stream)
        assert run(monkeypatch, "score", "--model", "/Zürich") == 2
        stream.flush()
        assert stream.buffer.getvalue().startswith(b"acculturate: Model '/Z?rich' does not exist")


class TestControlCharacters:
    def test_every_way_of_writing_spells_them_out(self, capsys):
        table = Table(HOSTILE)
        table.add_row(HOSTILE)
        Console().print(table)
        Console().print(HOSTILE)
        say(HOSTILE)
        complain(HOSTILE)
        with ProgressBar(10, Console(stderr=True)) as bar:
            bar.stage(HOSTILE)
        shown = capsys.readouterr()
        for text in (shown.out, shown.err):
            assert not STEERING.search(text)
        assert shown.out.count("\\x1b]0;owned") >= 3 and shown.err.count("\\u202eEvil\\u2066") == 2

    def test_colours_of_our_own_stay(self, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stdout", stream)
        Console().print(f"{HOSTILE}", style="bold")
        assert stream.getvalue().startswith("\x1b[1m\\x1b]0;owned")

    def test_text_in_brackets_is_no_markup(self, capsys):
        Console().print("[red]Evil[/red] :smile:")
        assert capsys.readouterr().out == "[red]Evil[/red] :smile:\n"

    def test_line_breaks_tabs_and_letters_are_text(self):
        assert legible("a\tb\nقطر Zürich 中国") == "a\tb\nقطر Zürich 中国"

    @pytest.mark.parametrize(
        "arguments",
        [
            ("score", "--model", f"/{HOSTILE}"),
            ("score", "--item-means", f"/{HOSTILE}.csv"),
            ("align", "--country", HOSTILE),
            ("align", "--country", "USA", "--config", f"/{HOSTILE}.yaml"),
            ("align", "--country", "USA", "--option", HOSTILE),
            ("list", "countries", "--targets", HOSTILE),
            ("compare", f"/{HOSTILE}"),
            ("list", "models", "--format", HOSTILE),
            (HOSTILE,),
            ("score", f"--{HOSTILE}"),
            ("bench", "--shape", HOSTILE),
        ],
    )
    def test_a_message_repeats_them_spelt_out(self, arguments, capsys, monkeypatch):
        assert run(monkeypatch, *arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.count("\n") == 1 and shown.err.startswith("acculturate: ")
        assert not STEERING.search(shown.err)


class TestInterruption:
    def test_a_search_says_how_to_go_on(self, tiny, tmp_path):
        command = [sys.executable, "-m", "acculturate", *map(str, search(tiny, tmp_path / "run", budget=100_000))]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as process:
            journal = tmp_path / "run" / "journal.jsonl"
            while not journal.exists() and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate()
        assert process.returncode == 130
        assert told.splitlines()[-1] == LAST and "Traceback" not in told

    @pytest.mark.parametrize("module", ["typer", "acculturate.runs.spec", "torch"])
    def test_libraries_are_being_loaded(self, module, tmp_path):
        script = (
            "import sys\n"
            "class CtrlC:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name == {module!r}: raise KeyboardInterrupt\n"
            "sys.meta_path.insert(0, CtrlC())\n"
            f"sys.argv = ['acculturate', 'align', '--country', 'USA', '--out', {str(tmp_path / 'run')!r}]\n"
            "from acculturate.__main__ import main\n"
            "main()\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", f"\n{LAST}\n")

    def test_only_what_goes_on_is_told_to_go_on(self):
        assert interruption.farewell(["steer", "runs/sau"]).endswith("to go on from here.")
        for arguments in ([], ["score", "--model", "align"], ["align", "--dry-run"], ["instrument", "fit"]):
            assert interruption.farewell(arguments) == "interrupted."


class TestStreams:
    def test_closed_ones_are_no_file_of_the_run(self, tiny, tmp_path, monkeypatch, capsys):
        assert run(monkeypatch, *search(tiny, tmp_path / "open", budget=10)) == 0
        closed = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "acculturate"]
        arguments = search(tiny, tmp_path / "closed", budget=10)
        assert subprocess.run([*closed, *map(str, arguments)], timeout=120).returncode == 0
        for name in ("result.json", "journal.jsonl", "spec.json", "prompt.safetensors", "report.html"):
            assert (tmp_path / "closed" / name).read_bytes() == (tmp_path / "open" / name).read_bytes(), name

    def test_a_full_disk_is_a_sentence(self):
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        with Path("/dev/full").open("w") as full:
            command = [sys.executable, "-m", "acculturate", "list", "countries"]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("acculturate: The system refused")

    def test_a_reader_that_has_read_enough_is_no_mistake(self):
        for arguments in (("list", "countries"), ("list", "countries", "--format", "json")):
            command = [sys.executable, "-m", "acculturate", *arguments]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None and process.stderr is not None
                process.stdout.close()
                assert process.stderr.read() == ""
            assert process.returncode == 0

    @pytest.mark.parametrize("flag", ["--model", "--country", "--targets", "--text", "--warm-start", "--option"])
    def test_bytes_that_are_no_text_are_a_sentence(self, flag, capsys, monkeypatch):
        assert run(monkeypatch, "align", "--country", "USA", flag, "caf\udce9") == 2
        assert "caf\\udce9" in capsys.readouterr().err


class TestWarnings:
    def test_ours_are_sentences_and_those_of_libraries_are_hidden(self, capsys):
        def module(name: str) -> Callable[..., None]:
            space: dict = {"__name__": name}
            exec("import warnings\ndef f(*args, **more): warnings.warn(*args, **more)", space)
            return space["f"]

        ours, theirs = module("acculturate.example"), module("torch.example")
        with warnings.catch_warnings():
            warn_in_sentences()
            for level in (1, 2, 9):
                ours(f"Look\nhere {HOSTILE}", stacklevel=level)
            ours("soon gone", FutureWarning)
            theirs("for developers")
            theirs("for developers too", stacklevel=2)
        assert capsys.readouterr().err == f"acculturate: warning: Look here {legible(HOSTILE.replace(chr(13), ' '))}\n"

    def test_an_emulated_precision_is_said_before_the_run(self, tiny, capsys, monkeypatch):
        monkeypatch.setattr(machine, "cost_of", lambda dtype: 64.6)
        said = "acculturate: warning: This processor computes in bfloat16 about 65 times as slowly as in float32; "
        for verb in ("score", "audit"):
            more = ["--no-personas", "--short"] if verb == "audit" else []
            assert run(monkeypatch, verb, "--model", tiny, "--dtype", "bfloat16", "--device", "cpu", *more) == 0
            assert capsys.readouterr().err == f"{said}give --dtype float32, or use a GPU.\n"
        assert run(monkeypatch, "score", "--model", tiny) == 0
        assert capsys.readouterr().err == ""

    def test_a_precision_is_slow_only_where_it_is(self, monkeypatch):
        for times, slow in ((0.5, False), (7.9, False), (8.0, True), (60.0, True)):
            monkeypatch.setattr(machine, "cost_of", lambda dtype, times=times: times)
            assert (machine.slow_precision("bfloat16", "cpu") is not None) == slow
            assert machine.slow_precision("float32", "cpu") is machine.slow_precision("auto", "cpu") is None
            assert machine.slow_precision("float16", "cuda") is None

    def test_a_product_is_timed_in_every_precision(self):
        assert all(machine.cost_of(dtype) > 0 for dtype in ("bfloat16", "float16"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("instrument", "fit", "no.csv", "--out", "x.toml", "--seed", -1), "--seed is -1; expected a number from 0"),
        (("oracle", "no", "--rate", "1e308"), "rate is 1e+308; expected a number above 0 and up to 1,000"),
        (("oracle", "no", "--rate", "nan"), "rate is nan"),
        (("oracle", "no", "--steps", 0), "steps are 0; expected a whole number from 1 to 100,000"),
        (("oracle", "no", "--steps", 10**30), "expected a whole number from 1 to 100,000"),
        (("score", "--model", "no", "--constant", "1e308"), "--constant is 1e+308; expected a number from -1,000"),
        (("score", "--model", "no", "--constant", "nan"), "--constant is nan"),
        (
            ("score", "--item-means", "no.csv", "--formats", "digits/options-first/0/en"),
            "leave --formats out, or give --model",
        ),
        (("score", "--item-means", "no.csv", "--answers", "cloze"), "--answers is about how a model is asked"),
        (("score", "--item-means", "no.csv", "--unbalanced"), "leave --unbalanced out"),
        (("score", "--item-means", "no.csv", "--trust-remote-code"), "leave --trust-remote-code out"),
        (("score", "--item-means", "no.csv", "--prompt", "runs/sau"), "leave --prompt out, or give --model"),
        (("score", "--item-means", "~nobody9/m.csv"), "no home directory for the '~'"),
        (("steer", "no", "--set", "PDI=8_0", "--out", "o"), "no finite number"),
        (("steer", "no", "--set", "PDI=80", "--out", "o", "--budget", -1), "--budget is -1"),
        (("steer", "no", "--set", "PDI=inf", "--out", "o"), "no finite number"),
        (("bench", "--tokens", 0), "--tokens is 0; expected a number from 1 to 512"),
        (("bench", "--repeats", 10**9), "--repeats is 1000000000"),
        (("bench", "--population", -1), "--population is -1"),
        (("align", "--country", "USA", "--budget", "twelve"), "'--budget': expected a whole number; see: acculturate"),
        (("align", "--country", "USA", "--spread", "wide"), "'--spread': expected a number; see: acculturate align"),
        (("align", "--country", "USA", "--seed", "9" * 5000), "--seed"),
        (("align", "--country", "USA", "--constant", "1e308"), "'constant'"),
        (("align", "--country", "USA", "--anchor", "nan"), "'anchor'"),
        (("align", "--country", "USA", "--mass-penalty", "1e308"), "'mass_penalty'"),
        (("align", "--country", "USA", "--out", "o", "--warm-start", "~nobody9/run"), "no home directory for the '~'"),
        (("pareto", "--country", "USA", "--out", "o", "--against", "~nobody9/q.csv"), "no home directory"),
        (("align", "--no-such-flag"), "No such option: --no-such-flag"),
        (("algin",), "No such command 'algin'"),
    ],
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, tuple) else "",
)
def test_a_number_or_a_path_that_is_none_is_one_sentence(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert said in shown.err and len(shown.err) < 450
    assert list(tmp_path.iterdir()) == []


def test_no_arguments_are_a_question_for_help(capsys, monkeypatch):
    assert run(monkeypatch) == 2
    assert "Usage: acculturate" in capsys.readouterr().err


def test_a_lack_of_memory_is_a_sentence(capsys, monkeypatch):
    monkeypatch.setattr(cli, "app", lambda **_: (_ for _ in ()).throw(MemoryError()))
    assert run(monkeypatch) == 2
    assert capsys.readouterr().err.startswith("acculturate: There is not enough memory")
