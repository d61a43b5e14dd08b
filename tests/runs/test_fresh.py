"""Runs whose generations are asked in formats of their own: on a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import failing, settings

from acculturate.errors import UserError
from acculturate.files.run_directory import RunDirectory
from acculturate.model.respondent import Respondent
from acculturate.runs.align import Ready, align
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import make_spec
from acculturate.search.fresh import drawn_views
from acculturate.search.history import generations
from acculturate.search.loop import Progress
from acculturate.search.optimizers.dfgn import DFGN
from acculturate.search.optimizers.dfgn_state import PROBE, TRIAL
from acculturate.survey.formats import parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import questionnaire

TRAIN = tuple(f"{labels}/options-first/{variant}/en" for variant in (0, 1, 4) for labels in ("letters", "digits"))


def spec(tiny: str, **changes):
    values = {
        "protocol": "balanced",
        "optimizer": "dfgn",
        "train_formats": TRAIN,
        "validation_formats": ("letters/options-first/3/en",),
        "heldout_formats": ("letters/options-first/2/en",),
        "fresh_formats": 2,
        "budget": 60,
        "population": 6,
        "baselines": (),
        "optimizer_options": {"h": 4},
    }
    return make_spec(settings(tiny) | values | changes)


def asked():
    return questionnaire(load_instrument("vsm2013"), [parse_format(name) for name in TRAIN])


class TestDraws:
    def test_a_generation_sees_other_wordings_in_one_presentation_each(self):
        for generation in range(20):
            views = drawn_views(asked(), 3, generation, seed=0)
            wordings = [asked().formats[asked().views[view][0]].variant for view in views]
            assert sorted(wordings) == [0, 1, 4]

    def test_every_view_is_drawn_and_the_draw_depends_on_generation_and_seed_alone(self):
        draws = [drawn_views(asked(), 2, generation, seed=7) for generation in range(40)]
        assert {view for draw in draws for view in draw} == set(range(6))
        assert draws == [drawn_views(asked(), 2, generation, seed=7) for generation in range(40)]
        assert draws != [drawn_views(asked(), 2, generation, seed=8) for generation in range(40)]

    def test_more_views_than_wordings_take_second_presentations(self):
        assert len(set(drawn_views(asked(), 5, 0, seed=0))) == 5


def test_a_run_says_what_it_asked_and_settles_on_a_mean_of_centers(tiny: str, tmp_path: Path):
    result = align(spec(tiny), tmp_path / "run")
    course = generations(RunDirectory(tmp_path / "run"))
    assert all(len(one.formats) == 4 for one in course), "two views of two orders each"
    assert len({tuple(one.formats) for one in course}) > 1
    assert result.search.averaged in (1, 3, 6, 10)
    assert any("center" in sentence for sentence in result.verdict.sentences)
    tuned = next(row for row in result.rows if row.id == "tuned")
    assert {view.role for view in tuned.by_view} == {"train", "validation", "heldout"}
    assert len(tuned.by_view) == len(TRAIN) + 2


def test_the_center_is_asked_again_in_every_generation(tiny: str):
    run = spec(tiny)
    prepared = prepare(run)
    ready = Ready(prepared, Respondent(run.choice))
    state = ready.loop.optimizer.init(ready.start, run.seed)
    progress = Progress.before(ready.start, run.seed)
    phases = []
    for after, reached, generation in ready.loop.steps(state, progress):
        candidates = ready.loop.optimizer.ask(state)
        if state.phase in (PROBE, TRIAL):
            np.testing.assert_array_equal(candidates[0], state.center)
            phases.append(state.phase)
            if state.phase == PROBE and len(generation.losses) == len(candidates):
                # What the center answered now stands in the model's table, in the formats of this generation.
                evaluate = ready.loop.fresh.at(progress.generation)
                evaluations = evaluate(ready.space.decode(candidates).astype(np.float32))
                told = ready.loop.optimizer.tell(state, candidates, evaluations)
                rows = list(evaluations[0].formats)
                np.testing.assert_allclose(
                    told.center_answers[rows, :, :-1], evaluations[0].response.logprobs, atol=1e-6
                )
        state, progress = after, reached
    assert phases.count(PROBE) and phases.count(TRIAL)


def test_a_search_with_fresh_formats_lowers_the_loss_in_all_of_them(tiny: str):
    run = spec(tiny, budget=400, mass_penalty=0.0)
    ready = Ready(prepare(run), Respondent(run.choice))
    state, progress = ready.loop.optimizer.init(ready.start, run.seed), Progress.before(ready.start, run.seed)
    first = ready.loop.judge(ready.start[0])
    for after, reached, _ in ready.loop.steps(state, progress):
        state, progress = after, reached
    assert ready.loop.judge(progress.best_x) < 0.8 * first


def test_other_methods_compare_losses_of_different_generations(tiny: str):
    with pytest.raises(UserError, match="different generations"):
        prepare(spec(tiny, optimizer="de", optimizer_options={}))


@pytest.mark.parametrize("size", [6, 7])
def test_all_formats_are_no_choice(tiny: str, size: int):
    with pytest.raises(UserError, match="no choice among 6"):
        spec(tiny, fresh_formats=size)


def test_held_out_items_are_not_asked_in_fresh_formats_either(tiny: str, tmp_path: Path):
    result = align(spec(tiny, heldout_items=("m04",), budget=30), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))["items"]["heldout"] == ["m04"]
    assert result.search.evaluations == 30


def test_the_method_knows_that_formats_are_fresh(tiny: str):
    optimizer = prepare(spec(tiny)).optimizer()
    assert isinstance(optimizer, DFGN)
    assert optimizer.fresh


class TestDefaults:
    def test_the_crossed_protocol_has_fresh_formats_where_the_method_can_do_with_some(self, tiny: str):
        bare = {"model": tiny, "country": "USA", "protocol": "crossed"}
        assert make_spec(bare).fresh == 4
        assert make_spec(bare).agreement == 0.3
        assert make_spec(bare).balanced
        assert make_spec(bare | {"optimizer": "de"}).fresh == 0
        assert make_spec(bare | {"answers": "sampled"}).fresh == 0
        assert make_spec(bare | {"fresh_formats": 0}).fresh == 0
        assert (
            make_spec(bare | {"train_formats": ("letters/options-first/0/en", "letters/options-first/1/en")}).fresh == 0
        )

    def test_other_protocols_have_none(self, tiny: str):
        for protocol in ("paper", "balanced"):
            run = make_spec({"model": tiny, "country": "USA", "protocol": protocol})
            assert (run.fresh, run.agreement) == (0, 0.0)

    @pytest.mark.parametrize("verb", ["multitask", "pareto"])
    def test_runs_of_other_kinds_say_that_they_know_none(
        self, verb: str, tiny: str, capsys, monkeypatch, tmp_path: Path
    ):
        countries = ("--country", "CHN") if verb == "multitask" else ()
        said = failing(
            capsys, monkeypatch, verb, "--model", tiny, "--country", "USA", *countries, "--protocol", "crossed",
            "--out", tmp_path / "run",
        )  # fmt: skip
        assert "consistency" in said
