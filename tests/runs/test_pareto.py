"""Alignment against a second objective: the front's figures, exact resumption, the page, picking, and mistakes."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from commands import failing, settings

from acculturate.cli import main as cli
from acculturate.errors import UserError
from acculturate.judge.front import Front
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import read_prompt, read_prompts
from acculturate.report.axis import Axis
from acculturate.report.charts import Mark, scatter
from acculturate.report.front_page import render_front
from acculturate.runs.front import pick
from acculturate.runs.pareto import TwoObjectives, pareto
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import make_spec
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.survey.formats import Role
from acculturate.survey.response import Response

FILES = ("spec.json", "journal.jsonl", "front.json", "front.safetensors", "SHA256SUMS")
SEED = 1  # whose front has several points
QUESTIONS = """question,answer,option_1,option_2,option_3,note
What is 2 + 2?,4,3,4,5,easy
Which is a colour?,c,table,chair,blue,
"Is water wet, usually?",yes,yes,no,,two options
"""


def spec_of(tiny: str, **changes: object):
    return make_spec(settings(tiny, optimizer="auto", budget=53, seed=SEED) | changes)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    (tmp_path / "questions.csv").write_text(QUESTIONS)
    return tmp_path / "questions.csv"


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("front") / "sau"
    return out, pareto(spec_of(tiny), "untuned", out).to_json()


def whole(response: Response) -> np.ndarray:
    """Probabilities of every option and, last, of anything else."""
    options = np.exp(response.logprobs) * response.mass[..., None]
    return np.concatenate([options, 1 - response.mass[..., None]], axis=-1)


def test_no_point_of_the_front_dominates_another(run):
    _, front = run
    f = [(point["train"]["survey"], point["train"]["second"]) for point in front["points"]]
    assert len(f) >= 2
    assert f == sorted(f)
    assert all(later[1] < earlier[1] for earlier, later in pairwise(f))
    assert [point["point"] for point in front["points"]] == list(range(1, len(f) + 1))
    assert front["search"]["evaluations"] == 50, "whole generations of five only"


def test_the_front_is_what_the_journal_says_nothing_beat(run):
    out, front = run
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    seen = [(term["survey"], term["second"]) for line in lines for term in line["terms"]]
    best = sorted({p for p in seen if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in seen)})
    assert len(seen) == 50
    assert [p["train"]["survey"] for p in front["points"]] == pytest.approx([p[0] for p in best], abs=1e-3)
    assert [p["train"]["second"] for p in front["points"]] == pytest.approx([p[1] for p in best], abs=1e-5)


def test_figures_are_those_of_the_prompts(run, tiny):
    out, front = run
    prepared = prepare(spec_of(tiny))
    respondent = Respondent(prepared.spec.choice)
    prompts = np.stack([prompt.vectors for prompt in read_prompts(out / "front.safetensors")])
    untuned, flat = front["references"]
    for role in (Role.TRAIN, Role.HELDOUT):
        judge = TwoObjectives(respondent, prepared.problem, role, None)
        reference = whole(judge.untuned().response)
        for point, seen in zip(front["points"], judge(prompts), strict=True):
            by_hand = (reference * np.log(reference / whole(seen.response))).sum(axis=-1).mean()
            assert point[role]["second"] == pytest.approx(by_hand, abs=1e-6)
            assert point[role]["survey"] == pytest.approx(seen.loss, abs=1e-3)
        assert untuned[role]["second"] == pytest.approx(0.0, abs=1e-9)
        assert flat[role]["survey"] == pytest.approx(126.0)
    for point in front["points"]:
        assert point["beaten_by_untuned"] == (point["train"]["survey"] >= untuned["train"]["survey"])


def test_a_run_cut_off_after_five_of_ten_generations_ends_the_same(run, tiny, tmp_path):
    class CutError(Exception):
        pass

    class Cut(Callback):
        def generation(self, generation):
            if generation.generation == 5:
                raise CutError

    with pytest.raises(CutError):
        pareto(spec_of(tiny), "untuned", tmp_path / "run", Callbacks.of([Cut()]))
    assert not (tmp_path / "run" / "front.json").exists()
    # What a crash between journal and checkpoint leaves.
    with (tmp_path / "run" / "journal.jsonl").open("a") as journal:
        journal.write('{"generation":6}\n')
    generations: list[int] = []

    class Noted(Callback):
        def generation(self, generation):
            generations.append(generation.generation)

    again = pareto(spec_of(tiny), "untuned", tmp_path / "run", Callbacks.of([Noted()]))
    assert generations == [6, 7, 8, 9, 10], "it went on and did not begin anew"
    assert again.to_json() == run[1]
    for name in FILES:
        assert (tmp_path / "run" / name).read_bytes() == (run[0] / name).read_bytes(), name
    assert pareto(spec_of(tiny), "untuned", tmp_path / "run") == again


def test_wrong_answers_are_a_second_objective(tiny, csv, tmp_path):
    spec = spec_of(tiny, budget=10)
    front = pareto(spec, str(csv), tmp_path / "run")
    flat = next(one for one in front.references if one.id == "flat")
    assert flat.train.second == pytest.approx(1 - (1 / 3 + 1 / 3 + 1 / 2) / 3)
    for point in front.points:
        assert point.heldout is not None and point.heldout.second is not None
        assert 0 < point.train.second < 1 and 0 < point.heldout.second < 1
    assert front.second.about.endswith("3 questions of questions.csv")
    csv.write_text(QUESTIONS.replace(",4,3,4,5", ",5,3,4,5"))
    with pytest.raises(UserError, match="files"):
        pareto(spec, str(csv), tmp_path / "run")


def test_a_task_by_name_is_a_second_objective(tiny, tmp_path):
    spec = spec_of(tiny, budget=10)
    front = pareto(spec, "general", tmp_path / "run")
    assert front.second.about.endswith("questions of General knowledge")
    assert pareto(spec, "general", tmp_path / "run") == front
    with pytest.raises(UserError, match="no right options to choose from"):
        pareto(spec, "scenarios", tmp_path / "other")


def test_the_page_holds_no_markup_from_data_and_needs_nothing_else(run):
    front = json.loads(json.dumps(run[1]))
    front["target"]["country"] = front["references"][0]["label"] = "<script>alert(1)</script>"
    page = render_front(Front.model_validate(front))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count('<svg class="chart scatter"') == 2
    assert page.count('<circle class="after"') + page.count('<circle class="beaten"') >= 2 * len(front["points"])


def test_words_of_a_scatter_never_overlap_and_stay_inside():
    rng = np.random.default_rng(0)
    marks = [Mark("after", float(x), float(y), str(n)) for n, (x, y) in enumerate(rng.uniform(0, 10, (80, 2)))]
    marks += [Mark("before", 0.0, 5.0, "Untuned model"), Mark("even", 10.0, 5.0, "Flat answers")]
    drawn = str(scatter(marks, Axis(0, 10, (0, 5, 10)), Axis(0, 10, (0, 5, 10)), "x"))
    words = [piece.split("</text>")[0] for piece in drawn.split('<text class="said" ')[1:]]
    assert 5 < len(words) < len(marks)
    boxes = []
    for word in words:
        at = dict(part.split("=") for part in word.split(">")[0].replace('"', "").split())
        text, x = word.split(">")[1], 2.5 * float(at["x"].rstrip("%")) + float(at["dx"])
        left = x - {"start": 0, "end": 7 * len(text), "middle": 3.5 * len(text)}[at["text-anchor"]]
        boxes.append((left, float(at["y"]) - 11, left + 7 * len(text), float(at["y"]) + 3))
    assert all(left > -10 and right < 260 for left, _, right, _ in boxes)
    for i, a in enumerate(boxes):
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in boxes[:i])


def test_pick_by_number_writes_a_prompt_that_scores_as_the_point(run, tmp_path, capsys, monkeypatch, tiny):
    out, front = run
    record = pick(out, tmp_path / "picked", point=2).to_json()
    assert record["train"] == front["points"][1]["train"]
    assert json.loads((tmp_path / "picked" / "pick.json").read_text()) == record
    stored = read_prompts(out / "front.safetensors")[1]
    assert read_prompt(tmp_path / "picked").vectors.tolist() == stored.vectors.tolist()
    form = "digits/question-first/0/en/ascending"
    arguments = ["score", "--model", tiny, "--prompt", str(tmp_path / "picked"), "--formats", form, "--unbalanced"]
    monkeypatch.setattr(sys, "argv", ["acculturate", *arguments, "--format", "json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores == pytest.approx(record["train"]["scores"], abs=1e-3)


def test_pick_by_bound_takes_the_least_second_objective(run, tmp_path):
    out, front = run
    points = front["points"]
    bound = (points[-1]["train"]["survey"] + points[-2]["train"]["survey"]) / 2
    assert pick(out, tmp_path / "p", survey_below=bound).point == len(points) - 1
    assert pick(out, tmp_path / "p", survey_below=1e9).point == len(points)


class TestMistakes:
    @pytest.fixture
    def fails(self, capsys, monkeypatch):
        return lambda *arguments: failing(capsys, monkeypatch, *arguments)

    @pytest.mark.parametrize("number", [0, -1, 1000])
    def test_no_such_point(self, fails, run, tmp_path, number):
        said = fails("pick", run[0], "--point", number, "--out", tmp_path / "p")
        assert f"no point {number}" in said
        assert not (tmp_path / "p").exists()

    def test_nothing_below(self, fails, run, tmp_path):
        assert "the nearest, point 1" in fails("pick", run[0], "--survey-below", 0.5, "--out", tmp_path / "p")
        assert not (tmp_path / "p").exists()

    def test_both_or_neither(self, fails, run, tmp_path):
        assert "--survey-below" in fails("pick", run[0], "--out", tmp_path / "p")
        assert "--point" in fails("pick", run[0], "--point", 1, "--survey-below", 9, "--out", tmp_path / "p")

    def test_no_front(self, fails, tmp_path):
        assert "no finished front" in fails("pick", tmp_path, "--point", 1, "--out", tmp_path / "p")

    def test_a_pick_never_overwrites_a_run(self, fails, run):
        assert "holds other files" in fails("pick", run[0], "--point", 1, "--out", run[0])

    def test_what_has_no_place_in_this_search(self, fails, tiny, tmp_path):
        base = ["pareto", "--model", tiny, "--country", "USA", "--out", tmp_path / "o"]
        assert "'nothing'" in fails(*base, "--against", "nothing")
        assert "Cannot read" in fails(*base, "--against", tmp_path / "no.csv")
        assert "more than the budget" in fails(*base, "--budget", 4, "--population", 5)
        (tmp_path / "r.toml").write_text('optimizer = "de"\n')
        assert "not 'de'" in fails(*base, "--config", tmp_path / "r.toml")
        assert "at least 4 candidates" in fails(*base, "--population", 3)
        assert "option 'h'" in fails(*base, "--option", "h=3")
        assert "F is 9" in fails(*base, "--option", "F=9.0")
        (tmp_path / "r.toml").write_text('heldout_items = ["m04"]\n')
        assert "'heldout_items' is a setting" in fails(*base, "--config", tmp_path / "r.toml")
        assert not (tmp_path / "o").exists()

    def test_another_objective_is_another_run(self, fails, run, csv, tiny):
        arguments = [
            f"--{key}={value}" for key, value in settings(tiny, optimizer="auto", budget=53, seed=SEED).items()
        ]
        arguments.remove("--optimizer=auto")
        assert "against = 'untuned'" in fails("pareto", *arguments, "--against", csv, "--out", run[0])
