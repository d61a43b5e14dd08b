"""A run in every way of answering: searched, measured, audited and judged by what can judge it."""

from __future__ import annotations

import json

import pytest
from commands import settings
from tiny import save_answering_model

from acculturate.errors import UserError
from acculturate.files.run_directory import dump_json
from acculturate.judge.records import RowId
from acculturate.model.answer_kind import AnswerKind
from acculturate.report.run_page import render
from acculturate.runs.align import align
from acculturate.runs.spec import RunSpec, make_spec

FORMATS = ("train_formats", "validation_formats", "heldout_formats")


def _settings(tiny: str, answers: str, **changes) -> dict:
    given = {key: value for key, value in settings(tiny).items() if key not in FORMATS}
    return {**given, "answers": answers, **changes}


def _few_texts(model: str) -> dict:
    """Generated text takes long: one format to train on, one held out."""
    few = {"train_formats": ["letters"], "validation_formats": [], "heldout_formats": ["letters/question-first"]}
    return _settings(model, "sampled", **few, budget=4, population=4, optimizer="auto")


@pytest.mark.parametrize("answers", ["probabilities", "calibrated", "cloze", "cloze-prior"])
def test_a_run_asks_in_one_way_from_the_audit_to_the_verdict(tiny, tmp_path, answers):
    spec = make_spec(_settings(tiny, answers))
    result = align(spec, tmp_path / "run")
    kind = AnswerKind(answers)
    assert result.audit is not None
    assert result.audit.answers == result.spec["answers"] == answers
    assert all(view.name.startswith("words/open/") == kind.of_texts for view in result.views)
    assert {RowId.UNTUNED, RowId.PERSONA, RowId.TUNED} <= set(result.by_id)
    said = " ".join(result.verdict.sentences)
    assert not (kind.of_texts and "next token" in said)
    assert render(result)
    # Another run finds the answers of the first one kept, and ends with the same bytes.
    again = align(spec, tmp_path / "again")
    assert dump_json(again.to_json()) == dump_json(result.to_json())


def test_a_model_whose_texts_are_no_answers_ends_in_a_sentence(tiny, tmp_path):
    with pytest.raises(UserError, match=r"No reply of the untuned model to [0-9]+ of 48 questions could be read"):
        align(make_spec(_few_texts(tiny)), tmp_path / "run")


def test_a_run_on_generated_text(tmp_path):
    model = save_answering_model(tmp_path / "model")
    result = align(make_spec(_few_texts(model)), tmp_path / "run")
    assert result.search.optimizer == "de"
    assert result.audit is not None
    assert result.audit.answers == "probabilities"
    assert result.by_id[RowId.TUNED].train.mass == 1.0
    said = " ".join(result.verdict.sentences)
    assert "next token" not in said and "nan" not in said


def test_option_texts_are_asked_in_wordings_only(tiny):
    spec = make_spec(
        {"country": "SAU", "answers": "cloze", "train_formats": ["letters/options-first/4", "digits/one-line/4"]}
    )
    assert [form.name for form in spec.formats("train")] == ["words/open/4/en"]


def test_formats_without_labels_are_refused_where_labels_are_the_answers():
    with pytest.raises(UserError, match="asked with `answers='cloze'`"):
        make_spec({"country": "SAU", "train_formats": ["words/open/4/en"]})
    with pytest.raises(UserError, match="neither layout nor order"):
        make_spec({"country": "SAU", "answers": "cloze", "train_formats": ["words/one-line/4/en"]})


def test_a_wording_is_not_trained_on_and_held_out():
    with pytest.raises(UserError, match="name each format once"):
        make_spec(
            {
                "country": "SAU",
                "answers": "cloze",
                "train_formats": ["letters"],
                "heldout_formats": ["digits/one-line/0"],
            }
        )


def test_texts_are_a_ceiling_where_the_budget_affords_them(tiny, tmp_path):
    result = align(
        make_spec(_settings(tiny, "probabilities", budget=100, population=4, optimizer="random")), tmp_path / "run"
    )
    assert result.ceiling is not None and len(result.ceiling.tried) >= 3
    best = result.by_id[RowId.BEST_TEXT]
    assert best.heldout is not None and result.ceiling.best == best.heldout.loss
    assert {effect.rival for effect in result.effects} == {RowId.UNTUNED, RowId.BEST_TEXT}
    assert all(0 < effect.p <= 1 for effect in result.effects)
    for effect in result.effects:
        assert effect.interval is None or effect.interval[0] <= effect.nearer <= effect.interval[1]
    assert json.loads(dump_json(result.to_json()))["ceiling"]["words"]


def test_a_first_look_leaves_out_what_costs_more_than_the_search(tiny, tmp_path):
    result = align(make_spec(_settings(tiny, "probabilities")), tmp_path / "run")
    assert {one.id for one in result.left_out} >= {RowId.BEST_TEXT, RowId.IN_CONTEXT}
    assert all("first look" in one.why for one in result.left_out)


def test_old_settings_mean_labels():
    assert RunSpec.model_fields["answers"].default == "probabilities"


def test_a_method_that_models_probabilities_is_refused_where_there_are_none():
    with pytest.raises(UserError, match="dfgn models probabilities"):
        make_spec({"country": "SAU", "answers": "sampled", "optimizer": "dfgn"})


def test_the_table_can_be_asked_for_in_part(tiny, tmp_path):
    none = align(make_spec(_settings(tiny, "probabilities", baselines=[])), tmp_path / "none")
    assert list(none.by_id) == ["flat", "naive", "tuned"]
    assert not none.left_out
    assert render(none)
    text = align(make_spec(_settings(tiny, "probabilities", baselines=["text"])), tmp_path / "text")
    assert list(text.by_id) == ["flat", "naive", "best-text", "tuned"]
    with pytest.raises(UserError, match="there is no baseline 'texts'; expected persona, in-context, text or random"):
        make_spec({"country": "SAU", "baselines": ["texts"]})
