"""The confusion matrix and the rank agreement of runs, against values worked out by hand."""

import copy
import itertools
import json
import math

import numpy as np
import pytest

from acculturate.errors import UserError
from acculturate.judge.compare import Compared, compare
from acculturate.survey.targets import load_target_set

DIMS = ("pdi", "idv", "mas", "uai", "lto", "ivr")
SET = load_target_set("hofstede-2015")
COUNTRIES = ("United States", "China", "India", "Japan")


def result(country, tuned=None, persona=None):
    """What a comparison reads of a result.json; scores default to the country's own."""
    target = SET.find(country)
    own = dict(target.scores)

    def row(name, scores):
        values = dict(zip(DIMS, scores, strict=True)) if scores is not None else own
        return {"id": name, "train": {"scores": values}, "heldout": {"scores": values}}

    rows = [row("tuned", tuned), row("persona", persona)]
    return {
        "schema": 1,
        "target": {"country": target.country, "code": target.code, "scores": own},
        "instrument": {"id": "vsm2013", "constant": 50, "dimensions": [{"id": d} for d in DIMS]},
        "rows": rows,
    }


def compared(results, *more, **options):
    return compare([Compared.model_validate(one) for one in results], *more, **options)


def test_prompts_that_reach_their_targets_are_nearest_to_them():
    found = compared([result(c) for c in COUNTRIES], SET).find("tuned", "heldout")
    assert found.right == 1.0 and found.chance == 0.25
    assert [p.rank for p in found.placings] == [1] * 4
    assert [p.rank_all for p in found.placings] == [1] * 4
    assert all(p.of_all > 50 and p.nearest_all == "its own" for p in found.placings)
    assert found.p == pytest.approx(1 / math.factorial(4))
    assert found.tau == pytest.approx(dict.fromkeys(DIMS, 1.0))
    assert found.misranked == dict.fromkeys(DIMS, 0.0)
    assert found.placings[0].distances["USA"] == 0.0
    expected = np.mean([abs(a - b) for a, b in zip((40, 91, 62, 46, 26, 68), (80, 20, 66, 30, 87, 24), strict=True)])
    assert found.placings[0].distances["CHN"] == pytest.approx(expected)


def test_flat_answers_are_right_for_no_one_by_luck():
    # One country is nearest to the middle; only its own run may be called right.
    found = compared([result(c, [50] * 6) for c in COUNTRIES]).find()
    assert found.right == 0.25
    assert len({p.nearest for p in found.placings}) == 1
    assert found.p == 1.0
    assert all(math.isnan(tau) for tau in found.tau.values())


def test_equal_distances_count_against_the_own_country():
    a, b = result("United States", [0] * 6), result("China", [0] * 6)
    for one, scores in ((a, [10] * 6), (b, [-10] * 6)):
        one["target"]["scores"] = dict(zip(DIMS, scores, strict=True))
    found = compared([a, b]).find()
    assert [p.rank for p in found.placings] == [2, 2] and found.right == 0.0


def test_exchanged_prompts_are_all_wrong():
    own = [[SET.find(c).scores[d] for d in DIMS] for c in COUNTRIES]
    found = compared([result(c, s) for c, s in zip(COUNTRIES, own[1:] + own[:1], strict=True)]).find()
    assert found.right == 0.0
    assert [p.nearest for p in found.placings] == ["CHN", "IND", "JPN", "USA"]
    found_pairs = [abs(t) <= 1 for t in found.tau.values()]
    assert all(found_pairs) and max(found.misranked.values()) == 1.0


def test_rank_agreement_per_dimension():
    runs = [result(c, [0, 0, 0, 0, lto, 0]) for c, lto in zip(COUNTRIES, (20, 70, 80, 90), strict=True)]
    found = compared(runs).find()
    # Published LTO: 26, 87, 51, 88; the scores put India above China.
    pairs = list(itertools.combinations([(20, 26), (70, 87), (80, 51), (90, 88)], 2))
    signs = [np.sign((a[0] - b[0]) * (a[1] - b[1])) for a, b in pairs]
    assert found.tau["lto"] == pytest.approx(sum(signs) / len(pairs))
    assert found.misranked["lto"] == pytest.approx(0.5)


def test_dimensions_that_a_country_lacks_are_left_out_for_all():
    runs = [result("Saudi Arabia", [50, 50, 50, 50, 36, 52]), result("China", [0, 0, 0, 0, 87, 24])]
    found = compared(runs, SET)
    assert found.find().dimensions == ("lto", "ivr")
    assert found.find().right == 1.0
    assert any("pdi, idv, mas, uai" in note for note in found.notes)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_missing_rows_are_noted_and_rows_are_kept_apart():
    runs = [result(c) for c in COUNTRIES]
    for run in runs:
        run["rows"][0]["heldout"] = None
    found = compared(runs)
    assert found.find("tuned", "heldout") is None
    assert found.find("tuned", "train") is not None and found.find("persona") is not None
    assert any("heldout scores in the row 'tuned'" in note for note in found.notes)


def test_markdown_names_countries_and_marks_the_own_one():
    text = compared([result(c) for c in COUNTRIES], SET, names=["a|b", "c", "d", "e"]).to_markdown()
    assert "| a\\|b | **0.0** |" in text
    assert "Nearest to its own country: 4 of 4 runs (chance 25%)" in text
    assert text.count("### Distance") == 4
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {8}


def test_what_cannot_be_compared_is_refused():
    usa, china = result("United States"), result("China")
    with pytest.raises(UserError, match="at least two runs"):
        compared([usa])
    with pytest.raises(UserError, match="All runs are for United States"):
        compared([usa, usa])
    other = copy.deepcopy(china)
    other["instrument"]["constant"] = 0
    with pytest.raises(UserError, match="compare runs that measure the same"):
        compared([usa, other])
    moved = copy.deepcopy(usa)
    moved["target"]["scores"]["pdi"] = 41
    with pytest.raises(UserError, match="different targets"):
        compared([usa, moved, china])
