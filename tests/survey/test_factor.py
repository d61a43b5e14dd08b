"""Known factor structures are found again, and what comes out is an instrument that loads and scores."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.judge.audit import audit
from acculturate.model.answers.ways import asking
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.runs.score import Asking, score_model
from acculturate.survey.factor import (
    bartlett,
    correlations,
    kmo,
    parallel_analysis,
    principal_axes,
    varimax,
)
from acculturate.survey.fitting import fit_instrument
from acculturate.survey.formats import LAYOUTS, parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.item_means import score_item_means
from acculturate.survey.missing_codes import items_of, values_apart
from acculturate.survey.questionnaire import present, questionnaire

TRUE = np.zeros((9, 2))
TRUE[:4, 0] = [0.8, 0.7, -0.75, 0.65]
TRUE[4:8, 1] = [0.75, 0.7, 0.8, -0.6]
IDS = [f"q{i + 1}" for i in range(9)]  # q9 belongs to nothing


def people(n=1500, seed=0):
    """Answers of 1 to 5 whose latent scores follow TRUE."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n, 2))
    latent = factors @ TRUE.T + rng.standard_normal((n, 9)) * np.sqrt(1 - (TRUE**2).sum(axis=1))
    return np.clip(np.round(3 + 1.1 * latent), 1, 5)


def write(path, answers, ids=IDS, gaps=0.0):
    rng = np.random.default_rng(9)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(ids)
        for row in answers:
            out.writerow(["" if rng.random() < gaps or np.isnan(v) else int(v) for v in row])
    return path


def test_exact_correlations_give_back_exact_loadings():
    r = TRUE[:8] @ TRUE[:8].T
    np.fill_diagonal(r, 1.0)
    solution = principal_axes(r, 2, tolerance=1e-10)
    assert solution.converged and not solution.heywood
    np.testing.assert_allclose(solution.communalities, (TRUE[:8] ** 2).sum(axis=1), atol=1e-5)
    turned = varimax(solution.loadings)
    np.testing.assert_allclose(turned @ turned.T, solution.loadings @ solution.loadings.T, atol=1e-8)
    # Up to the order and the sign of the factors.
    order = np.argsort(np.abs(turned[0]))[::-1]
    expected = TRUE[:8] * np.where(TRUE[:8].sum(axis=0) < 0, -1, 1)
    np.testing.assert_allclose(turned[:, order], expected, atol=1e-4)


def test_bartlett_and_kmo_by_hand():
    r = np.array([[1.0, 0.5], [0.5, 1.0]])
    chi2, freedom, p = bartlett(r, 101)
    assert (chi2, freedom) == (pytest.approx(-(100 - 9 / 6) * np.log(0.75)), 1)
    assert p < 1e-6
    assert bartlett(np.eye(4), 50)[2] == 1.0
    # With two items the partial correlation is the correlation itself.
    assert kmo(r)[0] == pytest.approx(0.5)


def test_parallel_analysis_finds_nothing_in_noise():
    noise = np.random.default_rng(2).standard_normal((400, 8))
    assert parallel_analysis(np.corrcoef(noise, rowvar=False), 400, draws=60)[0] == 0
    number, found, limit = parallel_analysis(correlations(people())[0], 1500, draws=60)
    assert number == 2 and found[1] > limit[1] and found[2] < limit[2]


def test_pairwise_correlations_that_do_not_fit_together_are_smoothed():
    gap = np.nan
    block = np.random.default_rng(0).standard_normal(30)
    rows = [[b, b, gap] for b in block] + [[gap, b, b] for b in block] + [[b, gap, -b] for b in block]
    r, smoothed = correlations(np.array(rows))
    assert smoothed and np.linalg.eigvalsh(r)[0] > -1e-9
    np.testing.assert_allclose(np.diag(r), 1.0)


def test_a_known_structure_becomes_an_instrument(tmp_path):
    fit = fit_instrument(write(tmp_path / "my study.csv", people(), gaps=0.03), scale=(1, 5))
    found = fit.diagnostics
    assert (found.suggested, found.factors, found.left_out) == (2, 2, ("q9",))
    assert found.kmo > 0.65 and found.bartlett_p < 1e-9
    assert 0.02 < found.missing["q1"] < 0.045 and found.complete < found.people == 1500
    assert all(0.7 < alpha < 0.9 for alpha in found.alpha.values())
    assert json.dumps(found.to_json(), allow_nan=False)
    path = tmp_path / "mine.toml"
    fit.write(path)
    instrument = load_instrument(path)
    sets = {frozenset(d.weights): np.sign(list(d.weights.values())).tolist() for d in instrument.dimensions}
    assert set(sets) == {frozenset(IDS[:4]), frozenset(IDS[4:8])}
    assert sorted(map(tuple, sets.values())) == [(1, 1, -1, 1), (1, 1, 1, -1)]
    # Mid-scale answers score C; the extremes of the keyed items score 0 and 100.
    middle = dict.fromkeys(instrument.item_ids, 3.0)
    assert score_item_means(instrument, middle) == pytest.approx({"f1": 50.0, "f2": 50.0})
    high = {i: 5.0 if w > 0 else 1.0 for d in instrument.dimensions for i, w in d.weights.items()}
    assert score_item_means(instrument, high) == pytest.approx({"f1": 100.0, "f2": 100.0})
    assert "FILL IN" in instrument.question("q1")
    with pytest.raises(UserError, match="exists already"):
        fit.write(path)
    assert [p.name for p in tmp_path.glob(".partial*")] == []


def test_texts_choose_and_word_the_items(tmp_path):
    data = people()
    path = write(tmp_path / "d.csv", np.column_stack([data, np.arange(1500)]), [*IDS, "person"])
    texts = tmp_path / "items.csv"
    texts.write_text("item,text\n" + "\n".join(f'{i},"Say ""{i}"", please?"' for i in IDS[:8]) + "\n")
    fit = fit_instrument(path, items=texts, name="Two things")
    fit.write(tmp_path / "x.toml")
    instrument = load_instrument(tmp_path / "x.toml")
    assert instrument.question("q3") == 'Say "q3", please?'
    assert instrument.id == "Two_things" and len(instrument.items) == 8


def test_noise_is_called_noise(tmp_path):
    noise = np.random.default_rng(4).integers(1, 6, (200, 8))
    found = None
    try:
        found = fit_instrument(write(tmp_path / "n.csv", noise, IDS[:8]), factors=2).diagnostics
    except UserError as error:
        assert "no instrument" in str(error)
    if found is not None:
        assert found.suggested == 0 and any("above chance" in note for note in found.notes)
        assert any("KMO" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b,c\n1,2,x\n", "line 2, column c: expected a whole number"),
        ("a,b,c\n1,2\n", "line 2: expected 3 fields"),
        ("a,b\n1,2\n2,1\n1,1\n", "at least three items"),
        ("a,a,c\n1,2,3\n", "'a' stands more than once"),
        ("a b,b,c\n1,2,3\n", "'a b' cannot name an item"),
        ("a,b,c\n1,2,3\n1,3,2\n1,1,1\n1,2,2\n", "column a: everyone gave the same answer"),
        (
            "a,b,c\n1,2,99\n2,3,2\n3,1,1\n1,2,2\n",
            "99 in c .1 of 4 answers.. Give `missing=.99.` if they stand for no answer; "
            "if all are answers, `missing=..none..`.$",
        ),
        (
            "a,b,c\n1,2,12\n2,3,2\n3,1,1\n1,2,2\n1,2,3\n" + "".join(f"1,2,{n}\n" for n in range(4, 12)),
            "1 to 12 has 12 options",
        ),
        ("a,b,c\n1,2,DK\n2,3,2\n3,1,1\n1,2,2\n", "found 'DK'; if it stands for no answer, name it with `missing`"),
        ("a,b,c\n1,2,3\n2,3,2\n", "more people than items"),
        ("", "expected a header"),
    ],
)
def test_every_mistake_in_the_file_is_named(tmp_path, text, complaint):
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        fit_instrument(path)


def test_answers_outside_the_scale_and_too_many_factors(tmp_path):
    path = write(tmp_path / "d.csv", people(60))
    with pytest.raises(UserError, match="outside the scale 1 to 4"):
        fit_instrument(path, scale=(1, 4))
    with pytest.raises(UserError, match="5 factors were asked of 9 items"):
        fit_instrument(path, factors=5)


GROUPS = np.array([0, 0, 0, 0, 1, 1, 1, 1])


def rated(low: int, high: int, n: int = 400, seed: int = 7) -> np.ndarray:
    """Answers to eight items of two dimensions on one scale, every value about equally often."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, 2))[:, GROUPS] * 0.8 + 0.6 * rng.standard_normal((n, 8))
    ranks = latent.argsort(axis=0).argsort(axis=0)
    return low + ranks * (high - low + 1) // n


def coded(answers: np.ndarray, codes: list[int], share: float = 0.08) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.where(rng.random(answers.shape) < share, rng.choice(codes, answers.shape), answers)


@pytest.mark.parametrize(
    ("scale", "codes"),
    [((1, 5), [9]), ((1, 4), [-1, -2]), ((1, 4), [8, 9]), ((1, 7), [97, 98, 99]), ((1, 2), [-2, -1]), ((1, 7), [9]),
     ((0, 1), [9]), ((1, 10), [-1]), ((0, 10), [99]), ((-2, 2), [9]), ((1, 5), [-99, 77])],
)  # fmt: skip
def test_codes_for_no_answer_are_refused_and_can_be_named(tmp_path, scale, codes):
    clean = rated(*scale)
    dirty = coded(clean, codes)
    path = write(tmp_path / "d.csv", dirty, IDS[:8])
    named = ", ".join(map(str, sorted(codes)))
    with pytest.raises(UserError, match=rf"{sorted(codes)[-1]} in q1, q2.* answers\)\. Give `missing=\[{named}\]` if"):
        fit_instrument(path)
    found = fit_instrument(path, missing=codes, factors=2)
    empty = write(tmp_path / "e.csv", np.where(np.isin(dirty, codes), np.nan, dirty.astype(float)), IDS[:8])
    assert found.diagnostics == fit_instrument(empty, factors=2).diagnostics
    assert f"= {list(range(scale[0], scale[1] + 1))}" in found.toml


def test_a_stated_scale_makes_a_value_an_answer(tmp_path):
    path = write(tmp_path / "d.csv", coded(rated(1, 5), [9]), IDS[:8])
    with pytest.raises(UserError, match=r"if all are answers, `scale=\(1, 9\)` or `missing=\['none'\]`"):
        fit_instrument(path)
    assert "= [1, 2, 3, 4, 5, 6, 7, 8, 9]" in fit_instrument(path, scale=(1, 9)).toml


@settings(max_examples=25, deadline=None)
@given(
    scale=st.sampled_from(
        [(0, 1), (1, 2), (1, 4), (1, 5), (1, 7), (-2, 2), (-3, 3), (0, 10), (1, 10), (1, 11), (0, 3)]
    ),
    data=st.data(),
)
def test_honest_answers_are_not_refused(scale, data):
    answers = rated(*scale)
    if scale[1] - scale[0] >= 2:  # items in which nobody chose some value
        for item in data.draw(st.sets(st.integers(0, 6), max_size=4)):
            unused = data.draw(st.integers(scale[0], scale[1] - 1))
            answers[answers[:, item] == unused, item] = scale[1]
    assert values_apart(items_of(IDS[:8], answers.astype(float)), 11).certain == {}


def test_items_of_different_scales_do_not_hide_each_others_codes():
    answers = np.column_stack([coded(rated(1, 4), [8, 9])[:, :4], coded(rated(1, 10), [98])[:, :4]]).astype(float)
    assert values_apart(items_of(IDS[:8], answers), 11).certain == {8: IDS[:4], 9: IDS[:4], 98: IDS[4:8]}


@pytest.mark.parametrize(
    ("scale", "codes", "said"),
    [((1, 5), [0], "0 stands beside 1 to 5 in q1"), ((1, 7), [8], "8 stands beside 1 to 7"),
     ((0, 1), [-1], "-1 stands beside 0 to 1"), ((0, 10), [3], "0 stands beside 1 to 10"),
     ((1, 2), [0], "0 stands beside 1 to 2"),
     ((1, 3), [0], "0 stands beside 1 to 3"), ((1, 10), [0], "0 stands beside 1 to 10"),
     ((1, 6), [7, 8, 9], "7, 8 and 9 stand beside 1 to 6"), ((1, 7), [0, 8, 9], "0, 8 and 9 stand beside 1 to 7"),
     ((0, 2), [-1, -2], "-2 and -1 stand beside 0 to 2"), ((-2, 2), [2], None), ((1, 5), [2], None),
     ((0, 1), [1], None), ((1, 7), [7], None)],
)  # fmt: skip
def test_what_may_be_a_code_is_noted(tmp_path, scale, codes, said):
    found = fit_instrument(write(tmp_path / "d.csv", coded(rated(*scale), codes), IDS[:8])).diagnostics
    noted = [note for note in found.notes if " beside " in note]
    assert all(said in note for note in noted) if said else not noted
    assert bool(noted) == (said is not None)


def test_words_for_no_answer_can_be_named(tmp_path):
    path = write(tmp_path / "d.csv", rated(1, 5), IDS[:8])
    path.write_text(path.read_text().replace("\n5.0,", "\nDK,").replace("\n5,", "\nDK,").replace("\n4,", "\n9,"))
    found = fit_instrument(path, missing=["dk", "9"], factors=2)
    assert found.diagnostics.missing["q1"] == pytest.approx(0.4, abs=0.01)
    assert found.diagnostics.missing["q2"] == 0


@pytest.mark.parametrize("scale", [(1, 10), (0, 10)])
def test_scales_of_ten_and_eleven_options_reach_the_model(tmp_path, tiny, scale):
    path = tmp_path / "wvs.toml"
    fit_instrument(write(tmp_path / "d.csv", rated(*scale), IDS[:8])).write(path)
    instrument = load_instrument(path)
    forms = [f"{labels}/{layout}/0/en" for labels in ("letters", "lower") for layout in LAYOUTS]
    record = score_model(instrument, ModelChoice(tiny), Asking(tuple(forms)))
    assert all(mean is not None and scale[0] < mean < scale[1] for mean in record.item_means.values())
    assert (audit(asking(Respondent(ModelChoice(tiny))), instrument, short=True)).verdict
    options = present(instrument, "q1", parse_format("letters")).labels
    assert options == tuple("ABCDEFGHIJK"[: scale[1] - scale[0] + 1])
    with pytest.raises(UserError, match=r"'digits' name 9 options, .*letters, lower, roman, symbols"):
        questionnaire(instrument, [parse_format("digits")])


def columns(*answers: np.ndarray) -> np.ndarray:
    """Eight items, some from each of several scales."""
    share = 8 // len(answers)
    return np.column_stack([one[:, k * share : (k + 1) * share] for k, one in enumerate(answers)])


def notes_of(path, **options) -> str:
    return "\n".join(fit_instrument(path, factors=2, **options).diagnostics.notes)


@pytest.mark.parametrize(
    ("answers", "named", "also"),
    [
        (columns(coded(rated(1, 5), [-1, -2]), rated(-2, 2)), "-2,-1", "-2 and -1 in q1, q2, q3, q4 "),
        (coded(rated(-2, 2), [-3], 0.04), "-3", ""),
        (coded(rated(2, 6) * 2 - 2, [99]), "99", ""),
        (coded(rated(0, 4) * 25, [999]), "999", ""),
        (coded(rated(1, 4), [6, 7, 8, 9], 0.2), "6,7,8,9", ""),
        (coded(rated(1, 6), [7, 9]), "9", "if they stand for no answer (and 7, if the scale ends below)"),
        (coded(rated(1, 5), [66], 0.6), "66", ""),
        (coded(rated(1, 5), [-2], 0.6), "-2", ""),
        (coded(rated(0, 10), [77, 88, 99]), "77,88,99", ""),
        (coded(rated(0, 4), [-5, -4, -3, -2, -1]), "-5,-4,-3,-2,-1", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused_are_the_codes_alone(tmp_path, answers, named, also):
    path = write(tmp_path / "d.csv", answers, IDS[:8])
    with pytest.raises(UserError, match=rf"Give `missing=\[{named.replace(',', ', ')}\]` if they") as refused:
        fit_instrument(path)
    assert also in str(refused.value)
    assert fit_instrument(path, missing=named.split(","), factors=2).toml


@pytest.mark.parametrize(
    ("answers", "options", "said"),
    [
        (rated(1, 5) * 2, "[2, 4, 6, 8, 10]", "if those between are answers too, give `scale=(2, 10)`"),
        (rated(-3, 2), "[-3, -2, -1, 0, 1, 2]", "-3 in q1, q2, q3, q4, q5, q6 and 2 more items lies apart"),
        (rated(0, 4) * 25, "[0, 25, 50, 75, 100]", "are 0, 25, 50, 75, 100."),
        (rated(1, 2) * 4 - 3, "[1, 2, 3, 4, 5]", ""),
        (np.array([1, 10, 100])[rated(0, 2)], "[1, 10, 100]", "100 in q1, q2"),
        (np.array([1, 2, 7])[rated(0, 2)], "[1, 2, 3, 4, 5, 6, 7]", "7 in q1, q2"),
    ],
    ids=["even", "below", "hundred", "two", "powers", "gap"],
)  # fmt: skip
def test_what_many_people_answer_is_an_answer(tmp_path, answers, options, said):
    path = write(tmp_path / "d.csv", answers, IDS[:8])
    found = fit_instrument(path, factors=2)
    assert f"= {options}\n" in found.toml
    assert said in "\n".join(found.diagnostics.notes)
    found.write(tmp_path / "x.toml")
    middle = {item: (answers.min() + answers.max()) / 2 for item in load_instrument(tmp_path / "x.toml").item_ids}
    scores = score_item_means(load_instrument(tmp_path / "x.toml"), middle)
    assert scores == pytest.approx(dict.fromkeys(scores, 50), abs=1e-3)


def test_a_scale_of_a_hundred_can_be_stated(tmp_path):
    path = write(tmp_path / "d.csv", rated(0, 2) * 25 + 25, IDS[:8])
    assert "= [0, 25, 50, 75, 100]\n" in fit_instrument(path, scale=(0, 100)).toml
    with pytest.raises(UserError, match="expected the lower end first"):
        fit_instrument(path, scale=(100, 0))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-100, 100), min_size=2, max_size=11, unique=True), st.integers(0, 5))
def test_there_is_always_a_way_to_say_that_all_are_answers(tmp_path_factory, values, seed):
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(values), (400, 3), p=rng.dirichlet(np.ones(len(values)) * 5))
    drawn = np.where(rng.random((400, 3)) < 0.6, drawn[:, :1], drawn)
    path = write(tmp_path_factory.getbasetemp() / "way.csv", np.array(sorted(values))[drawn], IDS[:3])
    try:
        fit_instrument(path, missing=["none"], factors=1)
    except UserError as error:
        assert "everyone gave the same" in str(error)


def test_a_gap_that_other_items_close_is_noted(tmp_path):
    path = write(tmp_path / "d.csv", columns(coded(rated(1, 5), [9]), rated(1, 9)), IDS[:8])
    said = notes_of(path)
    assert "9 in q1, q2, q3, q4 lies apart from the rest of the scale" in said
    assert "empty those cells" in said


def test_none_takes_all_as_answers_and_says_so(tmp_path):
    path = write(tmp_path / "d.csv", coded(rated(1, 5), [9]), IDS[:8])
    assert "9 in q1, q2" in notes_of(path, missing=["none"])
    assert "= [1, 2, 3, 4, 5, 6, 7, 8, 9]" in fit_instrument(path, missing=["None"], factors=2).toml


@pytest.mark.parametrize("code", ["9.0", "09", "+9", " 9 ", 9, "9e0", "9."])
def test_a_code_is_a_number_however_it_is_written(tmp_path, code):
    path = write(tmp_path / "d.csv", coded(rated(1, 5), [9]), IDS[:8])
    plain = fit_instrument(path, missing=["9"], factors=2)
    assert fit_instrument(path, missing=[code], factors=2) == plain
    path.write_text(path.read_text().replace(",9,", ",9.0,").replace("\n9,", "\n+9,"))
    assert fit_instrument(path, missing=[code], factors=2) == plain


def test_a_code_that_never_occurs_is_mentioned(tmp_path):
    path = write(tmp_path / "d.csv", coded(rated(1, 5), [9]), IDS[:8])
    assert "No cell of these items holds '77', 'dk', named with `missing`" in notes_of(path, missing=[9, 77, "DK"])
    for wrong in ("9.5", "1e300", "9" * 301):
        with pytest.raises(UserError, match="expected whole numbers of up to 15 digits, or words") as error:
            fit_instrument(path, missing=[wrong])
        assert len(str(error.value)) < 150


@pytest.mark.parametrize("cell", ["2_5", "1_0", "1e308", "9" * 301, "-9999999", "٣", "2.5", "inf", "nan()"])
def test_a_cell_that_is_no_answer_is_named_and_shown_short(tmp_path, cell):
    path = tmp_path / "d.csv"
    path.write_text(f"a,b,c\n1,2,{cell}\n2,3,2\n3,1,1\n1,2,2\n")
    with pytest.raises(
        UserError, match="line 2, column c: expected a whole number from -1,000,000 to 1,000,000 or"
    ) as e:
        fit_instrument(path)
    assert len(str(e.value)) < len(str(path)) + 220


@pytest.mark.parametrize("seed", [-1, 2**63, 10**400])
def test_a_seed_that_is_none(tmp_path, seed):
    with pytest.raises(UserError, match=r"^The seed is .*; expected a whole number from 0 to 9223372036854775807\.$"):
        fit_instrument(tmp_path / "none.csv", seed=seed)
