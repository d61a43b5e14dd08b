"""Trackers against the real packages, offline: one tracker run for a run that is interrupted, and no search lost."""

from __future__ import annotations

import json
import shutil
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import call, settings
from folders import bytes_of

import acculturate as ac
from acculturate.errors import UserError
from acculturate.files.run_directory import RunDirectory
from acculturate.runs.trackers import tracker as trackers
from acculturate.runs.trackers.tracker import FILE, TRACKERS, Tracker
from acculturate.search.callbacks import Callback
from acculturate.search.history import Generation, generations

INSTALLED = ("wandb", "mlflow", "tensorboard")
FEW = {"protocol": "paper", "optimizer": "de", "population": 4, "budget": 16, "baselines": ()}
OWN = (FILE, "tensorboard/")


class Stumble(Callback):
    """An exception after the second generation, as a crash would be."""

    def generation(self, generation: Generation) -> None:
        if generation.generation == 2:
            raise RuntimeError("stumbled")


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything that a tracker keeps is in the test's folder, and none goes online."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    yield
    import wandb

    wandb.teardown()


def aligned(tiny: str, out: Path, *callbacks: Callback, **changes: Any) -> ac.Run:
    return ac.align(tiny, "USA", out=out, callbacks=callbacks, **{**FEW, **changes})


def wandb_records(folder: Path) -> list[Any]:
    """Every record of the offline runs in a folder, oldest first: they stand in a log of LevelDB's form."""
    from wandb.proto.wandb_internal_pb2 import Record

    records = []
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        content, at, parts = path.read_bytes(), 7, b""
        while at + 7 <= len(content):
            if 32768 - at % 32768 < 7:  # no header crosses the end of a block
                at += 32768 - at % 32768
                continue
            _, length, kind = struct.unpack("<IHB", content[at : at + 7])
            parts += content[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):  # whole, or the last part
                records.append(Record.FromString(parts))
                parts = b""
    return records


def wandb_view(folder: Path) -> dict[str, Any]:
    records = wandb_records(folder)
    history = [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in r.history.item}
               for r in records if r.WhichOneof("record_type") == "history"]  # fmt: skip
    began = [r.run for r in records if r.WhichOneof("record_type") == "run"]
    summary = {item.key or item.nested_key[0]: json.loads(item.value_json)
               for r in records if r.WhichOneof("record_type") == "summary" for item in r.summary.update}  # fmt: skip
    return {
        "ids": {run.run_id for run in began},
        "settings": {item.key: json.loads(item.value_json) for item in began[0].config.update},
        "steps": [(row["_step"], row["evaluations"], row["best"]) for row in history if "evaluations" in row],
        "verdict": summary["verdict"],
        "kept": {entry.path for r in records if r.WhichOneof("record_type") == "request"
                 for entry in r.request.log_artifact.artifact.manifest.contents}
                | {entry.path for r in records if r.WhichOneof("record_type") == "artifact"
                   for entry in r.artifact.manifest.contents},
    }  # fmt: skip


def mlflow_view(_: Path) -> dict[str, Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    experiments = client.search_experiments(filter_string="name = 'acculturate'")
    runs = client.search_runs([experiments[0].experiment_id])
    run = runs[0]
    best = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "best")}
    spent = client.get_metric_history(run.info.run_id, "evaluations")
    assert run.info.status == "FINISHED"
    assert "mlflow.user" not in run.data.tags
    return {
        "ids": {one.info.run_id for one in runs},
        "settings": run.data.params,
        "steps": [(one.step, one.value, best[one.step]) for one in sorted(spent, key=lambda one: one.step)],
        "verdict": run.data.tags["verdict"],
        "kept": {one.path for one in client.list_artifacts(run.info.run_id)},
    }


def _read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "run" / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    return read.Reload()


def tensorboard_view(folder: Path) -> dict[str, Any]:
    read = _read(folder)
    text = read.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    best = {one.step: one.value for one in read.Scalars("best")}
    return {
        "ids": {"tensorboard"},
        "settings": json.loads("\n".join(line.removeprefix("    ") for line in text.splitlines())),
        "steps": [(one.step, one.value, best[one.step]) for one in read.Scalars("evaluations")],
        "verdict": read.Tensors("verdict/text_summary")[0].tensor_proto.string_val[0].decode(),
        "kept": None,
    }


VIEWS = {"wandb": wandb_view, "mlflow": mlflow_view, "tensorboard": tensorboard_view}


def without_trackers(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in bytes_of(folder).items() if not name.startswith(OWN)}


def test_an_interrupted_run_goes_on_in_the_same_tracker_run(tiny, tmp_path) -> None:
    plain = aligned(tiny, tmp_path / "plain")
    with pytest.raises(RuntimeError, match="stumbled"):
        # It stumbles before the trackers hear of the second generation, which is on disk: they catch up.
        aligned(tiny, tmp_path / "run", Stumble(), *map(Tracker, INSTALLED))
    run = aligned(tiny, tmp_path / "run", *map(Tracker, INSTALLED))
    assert without_trackers(run.path) == without_trackers(plain.path)
    assert set(json.loads((run.path / FILE).read_text())) == set(INSTALLED)
    curve = [(i, float(p.evaluations), p.best) for i, p in enumerate(run.record.search.curve, start=1)]
    for name in INSTALLED:
        view: Mapping[str, Any] = VIEWS[name](tmp_path)
        assert len(view["ids"]) == 1, name
        assert view["steps"] == [(step, spent, pytest.approx(best)) for step, spent, best in curve], name
        assert view["verdict"] == run.verdict.kind
        assert view["kept"] in (None, {"result.json", "report.html"}), name
        assert int(view["settings"]["budget"]) == 16 and view["settings"]["model"] == Path(tiny).name
        assert str(tmp_path) not in str(view["settings"]) and tiny not in str(view["settings"]), name


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory) -> Path:
    """A run that was not tracked."""
    return aligned(tiny, tmp_path_factory.mktemp("finished") / "run").path


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_finished_run_is_logged_once_and_whole(run, tmp_path) -> None:
    for _ in range(2):
        Tracker("tensorboard").finished(run)
    view = tensorboard_view(tmp_path)
    assert [step for step, *_ in view["steps"]] == [1, 2, 3, 4]
    assert len(list((run / "tensorboard").iterdir())) == 1


def _followed(tracker: Tracker, run: Path) -> None:
    """Tell a tracker what a run tells."""
    tracker.started(run)
    tracker.resumed(0)
    for generation in generations(RunDirectory(run)):
        assert tracker.generation(generation) is None
    tracker.finished(run)


def test_a_tracker_that_cannot_be_reached_is_one_warning(run, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for name, why in (("wandb", "nobody is logged in; call 'wandb login', or set WANDB_MODE=offline"), ("mlflow", "")):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            _followed(Tracker(name), run)
        ours = [str(one.message) for one in said if str(one.message).startswith("The tracker ")]
        assert len(ours) == 1 and why in ours[0] and ours[0].endswith("; the run goes on without it.")


@pytest.mark.parametrize("event", ["begin", "log", "finish"])
def test_a_library_that_breaks_at_any_event_is_let_go(event, run, monkeypatch) -> None:
    from acculturate.runs.trackers.tensorboard_backend import TensorBoardBackend

    calls = []

    def broken(*_: object) -> None:
        calls.append(event)
        raise OSError("No space left\non device")

    monkeypatch.setattr(TensorBoardBackend, event, broken)
    with pytest.warns(UserWarning, match=r"tensorboard failed \(No space left\); the run goes on") as said:
        _followed(Tracker("tensorboard"), run)
    assert len(said) == len(calls) == 1


@pytest.mark.slow
def test_every_kind_of_run_is_summed_up(tiny, tmp_path) -> None:
    few = {"protocol": "paper", "population": 4, "baselines": ()}
    told = lambda: [Tracker("tensorboard")]  # noqa: E731
    ac.multitask(tiny, ["USA", "CHN"], out=tmp_path / "many", callbacks=told(), optimizer="de", budget=16, **few)
    front = {key: value for key, value in few.items() if key != "baselines"}
    ac.pareto(tiny, "USA", out=tmp_path / "front", callbacks=told(), budget=16, **front)
    searched = ac.align(tiny, "USA", out=tmp_path / "dfgn", optimizer="dfgn", budget=24, **few)
    searched.steer({"PDI": 60}, out=tmp_path / "steered", budget=4, callbacks=told())
    for name, tag in (("many", "CHN/trained/distance"), ("front", "closest/trained/distance"), ("steered", "miss/pdi")):
        (tmp_path / name).rename(tmp_path / "run")
        read = _read(tmp_path)
        assert tag in read.Tags()["scalars"] and "best" in read.Tags()["scalars"], name
        (tmp_path / "run").rename(tmp_path / f"{name}-read")


def test_the_verbs_take_trackers(tiny, tmp_path, monkeypatch, capsys) -> None:
    flags = [f"--{key}={value}" for key, value in settings(tiny, budget=5, country="USA").items() if key != "targets"]
    done = call(monkeypatch, "align", *flags, "--baselines=", "--out", "run", "--track", "tensorboard", "--format=json")
    assert done == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "align"
    assert tensorboard_view(tmp_path)["steps"]
    for words, said in (
        (("--track", "wandbb"), "There is no tracker 'wandbb' (nearest: 'wandb'); expected wandb, mlflow, "),
        (("--track", "mlflow: "), "The project ' ' of mlflow needs a name"),
        (("--track", "mlflow", "--track", "mlflow:b"), "--track names a tracker twice"),
    ):
        assert call(monkeypatch, "align", *flags, "--out", "other", *words) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", TRACKERS)
def test_a_package_that_is_not_installed_is_a_sentence(name, monkeypatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=rf"The tracker {name} is not installed; install acculturate\[{name}\]\."):
        Tracker(name)


@pytest.mark.slow  # it asks for an older Pillow than the pins have: make check-slow installs it without that
def test_trackio_keeps_a_run_on_this_machine(tiny, tmp_path, capsys) -> None:
    trackio = pytest.importorskip("trackio")
    with pytest.raises(RuntimeError, match="stumbled"):
        aligned(tiny, tmp_path / "run", Stumble(), Tracker("trackio", project="here"))
    run = aligned(tiny, tmp_path / "run", Tracker("trackio", project="here"))
    assert "rackio" not in capsys.readouterr().out
    from trackio.sqlite_storage import SQLiteStorage

    (tracked,) = trackio.Api().runs("here")
    assert tracked.name.startswith("run-")
    assert tracked.config["budget"] == 16 and tracked.config["model"] == Path(tiny).name
    logs = SQLiteStorage.get_logs("here", tracked.name, run_id=tracked.id)
    steps = [row["step"] for row in logs if "evaluations" in row]
    assert steps == list(range(1, len(run.record.search.curve) + 1))
    assert [row["verdict"] for row in logs if "verdict" in row] == [run.verdict.kind]
