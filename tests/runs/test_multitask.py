"""One search for several countries: the joint loss, its prompts, resumption, and a user's mistakes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from acculturate.cli import main as cli
from acculturate.errors import UserError
from acculturate.judge import baselines
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import read_prompt
from acculturate.runs import multitask
from acculturate.runs.multitask import joint_start, multitask_spec, prepare_all, split
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.search.history import Generation
from acculturate.search.loop import fitted_and_validated
from acculturate.search.optimizers.dfgn import DFGN
from acculturate.search.optimizers.dfgn_model import linearised, minimise, structured
from acculturate.search.optimizers.dfgn_parts import Parts
from acculturate.survey.loss import Loss, stacked
from acculturate.survey.response import Response

COUNTRIES = ["USA", "CHN", "IND"]
STAGES = ("loading the model", "laying out the questionnaire")
FILES = ("prompt.safetensors", "result.json", "SHA256SUMS")


def settings(tiny: str, **changes: object) -> dict[str, object]:
    return {
        "model": tiny,
        "country": COUNTRIES,
        "protocol": "paper",
        "heldout_formats": ["letters/question-first/1/en/ascending"],
        "shared_tokens": 2,
        "tokens": 1,
        "population": 5,
        "budget": 90,
        "optimizer_options": {"h": 3, "trials": 2},
        **changes,
    }


@pytest.fixture(scope="module", autouse=True)
def small_baselines():
    """One description of a country's people and one demonstration: baselines would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "DESCRIPTORS", baselines.DESCRIPTORS[:1])
        patch.setattr(baselines, "DEMONSTRATIONS", 1)
        yield


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("run") / "many"
    return out, multitask.multitask(multitask_spec(settings(tiny)), out).to_json()


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


class Stopped(Exception):  # noqa: N818
    pass


def two_views() -> tuple[Loss, Loss, np.ndarray]:
    """Two one-format surveys of two items with options 1 and 3: the second target lacks the first dimension."""
    first = Loss(
        np.array([[1.0, 3.0], [1.0, 3.0]]),
        np.array([[10.0, 0.0], [5.0, -5.0]]),
        np.array([0.0, 50.0]),
        np.array([20.0, 40.0]),
        ((0,),),
    )
    second = replace(first, target=np.array([np.nan, 70.0]))
    # Means: format 0 has 2 and 1.5; format 1 has 3 and 1 (almost).
    p = np.array([[[0.5, 0.5], [0.75, 0.25]], [[1e-12, 1 - 1e-12], [1 - 1e-12, 1e-12]]])
    return first, second, np.log(p)


def test_a_target_for_each_view_by_hand():
    first, second, logprobs = two_views()
    both = stacked([first, second], 1)
    assert both.views == ((0,), (1,))
    scores = both.scores(logprobs)
    # 10 * 2 = 20 and 5 * (2 - 1.5) + 50 = 52.5; 10 * 3 = 30 and 5 * (3 - 1) + 50 = 60
    np.testing.assert_allclose(scores, [[20.0, 52.5], [30.0, 60.0]])
    # |20 - 20| + |52.5 - 40| and, without the missing dimension, |60 - 70|
    np.testing.assert_allclose(both.losses(scores), [12.5, 10.0])
    evaluation = both.evaluate(Response(logprobs, np.ones((2, 2))))
    assert evaluation.loss == pytest.approx(11.25)
    alone = [s.evaluate(Response(logprobs[k : k + 1], np.ones((1, 2)))).loss for k, s in enumerate((first, second))]
    assert evaluation.loss == pytest.approx(np.mean(alone))


def test_the_model_of_the_search_has_the_same_residuals_and_true_slopes():
    first, second, logprobs = two_views()
    both = stacked([first, second], 1)
    logprobs = np.log(0.9 * np.exp(logprobs) + 0.05)
    answers = structured(Response(logprobs, np.ones((2, 2))))
    slopes = np.random.default_rng(0).normal(size=(3, *answers.shape))
    found = linearised(both, answers, slopes, np.zeros(3))
    scores = both.scores(logprobs)
    np.testing.assert_allclose(found.residuals, [scores[0, 0] - 20, scores[0, 1] - 40, scores[1, 1] - 70])
    assert found.loss == pytest.approx(both.losses(scores).mean())
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        moved = linearised(both, answers, slopes, step).residuals
        np.testing.assert_allclose((moved - found.residuals) / 1e-6, found.jacobian[:, k], rtol=1e-3, atol=1e-3)


def test_own_parts_are_probed_together_and_moved_apart():
    parts = Parts(shared=2, count=2)
    z = parts.one_kind(np.arange(1.0, 19.0).reshape(3, 6))
    np.testing.assert_array_equal(z, [[1, 2, 0, 0, 0, 0], [0, 0, 9, 10, 11, 12], [0, 0, 15, 16, 17, 18]])
    slopes = np.arange(1.0, 13.0).reshape(3, 2, 2, 1)
    directions, changes = parts.apart(z, slopes)
    wanted = [z[0], [0, 0, 9, 10, 0, 0], [0, 0, 15, 16, 0, 0], [0, 0, 0, 0, 11, 12], [0, 0, 0, 0, 17, 18]]
    np.testing.assert_array_equal(directions, wanted)
    assert len(changes) == 5
    # A move along an own direction changes that country's answers and nothing else.
    np.testing.assert_array_equal(changes[1, 0], slopes[1, 0])
    assert not changes[1, 1].any()
    np.testing.assert_array_equal(changes[4, 1], slopes[2, 1])
    assert not changes[4, 0].any()


def test_two_countries_that_want_opposite_answers_are_both_served():
    """Linear answers of one item: the shared part alone cannot serve both, the own parts can."""
    survey = Loss(np.array([[1.0, 3.0]]), np.array([[50.0]]), np.array([0.0]), np.array([70.0]), ((0,),))
    both = stacked([survey, replace(survey, target=np.array([130.0]))], 1)
    answers, slopes = np.log(np.full((2, 1, 3), 0.5)), np.zeros((1, 2, 1, 3))
    slopes[0, :, 0] = [-1.0, 1.0, 0.0]
    assert np.abs(minimise(both, answers, slopes, 1e-6)).max() < 1.0
    own = np.zeros((2, 2, 1, 3))
    own[0, 0, 0] = own[1, 1, 0] = [-1.0, 1.0, 0.0]
    found = minimise(both, answers, own, 1e-6)
    assert linearised(both, answers, own, found).loss < 0.1


def test_the_prompt_of_a_country_is_the_shared_part_and_its_own():
    populations = [np.full((3, 4, 2), float(k)) for k in (1, 2)]
    joint = joint_start(populations, 3)
    assert joint.shape == (3, 5, 2)
    each = split(joint, 3, 2)
    assert each[0, :, :, 0].tolist() == [[1, 1, 1, 1], [1, 1, 1, 2]]
    assert each[1, :, :, 0].tolist() == [[2, 2, 2, 1], [2, 2, 2, 2]]
    assert split(joint_start(populations, 0), 0, 2)[0, :, :, 0].tolist() == [[1] * 4, [2] * 4]


class TestRecord:
    def test_every_country_has_a_run_of_its_own(self, run):
        out, record = run
        assert [one["code"] for one in record["countries"]] == COUNTRIES
        prompts = [read_prompt(out / code) for code in COUNTRIES]
        assert all(len(prompt.vectors) == 3 for prompt in prompts)
        assert all(np.array_equal(prompt.vectors[:2], prompts[0].vectors[:2]) for prompt in prompts)
        assert len({prompt.vectors[2].tobytes() for prompt in prompts}) == 3
        for code in COUNTRIES:
            found = result(out / code)
            assert found["spec"]["country"] == code == found["target"]["code"]
            assert found["spec"]["tokens"] == 3
            assert found["spec"]["budget"] == found["search"]["evaluations"] == 30
            assert found["search"]["together_with"] == [other for other in COUNTRIES if other != code]

    def test_the_budget_counts_every_countrys_questionnaire(self, run):
        _, record = run
        assert (record["candidates"], record["evaluations"]) == (30, 90)

    def test_a_country_scores_alone_as_it_did_in_the_joint_search(self, run, tiny):
        out, record = run
        assert record["search_loss"] == pytest.approx(record["mean"]["train"]["tuned"], abs=1e-3)
        for code in COUNTRIES:
            found = result(out / code)
            assert found["search"]["search_loss"] == pytest.approx(found["rows"][-1]["train"]["loss"], abs=1e-3)
        form = "digits/question-first/0/en/ascending"
        arguments = ["--model", tiny, "--prompt", out / "CHN", "--formats", form, "--unbalanced", "--format", "json"]
        shown = CliRunner().invoke(cli.app, ["score", *map(str, arguments)])
        assert shown.exit_code == 0, shown.output
        tuned = result(out / "CHN")["rows"][-1]["train"]["scores"]
        assert json.loads(shown.stdout)["scores"] == pytest.approx(tuned, abs=1e-3)

    def test_a_finished_run_is_returned_as_it_is(self, run, tiny):
        out, record = run
        before = {path: path.read_bytes() for path in out.rglob("*.json*")}
        assert multitask.multitask(multitask_spec(settings(tiny)), out).to_json() == record
        assert before == {path: path.read_bytes() for path in out.rglob("*.json*")}

    def test_the_countries_compare_and_the_table_fits(self, run, tiny):
        out, _ = run
        shown = CliRunner().invoke(cli.app, ["compare", *(str(out / code) for code in COUNTRIES)])
        assert shown.exit_code == 0, shown.output
        config = out.parent / "many.json.toml"
        config.write_text("\n".join(f"{k} = {json.dumps(v).replace(': ', ' = ')}" for k, v in settings(tiny).items()))
        shown = CliRunner().invoke(cli.app, ["multitask", "--config", str(config), "--out", str(out)])
        assert shown.exit_code == 0, shown.output
        assert all((out / code / "report.html").stat().st_size for code in COUNTRIES)
        table = shown.stdout.split("\n\n")[1]
        assert [line.split()[0] for line in table.splitlines()[1:]] == [*COUNTRIES, "mean"]
        assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.parametrize("changes", [{}, {"optimizer": "de", "optimizer_options": {}, "space": "projection"}])
def test_interrupted_run_ends_like_an_uninterrupted_one(tiny, tmp_path, changes):
    projection = {"projection_dim": 20} if "space" in changes else {}
    validated = {"validation_formats": ["digits/options-first/1/en/ascending"], "heldout_formats": []}
    spec = multitask_spec(settings(tiny, **changes, **projection, **validated, country=COUNTRIES[:2], budget=83))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    multitask.multitask(spec, whole)

    class Cut(Callback):
        def generation(self, generation: Generation) -> None:
            if generation.generation == 5:
                raise Stopped

    with pytest.raises(Stopped):
        multitask.multitask(spec, cut, Callbacks.of([Cut()]))
    assert not (cut / multitask.RECORD).exists()
    multitask.multitask(spec, cut)
    lines = (whole / "journal.jsonl").read_text().splitlines()
    assert len(lines) >= 9
    assert json.loads(lines[-1])["evaluations"] == 41
    names = ["journal.jsonl", "evaluations.parquet", multitask.RECORD, "spec.json", "SHA256SUMS"]
    for name in [*names, *(f"{code}/{file}" for code in COUNTRIES[:2] for file in FILES)]:
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name


def test_an_anchored_joint_loss_has_the_untuned_answers_for_every_country(tiny):
    spec = multitask_spec(settings(tiny, anchor=3.0))
    tasks = prepare_all(spec)
    ready = multitask.Ready(spec, tasks, Respondent(spec.settings.choice))
    evaluate = ready.loop.evaluate
    seen = evaluate(ready.space.decode(ready.start[:1]).astype(np.float32))[0]
    assert isinstance(ready.loop.optimizer, DFGN)
    survey = ready.loop.optimizer.survey
    assert survey.reference is not None
    assert survey.reference.shape == seen.response.logprobs.shape
    assert survey.evaluate(seen.response).loss == pytest.approx(seen.loss)
    assert survey.divergence(seen.response.logprobs) > 0
    assert seen.regularisation == pytest.approx(3.0 * survey.divergence(seen.response.logprobs))
    assert fitted_and_validated(seen, 7.0) == pytest.approx((seen.loss - seen.regularisation + 7.0) / 2), "no distance"


class TestMistakes:
    @pytest.fixture
    def fails(self, capsys, monkeypatch, tiny, tmp_path):
        def say(*arguments: object) -> str:
            words = ["acculturate", "multitask", "--model", tiny, "--out", tmp_path / "o", *arguments]
            monkeypatch.setattr(sys, "argv", [str(word) for word in words])
            with pytest.raises(SystemExit) as exit_:
                cli.main()
            assert exit_.value.code == 2
            said = [line for line in capsys.readouterr().err.splitlines() if line not in STAGES]
            assert len(said) == 1, said
            assert not (tmp_path / "o").exists()
            return said[0]

        return say

    def test_one_country(self, fails):
        assert "at least two countries" in fails("--country", "USA")

    def test_no_country(self, fails):
        assert "--country" in fails()

    def test_a_country_twice(self, fails):
        said = fails("--country", "USA", "--country", "CHN", "--country", "United States")
        assert "USA is named twice ('United States'" in said

    def test_unknown_country(self, fails):
        assert "Atlantis" in fails("--country", "USA", "--country", "Atlantis")

    def test_budget_below_one_candidate(self, fails):
        assert "each of 2 countries" in fails("--country", "USA", "--country", "CHN", "--budget", 1)

    def test_negative_shared_tokens(self, fails):
        assert "'shared_tokens'" in fails("--country", "USA", "--country", "CHN", "--shared-tokens", -1)

    def test_the_structure_is_no_option(self, fails):
        assert "'parts'" in fails("--country", "USA", "--country", "CHN", "--option", "parts=2")

    def test_a_code_that_names_no_directory(self, tmp_path):
        (tmp_path / "own.csv").write_text("country,code,pdi,idv\nHere,../x,10,20\nThere,T,30,40\n")
        spec = multitask_spec({"country": ["Here", "There"], "targets": str(tmp_path / "own.csv")})
        with pytest.raises(UserError, match="cannot name a directory"):
            prepare_all(spec)
