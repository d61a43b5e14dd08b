"""Runs that search texts: on a tiny random model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import failing, settings
from folders import bytes_of

from acculturate.errors import UserError
from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Context, Respondent
from acculturate.model.soft_prompt import read_prompt
from acculturate.report.run_page import render
from acculturate.runs.align import align
from acculturate.runs.dry_run import dry_run
from acculturate.runs.oracle import Descent, compare_with_oracle
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import make_spec
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.search.text_space import TEXT_FILE


def spec(tiny: str, **changes):
    values = {
        "model": tiny,
        "country": "SAU",
        "targets": "country-tool-estimate",
        "protocol": "paper",
        "answers": "cloze",
        "space": "text",
        "population": 6,
        "budget": 24,
        "statements": 4,
        "baselines": (),
        **changes,
    }
    return make_spec(values)


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "run"
    align(spec(tiny), folder)
    return folder


def test_the_prompt_is_a_text_that_answers_as_a_system_message_does(tiny: str, run: Path) -> None:
    words = (run / TEXT_FILE).read_text("utf-8").rstrip("\n")
    prepared = prepare(spec(tiny))
    assert prepared.text_space is not None
    assert set(words.splitlines()) <= set(prepared.text_space.statements)
    assert 1 <= len(words.splitlines()) <= 4
    result = align(spec(tiny), run)
    assert result.text == words
    respondent = Respondent(ModelChoice(tiny))
    assert len(read_prompt(run).vectors) == len(respondent.chat.plain(words))
    problem = prepared.problem
    said = ways.ask("cloze", respondent, problem.everything, Context(system=words))
    measured = problem.survey(problem.everything).means(said.logprobs)
    tuned = {view.view: view for view in result.tuned.by_view}
    for name, means in zip(problem.everything.view_names, measured, strict=True):
        np.testing.assert_allclose(tuned[name].item_means, means, atol=1e-4)
    page = render(result)
    assert words.splitlines()[0] in page and "The prompt is this text" in page


def test_a_run_that_was_interrupted_ends_in_the_same_bytes(tiny: str, run: Path, tmp_path: Path) -> None:
    class Leave(Callback):
        def generation(self, generation) -> bool:
            if generation.generation == 2:
                raise KeyboardInterrupt
            return False

    with pytest.raises(KeyboardInterrupt):
        align(spec(tiny), tmp_path / "run", Callbacks.of([Leave()]))
    assert not (tmp_path / "run" / TEXT_FILE).exists()
    align(spec(tiny), tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)


def test_other_methods_search_texts_too(tiny: str, tmp_path: Path) -> None:
    result = align(spec(tiny, optimizer="de", budget=12), tmp_path / "run")
    assert result.search.optimizer == "de" and result.text


def test_held_out_items_are_not_asked(tiny: str, tmp_path: Path) -> None:
    result = align(spec(tiny, heldout_items=("m04",), budget=8), tmp_path / "run")
    assert result.items is not None and result.items.heldout == ("m04",)


def test_a_dry_run_counts_the_tokens_of_a_text(tiny: str) -> None:
    text, vectors = dry_run(spec(tiny)), dry_run(spec(tiny, space="full", slot="system"))
    assert text.tokens > vectors.tokens


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slot": "user_end"}, "a text is a system message"),
        ({"optimizer": "dfgn"}, "dfgn moves vectors"),
        ({"answers": "sampled"}, "no probabilities to model"),
        ({"start": "blank"}, "has no place where texts are searched"),
        ({"tokens": 3}, "has no place where texts are searched"),
        ({"parallel": "local:2"}, "has no place where texts are searched"),
        ({"spread": 2.0}, "has no place where texts are searched"),
        ({"fresh_formats": 2, "protocol": "crossed"}, "no place where texts are searched"),
        ({"baselines": ("random",)}, "no random prompts"),
        ({"space": "full", "optimizer": "bocs"}, "bocs chooses statements"),
        ({"statements": 0}, "from 1 to 200"),
    ],
)
def test_settings_that_have_no_place_are_refused(tiny: str, changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        spec(tiny, **changes)


def test_an_instrument_without_statements_is_refused(tiny: str) -> None:
    forms = {"train_formats": ("words/open/0/ar",), "heldout_formats": (), "validation_formats": ()}
    with pytest.raises(UserError, match="no value statements for instrument 'vsm2013' in the language 'ar'"):
        prepare(spec(tiny, **forms))


def test_fronts_countries_and_gradients_know_no_texts(tiny: str, run: Path, capsys, monkeypatch, tmp_path) -> None:
    with pytest.raises(UserError, match="there is no gradient"):
        compare_with_oracle(run, Descent(1))
    out = ("--out", tmp_path / "front")
    for verb in (("pareto", "--country", "SAU"), ("multitask", "--country", "SAU", "--country", "USA")):
        said = failing(capsys, monkeypatch, *verb, "--model", tiny, "--space", "text", *out)
        assert "leave --space text out" in said, said


def test_the_command_line_prints_the_text(tiny: str, run: Path, capsys, monkeypatch) -> None:
    import sys

    from acculturate.cli import main as cli

    flags = settings(tiny, answers="cloze", space="text", population=6, budget=24, statements=4)
    flags = {k: v for k, v in flags.items() if k not in ("optimizer", "tokens")} | {"baselines": ""}
    given = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["acculturate", "align", *given, "--out", str(run)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    shown = capsys.readouterr()
    assert exit_.value.code in (0, None), shown.err
    assert (run / TEXT_FILE).read_text("utf-8").splitlines()[0] in shown.out
