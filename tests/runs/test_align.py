"""The main job on a tiny random model: files, honesty of the record, resumption, and a user's mistakes."""

from __future__ import annotations

import html
import inspect
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import failing, settings
from processes import acculturate

from acculturate.cli import main as cli
from acculturate.errors import UserError
from acculturate.files.run_directory import RunDirectory
from acculturate.judge.baselines import DEMONSTRATIONS, in_context, target_answers
from acculturate.judge.records import Result
from acculturate.model.answer_kind import ANSWERS
from acculturate.model.answers.ways import asking
from acculturate.model.choice import ModelChoice
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.model.soft_prompt import SoftPrompt, read_prompt
from acculturate.report.run_page import render
from acculturate.runs.align import align
from acculturate.runs.resolve import prepare, space_of
from acculturate.runs.score import Asking, score_respondent
from acculturate.runs.spec import RunSpec, make_spec, to_json
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.search.objective import objective
from acculturate.search.starts import random_prompts, starting_prompts
from acculturate.survey.formats import parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import Questionnaire, questionnaire

FILES = ("spec.json", "journal.jsonl", "evaluations.parquet", "prompt.safetensors", "result.json", "SHA256SUMS")
ROLES = (("train", "letters"), ("validation", "digits"))


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("run") / "sau"
    return out, align(make_spec(settings(tiny)), out).to_json()


class TestRecord:
    def test_every_file_is_there(self, run):
        out, _ = run
        assert all((out / name).stat().st_size for name in FILES)
        assert list((out / "checkpoints").glob("*.safetensors"))
        assert not list(out.glob(".*.partial"))

    def test_rows_stand_in_order_with_every_role(self, run):
        _, result = run
        assert [row["id"] for row in result["rows"]] == [*("flat", "naive", "persona", "best-random", "tuned")]
        for row in result["rows"]:
            assert row["heldout"] is not None, "a format that was not trained on always stands beside"
            assert [view["role"] for view in row["by_view"]] == ["train", "heldout", "heldout"]

    def test_losses_are_the_l1_distances_of_the_scores(self, run):
        _, result = run
        target = result["target"]["scores"]
        for row in result["rows"]:
            for view in row["by_view"]:
                by_hand = sum(abs(view["scores"][d] - target[d]) for d in target)
                assert view["loss"] == pytest.approx(by_hand)
                assert view["mae"] == pytest.approx(by_hand / 6)
            held = [view["loss"] for view in row["by_view"] if view["role"] == "heldout"]
            assert row["heldout"]["loss"] == pytest.approx(np.mean(held))

    def test_flat_answers_score_fifty(self, run):
        _, result = run
        flat = result["rows"][0]
        assert list(flat["train"]["scores"].values()) == pytest.approx([50.0] * 6)
        assert flat["train"]["loss"] == pytest.approx(126.0)  # FINDINGS: flat answers against 95/25/60/80/36/52

    def test_the_search_improves_and_its_curve_never_rises(self, run):
        _, result = run
        best = [point["best"] for point in result["search"]["curve"]]
        assert best == sorted(best, reverse=True)
        assert result["search"]["evaluations"] == 20
        assert result["search"]["rows"] == 1
        assert result["rows"][-1]["train"]["loss"] == pytest.approx(best[-1], abs=1e-3)

    def test_random_prompts_are_the_best_of_a_share_of_the_budget(self, run):
        _, result = run
        found, row = result["random_prompts"], result["rows"][-2]
        assert (found["n"], found["budget"], found["estimator"]) == (5, 20, "log-normal lower tail")
        assert row["train"]["loss"] == pytest.approx(found["best"], abs=1e-3)
        assert found["interval"][0] <= found["expected_minimum"] <= found["best"] < found["median"]
        assert found["tuned"] == pytest.approx(result["rows"][-1]["train"]["loss"], abs=1e-3)
        assert any("20 random prompts" in sentence for sentence in result["verdict"]["sentences"])

    def test_random_prompts_are_none_of_the_searchs_own(self, run, tiny):
        prepared = prepare(make_spec(settings(tiny)))
        respondent, start, target = Respondent(prepared.spec.choice), prepared.start, prepared.target
        drawn = random_prompts(respondent, start, target, 5)
        assert np.array_equal(drawn, random_prompts(respondent, start, target, 5))
        assert not any(np.array_equal(a, b) for a in drawn for b in starting_prompts(respondent, start, target))
        assert not np.array_equal(drawn, random_prompts(respondent, replace(start, seed=1), target, 5))

    def test_evaluations_hold_every_candidate(self, run):
        out, result = run
        table = pd.read_parquet(out / "evaluations.parquet")
        assert len(table) == 20
        assert table["loss"].min() == pytest.approx(result["search"]["search_loss"])
        assert len(table["scores"][0]) == 1
        assert len(table["scores"][0][0]) == 6

    def test_a_finished_run_is_returned_as_it_is(self, run, tiny):
        out, result = run
        before = {name: (out / name).read_bytes() for name in FILES}
        assert align(make_spec(settings(tiny)), out).to_json() == result
        assert before == {name: (out / name).read_bytes() for name in FILES}

    def test_budget_counts_to_the_last_candidate(self, tiny, tmp_path):
        stages: list[str] = []

        class Stages(Callback):
            def stage(self, name: str) -> None:
                stages.append(name)

        result = align(make_spec(settings(tiny, budget=13)), tmp_path / "run", Callbacks.of([Stages()]))
        assert result.search.evaluations == 13
        people = ["measuring: personas, 1 of 1"]
        assert [stage for stage in stages if "persona" in stage] == people, "long measurements say where they are"
        assert stages[-1] == "measuring: the tuned prompt"
        assert len(pd.read_parquet(tmp_path / "run" / "evaluations.parquet")) == 13


@pytest.fixture(scope="module")
def rich(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A run with everything that can be added to the end of one."""
    out = tmp_path_factory.mktemp("run") / "rich"
    more = {"heldout_languages": ["zh"], "heldout_items": ["m04", "m12"], "sampled": True, "budget": 10}
    return out, align(make_spec(settings(tiny, **more)), out).to_json()


class TestTransfer:
    def test_columns_say_what_is_new(self, rich):
        _, result = rich
        found = {column["title"]: column["views"] for column in result["transfer"]["columns"]}
        assert found == {
            "Trained": ["digits/question-first/0/en/ascending"],
            "New labels and wording": ["letters/question-first/1/en/ascending"],
            "New language": ["digits/question-first/0/zh/ascending"],
            "New layout, wording and option order": ["digits/options-first/2/en/descending"],
        }

    def test_cells_are_the_mean_losses_of_their_views_with_intervals(self, rich):
        _, result = rich
        rows = {row["id"]: row for row in result["rows"]}
        for line in result["transfer"]["rows"]:
            for column, cell in zip(result["transfer"]["columns"], line["cells"], strict=True):
                of_view = {view["view"]: view["loss"] for view in rows[line["id"]]["by_view"]}
                assert cell["loss"] == pytest.approx(np.mean([of_view[view] for view in column["views"]]))
                assert cell["interval"] is None, "one format has no interval over formats"
        for row in result["rows"]:
            assert row["interval"].get("train") is None
            if row["kind"] not in ("flat", "sampled"):
                low, high = row["interval"]["heldout"]
                assert 0 <= low <= row["heldout"]["loss"] <= high

    def test_the_search_never_asks_a_held_out_item(self, rich, tiny):
        out, result = rich
        prepared = prepare(make_spec({**settings(tiny), "heldout_items": ["m04", "m12"]}))
        problem, respondent = prepared.problem, Respondent(prepared.spec.choice)
        evaluate = objective(problem, respondent, "train", problem.survey(problem.train))
        assert [*evaluate.interview.questionnaire.instrument.item_ids] == [
            f"m{i:02d}" for i in range(1, 25) if i not in (4, 12)
        ]
        (seen,) = evaluate(read_prompt(out).vectors[None])
        untuned = Interview(respondent, problem.train).ask()
        whole = Interview(respondent, problem.train, n_tokens=2)(read_prompt(out).vectors[None])[0]
        held = [3, 11]
        assert np.array_equal(seen.response.logprobs[:, held], untuned.logprobs[:, held])
        others = np.delete(np.arange(24), held)
        np.testing.assert_allclose(seen.response.logprobs[:, others], whole.logprobs[:, others], atol=1e-4)
        assert seen.loss == pytest.approx(result["search"]["search_loss"], abs=1e-3)
        assert seen.loss == pytest.approx(result["random_prompts"]["tuned"], abs=1e-3)

    def test_items_are_recorded_for_both_roles(self, rich):
        _, result = rich
        assert result["items"]["heldout"] == ["m04", "m12"]
        for role in ("train", "heldout"):
            record = result["items"]["by_role"][role]
            losses = {row["id"]: row[role]["loss"] for row in result["rows"] if row["kind"] != "sampled"}
            assert record["untuned"] == pytest.approx(losses["naive"])
            assert record["improvement"] == pytest.approx(losses["naive"] - losses["tuned"])
            assert record["heldout_items"]["n"] == 2 and record["trained_items"]["n"] == 22
        assert any("the search never asked" in sentence for sentence in result["verdict"]["sentences"])

    def test_sampled_answers_that_are_none_stay_missing(self, rich):
        _, result = rich
        rows = {row["id"]: row for row in result["rows"]}
        for row in (rows["naive-sampled"], rows["tuned-sampled"]):
            # A random model hardly ever generates a label: what it leaves open has no score, and no stand-in.
            assert row["invalid_share"] > 0.5
            assert row["train"]["loss"] is None and row["interval"]["train"] is None and row["heldout"] is None
            assert row["train"]["mass"] == pytest.approx(1 - row["invalid_share"])
            assert "could not be read" in row["note"] and "no answer" in row["note"]

    def test_its_report_shows_every_figure(self, rich):
        _, result = rich
        page = render(Result.model_validate(result))
        text = " ".join(re.sub(r"<[^>]*>", "", page).split())
        assert "How far it carries" in text and "New language" in text and "What the improvement rests on" in text
        heat = page[page.index('id="formats"') : page.index('id="audit"')]
        for row in (row for row in result["rows"] if row["kind"] != "sampled"):
            for view in row["by_view"]:
                assert f">{view['loss']:.1f}</td>" in heat

    def test_a_language_of_the_search_cannot_be_held_out(self, tiny):
        with pytest.raises(UserError, match="'en' is asked during the search"):
            make_spec(settings(tiny, heldout_languages=["en"]))
        with pytest.raises(UserError, match="no wording in language 'xx'"):
            prepare(make_spec(settings(tiny, heldout_languages=["xx"])))

    def test_held_out_items_have_to_exist_and_to_leave_something(self, tiny):
        with pytest.raises(UserError, match=r"no item 'm4'.*m04"):
            prepare(make_spec(settings(tiny, heldout_items=["m4"])))
        with pytest.raises(UserError, match="dimension 'pdi'"):
            prepare(make_spec(settings(tiny, heldout_items=["m07", "m02", "m20", "m23"])))


def test_reloaded_prompt_scores_the_same_in_a_new_process(run, tiny):
    out, result = run
    form = "digits/question-first/0/en/ascending"
    done = acculturate("score", "--model", tiny, "--prompt", out, "--formats", form, "--unbalanced", "--format", "json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    tuned = result["rows"][-1]["train"]
    assert list(record["scores"].values()) == pytest.approx(list(tuned["scores"].values()), abs=1e-3)
    assert record["answer_mass"] == pytest.approx(tuned["mass"], abs=1e-5)
    assert len(record["item_means"]) == 24


class TestStarts:
    @pytest.mark.parametrize(
        ("changes", "begins"),
        [
            ({"protocol": "balanced", "slot": "response_start"}, "blank"),
            ({"protocol": "balanced", "slot": "user_end"}, "vocabulary"),
            ({"protocol": "paper", "slot": "response_start"}, "vocabulary"),
            ({"protocol": "balanced", "slot": "response_start", "start": "noise"}, "noise"),
        ],
    )
    def test_random_tokens_are_not_the_last_thing_before_a_balanced_answer(self, tiny, changes, begins):
        spec = make_spec(settings(tiny, **changes))
        assert spec.begins == to_json(spec)["start"] == begins

    def test_blank_is_line_breaks_and_offsets_of_the_spread(self, tiny):
        prepared = prepare(make_spec(settings(tiny, start="blank", spread=0.5, population=50, budget=50)))
        spec, target, respondent = prepared.spec, prepared.target, Respondent(prepared.spec.choice)
        population = starting_prompts(respondent, prepared.start, target)
        (line_break,) = respondent.chat.plain("\n")
        assert np.array_equal(population[0], respondent.rows([line_break, line_break]))
        offsets = (population[1:] - population[0]) / respondent.unit
        assert np.std(offsets) == pytest.approx(0.5, rel=0.05)
        usual = prepare(make_spec(settings(tiny, start="blank", population=50, budget=50))).start
        wider = starting_prompts(respondent, usual, target)
        assert np.allclose(wider - wider[0], 4 * (population - population[0]), atol=1e-6), "2 where nothing is said"
        # The space begins there too: what samples around its origin samples around line breaks.
        assert np.abs(space_of(respondent, spec, population).encode(population)[0]).max() < 1e-6

    def test_a_text_needs_its_start(self, tiny):
        with pytest.raises(UserError, match="there is a text but start is 'blank'"):
            make_spec(settings(tiny, protocol="balanced", text="Be kind."))


def test_journal_longer_than_its_checkpoint_is_cut_back(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    with directory.claimed({"seed": 1}):
        directory.append({"generation": 1})
        directory.checkpoint(1, {"x": np.arange(3.0)}, {"n": 1})
        directory.append({"generation": 2})
        arrays, scalars = directory.restore() or ({}, {})
    assert arrays["x"].tolist() == [0.0, 1.0, 2.0]
    assert scalars == {"n": 1}
    assert directory.lines() == [{"generation": 1}]


def test_a_warm_start_is_the_first_candidate(run, tiny, tmp_path):
    from acculturate.model.soft_prompt import SoftPrompt, write_prompt

    out, result = run
    again = align(make_spec(settings(tiny, warm_start=str(out), budget=5)), tmp_path / "again")
    table = pd.read_parquet(tmp_path / "again" / "evaluations.parquet")
    assert table["loss"][0] == pytest.approx(result["search"]["search_loss"], abs=1e-3)
    assert again.search.search_loss is not None
    assert again.search.search_loss <= result["search"]["search_loss"] + 1e-3
    other = SoftPrompt(read_prompt(out).vectors, "response_start", {"model": "another", "config_sha256": "0" * 64})
    write_prompt(tmp_path / "other.safetensors", other)
    warm = make_spec(settings(tiny, warm_start=str(tmp_path / "other.safetensors"), budget=5))
    with pytest.warns(UserWarning, match="found with another model \\(another"):
        align(warm, tmp_path / "warned")


def test_the_winner_is_chosen_by_distance_alone_whatever_the_anchor(tiny, tmp_path):
    formats = {f"{role}_formats": [f"{labels}/options-first/0/en"] for role, labels in ROLES}
    changes = {
        "protocol": "balanced",
        "anchor": 40.0,
        "mass_penalty": 0.0,
        "budget": 15,
        "heldout_formats": [],
        **formats,
    }
    result = align(make_spec(settings(tiny, **changes)), tmp_path / "run")
    lines = RunDirectory(tmp_path / "run").lines()
    judged = [
        (line["terms"][int(np.argmin(line["losses"]))]["survey"], line["validation"])
        for line in lines
        if line["validation"] is not None
    ]
    trained, validation = min(judged, key=sum)
    tuned, chosen = result.tuned, result.search.chosen
    assert tuned.validation is not None and chosen is not None
    assert tuned.train.loss == pytest.approx(trained, abs=1e-3)
    assert tuned.validation.loss == pytest.approx(validation, abs=1e-3)
    assert chosen.validation == validation
    anchors = [terms["anchor"] for line in lines for terms in line["terms"]]
    assert min(anchors) > 1, "the anchor did pull, in the training loss"


def test_rows_that_memory_allowed_are_on_record(tiny, tmp_path, monkeypatch):
    call = Interview.__call__

    def cramped(self, prompts):
        if self.rows > 2:
            self._shrink()
        return call(self, prompts)

    monkeypatch.setattr(Interview, "__call__", cramped)
    with pytest.warns(UserWarning, match="Memory ran out"):
        result = align(make_spec(settings(tiny, rows=4, budget=5)), tmp_path / "run")
    assert result.spec["rows"] == 4
    assert result.search.rows == 2


def test_a_changed_input_file_is_not_the_same_run(tiny, tmp_path):
    table = tmp_path / "targets.csv"
    table.write_text("country,code,pdi,idv\nRuritania,RUR,70,30\n")
    spec = make_spec(settings(tiny, country="RUR", targets=str(table), budget=5))
    align(spec, tmp_path / "run")
    table.write_text("country,code,pdi,idv\nRuritania,RUR,10,30\n")
    with pytest.raises(UserError, match="files"):
        align(spec, tmp_path / "run")


def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    with directory.claimed({"seed": 1}):
        for n in (1, 2):
            directory.append({"generation": n})
            directory.checkpoint(n, {"x": np.full(2, float(n))}, {"n": n})
        (directory.path / "checkpoints" / "000002.safetensors").write_bytes(b"cut off")
        _, scalars = directory.restore() or ({}, {})
    assert scalars == {"n": 1}
    assert len(directory.lines()) == 1


def test_a_directory_serves_one_process_at_a_time(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    second = RunDirectory(tmp_path / "run").claimed({"seed": 1})
    with directory.claimed({"seed": 1}), pytest.raises(UserError, match="Another process"), second:
        pass


def test_in_context_never_shows_the_probed_item():
    instrument = load_instrument("vsm2013")
    shown = in_context(instrument, np.full(24, 2.2)).demonstrations
    assert set(shown) == set(instrument.item_ids)
    for item, demonstrations in shown.items():
        others = [other for other, _ in demonstrations]
        assert item not in others
        assert len(set(others)) == len(others) == DEMONSTRATIONS


def test_demonstrated_answers_fit_the_target():
    prepared = prepare(make_spec({"country": "USA"}))
    instrument = prepared.problem.instrument
    weights, constants = instrument.weights(), instrument.constants(50.0)
    answers = target_answers(instrument, weights, constants, prepared.target)
    assert np.all((answers >= 1) & (answers <= 5))
    assert weights @ answers + constants == pytest.approx([40, 91, 62, 46, 26, 68])


def test_slots_all_run(tiny, tmp_path):
    respondent = Respondent(make_spec(settings(tiny)).choice)
    asked = prepare(make_spec(settings(tiny))).problem.everything
    prompts = np.random.default_rng(0).normal(size=(2, 2, respondent.hidden)).astype(np.float32)
    means = {
        slot: Interview(respondent, asked, slot=slot, n_tokens=2)(prompts)[0].logprobs
        for slot in ("before_bos", "system", "user_end", "response_start")
    }
    assert len({round(float(np.exp(m).std()), 9) for m in means.values()}) == 4


class TestMistakes:
    @pytest.fixture
    def fails(self, capsys, monkeypatch):
        return lambda *arguments: failing(capsys, monkeypatch, *arguments)

    @pytest.fixture
    def base(self, tiny, tmp_path):
        return [
            "align",
            "--model",
            tiny,
            "--country",
            "SAU",
            "--targets",
            "country-tool-estimate",
            "--out",
            tmp_path / "o",
        ]

    def test_unknown_country(self, fails, tiny, tmp_path):
        said = fails("align", "--model", tiny, "--country", "Atlantis", "--out", tmp_path / "o")
        assert "Atlantis" in said
        assert not (tmp_path / "o").exists()

    def test_an_instrument_without_published_scores(self, fails, tiny, tmp_path):
        asked = ("align", "--model", tiny, "--country", "SWE", "--out", tmp_path / "o", "--instrument", "values_map")
        assert "--targets mine.csv" in (said := fails(*asked)) and "country, secular, expression" in said
        (tmp_path / "map.csv").write_text("country,secular,expression\nSweden,80,90\n")
        spec = {**settings(tiny, instrument="values_map", country="SWE"), "targets": str(tmp_path / "map.csv")}
        spec["heldout_formats"] = ["letters/question-first/1/en"]  # it has two wordings, not three
        assert prepare(make_spec(spec)).target.scores == {"secular": 80.0, "expression": 90.0}

    def test_an_instrument_with_fewer_wordings_than_the_protocol_asks_in(self, fails, tmp_path):
        (tmp_path / "map.csv").write_text("country,secular,expression\nSweden,80,90\n")
        asked = ["align", "--instrument", "values_map", "--targets", tmp_path / "map.csv", "--country", "SWE"]
        asked += ["--out", tmp_path / "o"]
        said = fails(*asked)
        assert "wordings 0 to 1 in language 'en'" in said and "--validation-formats '' for none" in said
        asked += ["--validation-formats", "", "--heldout-formats", "letters/question-first/1/en"]
        said = fails(*asked, "--train-formats", "letters/options-first/4/en")
        assert "not 4" in said and "protocol" not in said, "what the user named is not the protocol's"

    def test_an_unknown_way_of_answering(self, fails, tiny):
        for verb in ("score", "audit"):
            assert "probabilities, calibrated, cloze" in fails(verb, "--model", tiny, "--answers", "spoken")

    def test_no_country(self, fails, tmp_path):
        assert "--country" in fails("align", "--out", tmp_path / "o")

    def test_model_that_does_not_exist(self, fails, tmp_path):
        said = fails("align", "--model", tmp_path / "no", "--country", "USA", "--out", tmp_path / "o")
        assert "does not exist" in said
        assert not (tmp_path / "o").exists()

    def test_offline_hub(self, fails, tmp_path):
        said = fails("align", "--model", "someone/something", "--country", "USA", "--out", tmp_path / "o")
        assert "someone/something" in said
        assert not (tmp_path / "o").exists()

    def test_unwritable_directory(self, fails, base, tmp_path):
        (tmp_path / "file").write_text("")
        assert "is a file" in fails(*base[:-1], tmp_path / "file" / "run")

    def test_directory_with_other_files(self, fails, base, tmp_path):
        (tmp_path / "o").mkdir()
        (tmp_path / "o" / "thesis.tex").write_text("x")
        assert "thesis.tex" in fails(*base)

    def test_budget_zero(self, fails, base, tmp_path):
        assert "budget" in fails(*base, "--budget", 0)
        assert not (tmp_path / "o").exists()

    def test_other_settings_in_a_used_directory(self, fails, run, tiny):
        said = fails("align", "--model", tiny, "--country", "USA", "--out", run[0])
        assert "choose another directory" in said

    def test_label_that_is_not_one_token(self, fails, base, tmp_path):
        said = fails(*base, "--train-formats", "roman/options-first/0/en")
        assert "tokens for this model's tokenizer" in said
        assert not (tmp_path / "o").exists()

    def test_unknown_format(self, fails, base):
        assert "letters" in fails(*base, "--train-formats", "lettres/options-first/0/en")

    def test_unknown_optimizer_option(self, fails, base, tmp_path):
        assert "'f'" in fails(*base, "--optimizer", "de", "--option", "f=0.5")
        assert not (tmp_path / "o").exists()

    @pytest.mark.parametrize(
        "wrong, said",
        [
            (("--optimizer", "dfng"), "'dfng'"),
            (("--optimizer", "de", "--option", "F=3.5"), "DE F is 3.5"),
            (("--option", "h=0"), "h"),
            (("--optimizer", "de-rand2", "--population", 5), "at least 6"),
        ],
    )
    def test_an_optimizer_is_checked_before_the_model_is_looked_at(self, fails, tmp_path, wrong, said):
        told = fails("align", "--model", tmp_path / "no", "--country", "USA", "--out", tmp_path / "o", *wrong)
        assert said in told
        assert "does not exist" not in told
        assert not (tmp_path / "o").exists()

    def test_unknown_key_in_a_file(self, fails, tmp_path):
        (tmp_path / "run.toml").write_text('countri = "USA"\ncountry = "USA"\n')
        said = fails("align", "--config", tmp_path / "run.toml", "--out", tmp_path / "o")
        assert "countri" in said
        assert "country" in said

    def test_malformed_item_means(self, fails, tmp_path):
        (tmp_path / "means.csv").write_text("item:mean\nm01:2\n")
        assert "means.csv" in fails("score", "--item-means", tmp_path / "means.csv")

    def test_prompt_of_another_width(self, fails, tiny, tmp_path):
        from acculturate.model.soft_prompt import write_prompt

        write_prompt(tmp_path / "p.safetensors", SoftPrompt(np.zeros((2, 7), np.float32), "system", {"model": "x"}))
        assert "width 7" in fails("score", "--model", tiny, "--prompt", tmp_path / "p.safetensors")

    @pytest.mark.parametrize(
        "wrong, said", [(("--country", "Atlantis"), "Atlantis"), (("--targets", "no.csv"), "no.csv")]
    )
    def test_score_looks_the_country_up_before_the_model(self, fails, tmp_path, wrong, said):
        told = fails("score", "--model", tmp_path / "no", "--country", "USA", *wrong)
        assert said in told
        assert "does not exist; give a Hugging Face id" not in told

    @pytest.mark.parametrize(
        "slot, tokens, said", [("system", 2, "--slot system"), ("response_start", 3, "--tokens 3")]
    )
    def test_a_warm_start_that_does_not_fit_is_refused_before_the_model(self, fails, tmp_path, slot, tokens, said):
        from acculturate.model.soft_prompt import SoftPrompt, write_prompt

        write_prompt(tmp_path / "p.safetensors", SoftPrompt(np.ones((tokens, 32), np.float32), slot, {"model": "x"}))
        arguments = ("--tokens", 2, "--warm-start", tmp_path / "p.safetensors", "--out", tmp_path / "o")
        assert said in fails("align", "--model", tmp_path / "no", "--country", "USA", *arguments)
        assert not (tmp_path / "o").exists()

    def test_score_without_anything(self, fails):
        assert "--item-means" in fails("score")


def test_every_setting_of_a_run_has_a_flag():
    flags = set(inspect.signature(cli.align).parameters) | {"optimizer_options"}  # those are --option
    assert set(RunSpec.model_fields) <= flags


def test_spread_and_projection_reach_the_run(tiny, tmp_path, monkeypatch, capsys):
    arguments = ["--model", tiny, "--country", "USA", "--protocol", "paper", "--tokens", 2, "--population", 4]
    arguments += ["--budget", 4, "--optimizer", "random", "--start", "text", "--text", "Be kind.", "--seed", 1]
    arguments += ["--space", "projection", "--projection-dim", 7, "--spread", 0.01, "--out", tmp_path / "o"]
    monkeypatch.setattr(sys, "argv", ["acculturate", "align", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code in (0, None)
    spec = json.loads((tmp_path / "o" / "spec.json").read_text())
    assert (spec["projection_dim"], spec["spread"]) == (7, 0.01)
    losses = [json.loads(line)["losses"] for line in (tmp_path / "o" / "journal.jsonl").read_text().splitlines()]
    assert 0 < np.ptp(losses[0]) < 5, "a small spread keeps the first population near the text"


class TestAnswers:
    """The ways to answer, from the command line's functions."""

    @pytest.fixture
    def asked(self, tiny) -> tuple[Respondent, Questionnaire]:
        asked = questionnaire(load_instrument("values_map"), [parse_format("letters/options-first/0/en")])
        return Respondent(make_spec(settings(tiny)).choice), asked

    def test_each_is_what_its_module_gives(self, asked):
        respondent, form = asked
        records = {way: score_respondent(respondent, form, Asking(answers=way), None) for way in ANSWERS}
        for way, record in records.items():
            assert record.answers == way
            response = asking(respondent, way)(form, Context())
            assert record.answer_mass == pytest.approx(response.mass.mean())
        assert all(score is not None for score in records["cloze"].scores.values())
        assert records["cloze"].scores != records["probabilities"].scores

    def test_what_cannot_be_read_is_missing(self, asked):
        record = score_respondent(*asked, Asking(answers="sampled"), None)
        assert record.answer_mass is not None and record.answer_mass < 0.5 and None in record.scores.values()
        assert any("could not be read" in note for note in record.notes)

    def test_a_soft_prompt_goes_into_each(self, asked):
        respondent, form = asked
        vectors = respondent.rows([5, 90, 200, 41]).astype(np.float32) * 3
        prompt = SoftPrompt(vectors, "response_start", respondent.identity)
        for way in ("probabilities", "cloze"):
            with_it = score_respondent(respondent, form, Asking(answers=way), prompt)
            assert with_it.scores != score_respondent(respondent, form, Asking(answers=way), None).scores


def test_config_file_gives_the_same_run_as_flags(tiny, tmp_path, run):
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings(tiny).items()]
    (tmp_path / "run.toml").write_text("\n".join(lines))
    done = acculturate("align", "--config", tmp_path / "run.toml", "--out", tmp_path / "o", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == run[1]
    assert (tmp_path / "o" / "report.html").exists()
    assert read_prompt(tmp_path / "o").vectors.tolist() == read_prompt(run[0]).vectors.tolist()


@pytest.mark.parametrize("constant, pdi", [(0, -5.0), (50, 45.0)])
def test_item_means_score_by_hand(tmp_path, constant, pdi):
    # 35 (m07 - m02) + 25 (m20 - m23): 35 (2 - 3) + 25 (4.2 - 3) = -35 + 30
    means = {f"m{i:02d}": 3.0 for i in range(1, 25)} | {"m07": 2.0, "m20": 4.2}
    (tmp_path / "m.csv").write_text("item,mean\n" + "".join(f"{k},{v}\n" for k, v in means.items()))
    done = acculturate("score", "--item-means", tmp_path / "m.csv", "--constant", constant, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["pdi"] == pytest.approx(pdi)


@pytest.mark.parametrize("what", ["models", "countries", "targets", "instruments", "optimizers"])
def test_lists(what):
    done = acculturate("list", what, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) >= 2


def test_doctor():
    done = acculturate("doctor", "--format", "json")
    assert {row["check"] for row in json.loads(done.stdout)} >= {"python", "torch", "embedded model", "cache"}


def short_window(tiny: str, folder: Path, tokens: int) -> str:
    """The tiny model with a window of so many tokens."""
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": tokens}))
    return str(folder)


def test_a_baseline_that_does_not_fit_the_model_is_left_out_and_said(tiny, tmp_path):
    asked = questionnaire(
        load_instrument("vsm2013"), [parse_format("letters"), parse_format("digits/question-first/0")]
    )
    longest = max(Interview(Respondent(ModelChoice(tiny)), asked).lengths)
    model = short_window(tiny, tmp_path / "short", 2 * longest)
    names = {
        "train_formats": ["letters/options-first/0/en/ascending"],
        "heldout_formats": ["digits/question-first/0/en"],
    }
    result = align(make_spec(settings(model, **names, budget=100)), tmp_path / "run")
    assert list(result.by_id) == ["flat", "naive", "persona", "best-random", "tuned"]
    left, text = result.left_out or ()
    assert (left.id, left.label) == ("in-context", "In-context answers")
    assert text.id == "best-text"
    assert f"reads {2 * longest} at most" in left.why
    said = f"In-context answers: left out, because {left.why}."
    assert said in result.verdict.sentences
    assert left.why in html.unescape(render(result))


def test_a_template_without_system_message_has_no_persona_row_and_says_so(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "plain")
    for path in (tmp_path / "plain").iterdir():
        if path.suffix in (".json", ".jinja"):
            text = path.read_text()
            refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
            if path.suffix == ".jinja":
                path.write_text(refusing + text)
            elif '"chat_template"' in text:
                stored = json.loads(text)
                path.write_text(json.dumps(stored | {"chat_template": refusing + stored["chat_template"]}))
    result = align(make_spec(settings(str(tmp_path / "plain"))), tmp_path / "run")
    assert "persona" not in result.by_id
    assert "Persona: left out, because the model's chat template takes no system message." in result.verdict.sentences
