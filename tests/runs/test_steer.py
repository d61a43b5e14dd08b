"""Steering on a tiny random model: what a finished run is taken for, what a direction moves, and a user's mistakes."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import kill_in_search
from safetensors.numpy import load_file

from acculturate.cli import main as cli
from acculturate.errors import UserError
from acculturate.files.run_directory import RunDirectory
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import read_prompt
from acculturate.runs.align import align
from acculturate.runs.score import Asking, score_model
from acculturate.runs.spec import make_spec
from acculturate.runs.steer import Steering, read_run, steer, steering_moves, steering_problem
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.search.optimizers.dfgn import DFGN
from acculturate.search.optimizers.dfgn_model import structured
from acculturate.search.optimizers.dfgn_state import DFGNState, corrected
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.response import Response

FORMAT = "digits/question-first/0/en/ascending"


def settings(tiny: str, **changes: object) -> dict[str, object]:
    return {
        "model": tiny,
        "country": "SAU",
        "targets": "country-tool-estimate",
        "protocol": "paper",
        "heldout_formats": ["letters/question-first/1/en/ascending"],
        "optimizer": "dfgn",
        "optimizer_options": {"h": 24, "memory": 24, "scale": 0.001},
        "tokens": 2,
        "population": 5,
        "budget": 57,
        **changes,
    }


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("steering") / "run"
    align(make_spec(settings(tiny)), out)
    return out


@pytest.fixture(scope="module")
def wanted(run: Path) -> dict[str, float]:
    """Scores a good way from where the run's prompt is."""
    scores = read_run(run).scores
    return {"PDI": scores["pdi"] + 15, "idv": scores["idv"] - 10}


@pytest.fixture(scope="module")
def steered(run, wanted, tmp_path_factory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("steering") / "steered"
    before = digest(run)
    record = steer(run, wanted, out, budget=24).to_json()
    assert digest(run) == before, "the run's directory is only read"
    return out, record


def by_id(record: dict) -> dict[str, dict]:
    return {row["id"]: row for row in record["rows"]}


class TestRecord:
    def test_the_prompt_is_nearer_to_the_wanted_scores_than_the_runs(self, steered):
        rows = by_id(steered[1])
        assert rows["steered"]["train"]["loss"] < 0.8 * rows["run"]["train"]["loss"]
        assert rows["run"]["train"]["loss"] == pytest.approx(25, abs=0.01)

    def test_the_table_says_what_was_wanted_and_missed(self, steered, run, wanted):
        record, kept = steered[1], read_run(run).scores
        for row in record["dimensions"]:
            ident = row["id"]
            assert row["wanted"] == {**kept, "pdi": wanted["PDI"], "idv": wanted["idv"]}[ident]
            assert row["run"] == pytest.approx(kept[ident], abs=1e-3)
            assert row["trained_miss"] == pytest.approx(row["trained"] - row["wanted"])
            assert row["heldout_miss"] == pytest.approx(row["heldout"] - row["wanted"])
        assert record["set"] == {"pdi": wanted["PDI"], "idv": wanted["idv"]}
        assert record["search"]["evaluations"] == 8 + 24

    def test_the_prompt_scores_in_a_new_respondent_as_the_record_says(self, steered, tiny):
        out, record = steered
        asking = Asking((FORMAT,), balanced=False)
        found = score_model(load_instrument("vsm2013"), ModelChoice(tiny, dtype="float32"), asking, prompt=out)
        expected = {row["id"]: row["trained"] for row in record["dimensions"]}
        assert found.scores == pytest.approx(expected, abs=1e-3)

    def test_the_sentence_gives_the_rows_figures(self, steered):
        rows = by_id(steered[1])
        for row in rows.values():
            for role in ("train", "heldout"):
                assert f"{row[role]['mae']:.1f}" in steered[1]["sentences"][0]

    def test_the_same_again_is_returned_as_it_is(self, steered, run, wanted):
        out, record = steered
        before = digest(out)
        assert steer(run, wanted, out, budget=24).to_json() == record
        assert digest(out) == before

    def test_another_directory_gets_the_same_bytes(self, steered, run, wanted, tmp_path):
        steer(run, wanted, tmp_path / "again", budget=24)
        assert digest(tmp_path / "again") == digest(steered[0])

    def test_free_leaves_the_other_dimensions_alone(self, run, wanted, tmp_path):
        record = steer(run, wanted, tmp_path / "free", free=True, budget=0).to_json()
        assert {row["id"] for row in record["dimensions"] if row["wanted"] is None} == {"mas", "uai", "lto", "ivr"}
        assert all(row["trained_miss"] is None for row in record["dimensions"] if row["wanted"] is None)
        rows = by_id(record)
        assert rows["steered"]["train"]["loss"] < rows["run"]["train"]["loss"]


@pytest.mark.parametrize("after, at", [("checkpoint", 8)])
def test_a_killed_steering_ends_byte_for_byte_like_an_uninterrupted_one(steered, run, wanted, tmp_path, after, at):
    scores = (f"--set={name}={value!r}" for name, value in wanted.items())
    arguments, cut = ("steer", run, *scores, "--budget", 24), tmp_path / "cut"
    kill_in_search(*arguments, out=cut, generations=1, after=after)
    assert not (cut / "steer.json").exists()

    class Resumed(Callback):
        def resumed(self, evaluations):
            counts.append(evaluations)

    counts: list[int] = []
    steer(run, wanted, cut, budget=24, callbacks=Callbacks.of([Resumed()]))
    # With its first line but no checkpoint there is nothing to go on from.
    assert counts[0] == at
    assert digest(cut) == digest(steered[0])


class TestDirections:
    def test_file_holds_vectors_in_embedding_units_with_their_effects(self, steered, run):
        out, record = steered
        stored = load_file(out / "directions.safetensors")
        assert stored["directions"].shape == (6, *read_prompt(run).vectors.shape)
        assert stored["directions"].dtype == np.float32
        assert np.allclose(stored["measured"], record["effects"]["measured"], atol=1e-6)
        assert np.asarray(record["effects"]["heldout"]).shape == (6, 6)

    def test_measured_effects_agree_with_predicted_ones_over_a_small_step(self, run, tiny):
        found = read_run(run)
        steering = Steering(found, steering_problem(found, {"pdi": 50.0}, free=False), Respondent(ModelChoice(tiny)))
        directions = steering.directions(steering.state, step=0.2)
        assert np.allclose(directions.predicted, np.eye(6), atol=1e-6)
        assert np.allclose(directions.measured, directions.predicted, atol=0.1)

    def test_a_step_of_several_points_moves_its_own_dimension_most(self, steered):
        measured = np.array(steered[1]["effects"]["measured"])
        assert np.array_equal(np.abs(measured).argmax(axis=1), np.arange(6))
        assert np.diag(measured).mean() > 0.6


def model(slopes: np.ndarray, dim: int = 20) -> tuple[Loss, DFGNState]:
    """A model of known slopes around flat answers; the instrument is the built-in one, in one format."""
    instrument = load_instrument("vsm2013")
    survey = Loss(instrument.values(), instrument.weights(), instrument.constants(), np.full(6, 50.0), ((0,),))
    state = DFGN(survey).init(np.zeros((1, dim)), 0)
    directions = np.random.default_rng(0).standard_normal((len(slopes), dim))
    flat = structured(Response(np.full((1, 24, 5), np.log(0.2)), np.full((1, 24), 0.5)))
    values = {
        "center_answers": flat,
        "directions": directions,
        "slopes": np.concatenate([slopes, np.zeros((*slopes.shape[:-1], 1))], axis=-1),
        "coefficients": np.zeros((0, len(slopes))),
    }
    return survey, DFGNState(**{**vars(state), **values})


def test_moves_undo_each_others_effects_by_the_shortest_way():
    survey, state = model(np.random.default_rng(1).standard_normal((12, 1, 24, 5)))
    moves, predicted = steering_moves(survey, state)
    assert np.allclose(predicted, np.eye(6))
    # A tiny step in the exact model, softmax and all.
    step = 1e-4
    center = state.center_answers[..., :-1]
    moved = center + np.tensordot(step * moves, state.slopes[..., :-1], axes=1)
    moved = moved - np.logaddexp.reduce(moved, axis=-1, keepdims=True)
    effects = np.stack([survey.scores(one)[0] - survey.scores(center)[0] for one in moved]) / step
    assert np.allclose(effects, np.eye(6), atol=1e-2)
    # Whatever can be added without an effect on the scores lies across it, or the move would not be the shortest.
    effect = np.stack([steering_effect(survey, state, k) for k in range(12)], axis=1)
    silent = np.linalg.svd(effect)[2][6:]
    assert np.allclose((silent @ state.directions) @ (moves @ state.directions).T, 0, atol=1e-5)


def steering_effect(survey: Loss, state: DFGNState, k: int) -> np.ndarray:
    """Points per unit of direction k, by differences."""
    center = state.center_answers[..., :-1]
    moved = center + 1e-6 * state.slopes[k][..., :-1]
    moved = moved - np.logaddexp.reduce(moved, axis=-1, keepdims=True)
    return (survey.scores(moved)[0] - survey.scores(center)[0]) / 1e-6


def test_dimensions_that_only_move_together_get_short_moves_and_say_so():
    instrument = load_instrument("vsm2013")
    slopes = np.random.default_rng(1).standard_normal((12, 1, 24, 5))
    for item in ("m01", "m04", "m06", "m09"):  # IDV does not move at all
        slopes[:, 0, instrument.item_ids.index(item)] = 0
    survey, state = model(slopes)
    moves, predicted = steering_moves(survey, state)
    assert np.allclose(predicted[1], 0)
    assert np.allclose(np.delete(np.diag(predicted), 1), 1)
    assert np.isfinite(moves).all()


def test_a_corrected_model_reproduces_what_the_moves_did():
    rng = np.random.default_rng(2)
    _, state = model(rng.standard_normal((12, 1, 24, 5)))
    moves = rng.standard_normal((3, 12))
    seen = [Evaluation(Response(rng.standard_normal((1, 24, 5)), np.ones((1, 24))), np.zeros((1, 6)), 0.0)] * 3
    after = corrected(state, moves, seen)
    did = np.stack([structured(one.response) for one in seen]) - state.center_answers
    assert np.allclose(np.tensordot(moves, after.slopes, axes=1), did)
    across = np.linalg.svd(moves)[2][3:]  # what was not tried is left as it was
    assert np.allclose(np.tensordot(across, after.slopes - state.slopes, axes=1), 0)


def test_the_newest_checkpoint_is_read_without_changing_anything(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    with directory.claimed({"seed": 1}):
        for n in (1, 2):
            directory.append({"generation": n})
            directory.checkpoint(n, {"x": np.full(2, float(n))}, {"n": n})
        directory.append({"generation": 3})
        (directory.path / "checkpoints" / "000003.safetensors").write_bytes(b"cut off")
    before = digest(directory.path)
    arrays, scalars = directory.newest() or ({}, {})
    assert (arrays["x"].tolist(), scalars) == ([2.0, 2.0], {"n": 2})
    assert digest(directory.path) == before
    assert RunDirectory(tmp_path / "none").newest() is None


class TestMistakes:
    @pytest.fixture
    def fails(self, capsys, monkeypatch, run, tmp_path):
        """What the command line says: one sentence, exit code 2, and nothing written."""

        def call(*arguments: object, of: Path = run, out: Path = tmp_path / "o") -> str:
            command = ["acculturate", "steer", of, "--out", out, *arguments]
            monkeypatch.setattr(sys, "argv", list(map(str, command)))
            with pytest.raises(SystemExit) as exit_:
                cli.main()
            shown = capsys.readouterr()
            assert exit_.value.code == 2
            assert shown.out == ""
            assert shown.err.startswith("acculturate: ")
            assert shown.err.count("\n") == 1
            assert not (tmp_path / "o").exists()
            return shown.err

        return call

    @pytest.mark.parametrize(
        "setting, said",
        [
            ("PDJ=80", "nearest: 'pdi'"),
            ("PDI=high", "no finite number"),
            ("PDI=nan", "no finite number"),
            ("PDI", "NAME=VALUE"),
            ("PDI=500", "-190 to 290"),
        ],
    )
    def test_a_wrong_score(self, fails, setting, said):
        assert said in fails("--set", setting)

    def test_a_score_given_twice(self, fails):
        assert "twice" in fails("--set", "PDI=80", "--set", "pdi=70")

    def test_no_score(self, fails):
        assert "--set" in fails()

    def test_a_negative_budget(self, fails):
        assert "budget" in fails("--set", "PDI=80", "--budget", -1)

    def test_no_run(self, fails, tmp_path):
        assert "There is no run" in fails("--set", "PDI=80", of=tmp_path / "nowhere")

    @pytest.fixture
    def copy(self, run, tmp_path) -> Path:
        # Without its checksums, which would notice every change that is made to it here.
        return Path(shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("SHA256SUMS")))

    def test_a_steered_prompt(self, fails, steered):
        assert "holds a steered prompt" in fails("--set", "PDI=40", of=steered[0])

    def test_a_run_that_is_not_finished(self, fails, copy):
        (copy / "result.json").unlink()
        assert "not finished" in fails("--set", "PDI=80", of=copy)

    def test_a_run_of_another_method(self, fails, copy):
        record = json.loads((copy / "spec.json").read_text()) | {"method": "de"}
        (copy / "spec.json").write_text(json.dumps(record))
        assert "made with de" in fails("--set", "PDI=80", of=copy)

    def test_a_run_without_its_checkpoint(self, fails, copy):
        shutil.rmtree(copy / "checkpoints")
        assert "no readable checkpoint" in fails("--set", "PDI=80", of=copy)

    def test_a_directory_that_holds_other_things(self, fails, tmp_path):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "thesis.tex").write_text("x")
        assert "thesis.tex" in fails("--set", "PDI=80", out=tmp_path / "thesis")

    def test_the_runs_own_directory(self, fails, run):
        before = digest(run)
        assert "choose another directory" in fails("--set", "PDI=80", out=run)
        assert digest(run) == before

    def test_a_directory_with_other_scores(self, fails, run, steered):
        assert "choose another directory" in fails("--set", "PDI=81", "--budget", 24, out=steered[0])

    def test_a_model_that_has_changed(self, copy, tmp_path):
        record = json.loads((copy / "spec.json").read_text())
        record["model_identity"]["files_sha256"] = "another"
        (copy / "spec.json").write_text(json.dumps(record))
        with pytest.raises(UserError, match="has changed"):
            steer(copy, {"pdi": 80.0}, tmp_path / "o")
        assert not (tmp_path / "o").exists()


def test_the_command_line_prints_both_tables(steered, run, wanted, capsys, monkeypatch):
    sets = [word for name, value in wanted.items() for word in ("--set", f"{name}={value!r}")]
    command = ["acculturate", "steer", run, *sets, "--budget", 24, "--out", steered[0]]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines()[:-1])) <= 80
    assert f"{wanted['PDI']:.1f} " in shown
    assert "(kept)" in shown
    assert "own, held out" in shown
