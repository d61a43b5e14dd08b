"""Instruments: hand-computed scores, complete wordings, and a sentence for every mistake in a file."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.runs.score import Asking, score_model
from acculturate.survey.instrument import Wording
from acculturate.survey.instrument_files import builtin_instruments, load_instrument
from acculturate.survey.item_means import canonical_item, read_item_means, score_item_means

DOC = (Path(__file__).parents[2] / "docs" / "instruments.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```toml\n(id = .*?)```", DOC, re.DOTALL)[1]
VSM = load_instrument("vsm2013")
NEUTRAL = dict.fromkeys(VSM.item_ids, 3.0)
BUILTIN = {name: load_instrument(name) for name in builtin_instruments()}
WORDINGS = [(name, wording) for name, instrument in BUILTIN.items() for wording in instrument.wordings]
WORDED = [(wording, variant) for wording in VSM.wordings for variant in range(wording.variants)]


# Scores


@pytest.mark.parametrize(
    ("dimension", "means", "score"),
    [
        ("pdi", {"m07": 2.5, "m02": 2.0, "m20": 3.4, "m23": 3.0}, 35 * 0.5 + 25 * 0.4 + 50),
        ("idv", {"m04": 2.0, "m01": 1.5, "m09": 2.2, "m06": 2.0}, 35 * 0.5 + 35 * 0.2 + 50),
        ("mas", {"m05": 2.0, "m03": 2.4, "m08": 3.0, "m10": 2.0}, -35 * 0.4 + 35 * 1.0 + 50),
        ("uai", {"m18": 2.0, "m15": 3.0, "m21": 2.8, "m24": 2.0}, -40 * 1.0 + 25 * 0.8 + 50),
        ("lto", {"m13": 2.5, "m14": 2.0, "m19": 1.6, "m22": 2.0}, 40 * 0.5 - 25 * 0.4 + 50),
        ("ivr", {"m12": 3.0, "m11": 2.0, "m17": 3.5, "m16": 4.0}, 35 * 1.0 - 40 * 0.5 + 50),
    ],
)
def test_vsm_formulas_by_hand(dimension, means, score):
    scores = score_item_means(VSM, means)
    assert scores[dimension] == pytest.approx(score)
    assert [other for other, value in scores.items() if value is not None] == [dimension]


def test_vsm_dimensions_in_order_and_their_weights_balance():
    assert VSM.dimension_ids == ("pdi", "idv", "mas", "uai", "lto", "ivr")
    assert VSM.item_ids == tuple(f"m{number:02d}" for number in range(1, 25))
    assert (VSM.weights() != 0).sum(axis=1).tolist() == [4] * 6
    # Every item counts once.
    assert (VSM.weights() != 0).sum(axis=0).tolist() == [1] * 24
    for mas25 in (False, True):
        np.testing.assert_array_equal(VSM.weights(mas25=mas25).sum(axis=1), np.zeros(6))


def test_mas25_changes_the_second_masculinity_term_only():
    means = NEUTRAL | {"m05": 2.0, "m03": 2.4, "m08": 3.0, "m10": 2.0}
    assert score_item_means(VSM, means, mas25=True)["mas"] == pytest.approx(-35 * 0.4 + 25 * 1.0 + 50)
    changed = np.argwhere(VSM.weights(mas25=True) != VSM.weights()).tolist()
    assert changed == [[2, 7], [2, 9]]
    with pytest.raises(UserError, match=r"values_map.*no legacy mode"):
        load_instrument("values_map").weights(mas25=True)


@pytest.mark.parametrize("name", BUILTIN)
@given(constant=st.floats(-100, 100))
def test_mid_scale_answers_score_the_constant(name, constant):
    instrument = BUILTIN[name]
    middle = {item.id: float(np.mean(instrument.scales[item.scale].values)) for item in instrument.items}
    scores = score_item_means(instrument, middle, constant=constant)
    assert list(scores) == list(instrument.dimension_ids)
    assert all(value == pytest.approx(constant, abs=1e-9) for value in scores.values())


def test_values_map_runs_from_0_to_100():
    instrument = BUILTIN["values_map"]
    values = [instrument.scales[item.scale].values for item in instrument.items]
    extremes = []
    for pick in (min, max):
        weights = instrument.weights()
        best = [sum(pick(w * v for v in options) for w, options in zip(row, values, strict=True)) for row in weights]
        extremes.append((np.array(best) + instrument.constants()).tolist())
    assert extremes == [[0, 0], [100, 100]]
    secular = {"v01": 5, "v02": 4, "v03": 1, "v04": 5, "v05": 5}
    assert score_item_means(instrument, secular) == {"secular": 95.0, "expression": None}


def test_constants_per_dimension():
    given = dict(zip(VSM.dimension_ids, range(6), strict=True))
    np.testing.assert_array_equal(VSM.constants(given), np.arange(6.0))
    np.testing.assert_array_equal(VSM.constants(0), np.zeros(6))
    np.testing.assert_array_equal(BUILTIN["values_map"].constants(10), [-35, 60])
    with pytest.raises(UserError, match=r"no dimension 'pdj' \(nearest: 'pdi'\)"):
        VSM.constants(given | {"pdj": 1.0})
    with pytest.raises(UserError, match="No constant for dimension 'ivr'"):
        VSM.constants({key: value for key, value in given.items() if key != "ivr"})
    with pytest.raises(UserError, match="finite"):
        VSM.constants(math.nan)


@pytest.mark.parametrize("wrong", [1e308, -math.inf, 10**400, 1e7, -1000001])
def test_constants_that_are_no_numbers_of_points(wrong):
    for chosen in (wrong, dict.fromkeys(VSM.dimension_ids, 0) | {"pdi": wrong}):
        with pytest.raises(UserError, match="constants of instrument 'vsm2013' must be finite numbers from") as said:
            VSM.constants(chosen)
        assert len(str(said.value)) < 200
    with pytest.raises(UserError, match="must be finite numbers"):  # before a model is looked for
        score_model(VSM, ModelChoice("/nowhere"), Asking(constant=float(wrong) if abs(wrong) < 1e300 else math.inf))


def test_values_and_mask_of_items_with_fewer_options():
    instrument = BUILTIN["values_map"]
    assert instrument.values()[8].tolist() == [1, 2, 3, 0, 0]
    assert instrument.option_mask()[8].tolist() == [True, True, True, False, False]
    assert VSM.values().shape == (24, 5)
    assert VSM.option_mask().all()


# Item means


def test_missing_means_make_only_their_dimension_missing():
    scores = score_item_means(VSM, NEUTRAL | {"m07": None, "m15": math.nan})
    assert scores == {"pdi": None, "idv": 50, "mas": 50, "uai": None, "lto": 50, "ivr": 50}


def test_synonyms_of_item_ids():
    for synonym in ("m01", "m1", "1", "01", "q1", "q01", "M01", "Q1"):
        assert canonical_item(VSM, synonym) == "m01"
    assert canonical_item(VSM, "20") == "m20"
    for wrong in ("m25", "0", "", "x1", "mm1", "1.0"):
        with pytest.raises(UserError, match="no item"):
            canonical_item(VSM, wrong)


def test_wrong_item_means_are_named():
    with pytest.raises(UserError, match=r"no item 'm0l'.*nearest: 'm01'"):
        score_item_means(VSM, {"m0l": 2.0})
    with pytest.raises(UserError, match=r"mean 5.5 of item 'm04' .* 1 to 5"):
        score_item_means(VSM, {"4": 5.5})
    with pytest.raises(UserError, match="mean a huge number of item 'm04'"):
        score_item_means(VSM, {"4": 10**400})
    with pytest.raises(UserError, match="'m04' is given twice, as 'q4' and as 'm04'"):
        score_item_means(VSM, {"q4": 2.0, "m04": 2.0})


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_read_item_means(tmp_path, start):
    path = tmp_path / "means.csv"
    path.write_text(start + "item,n,mean\nm01,10,2.5\n\n q2 ,10,\n", encoding="utf-8")
    assert read_item_means(path) == {"m01": 2.5, "q2": None}
    path.write_text(start + "item;n;mean\nm01;10;2.5\nm02;9;NA\nm03;9;#NULL!\n", encoding="utf-8")
    assert read_item_means(path) == {"m01": 2.5, "m02": None, "m03": None}
    path.write_text(start + "Item,MEAN\nm01,2.5\n", encoding="utf-8")
    assert read_item_means(path) == {"m01": 2.5}
    path.write_text(start + "mean\titem\n2.5\tm01\nna\tm02\n", encoding="utf-8")
    assert read_item_means(path) == {"m01": 2.5, "m02": None}


def test_a_home_directory_is_one_in_a_path_of_item_means(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "means.csv").write_text("item,mean\nm01,2.5\n")
    assert read_item_means(Path("~/means.csv")) == {"m01": 2.5}
    with pytest.raises(UserError, match="no home directory for the '~'"):
        read_item_means(Path("~nobody9/means.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("m01,2\nm02,3\n", "line 1: expected a header"),
        ("item;mean\nm01;2,05\n", "line 2: expected a number with a decimal point, .*'2,05'"),
        ("item,mean\nm01,2\nm02,two\n", "line 3: expected a number.*'two'"),
        ("item,mean\nm01,nan\n", "line 2: expected a number"),
        ("item,mean\nm01,2_5\n", "line 2: expected a number.*'2_5'"),
        ("item,mean\nm01,-1e308\n", "line 2: expected a number .* from -1,000,000 to 1,000,000, .*'-1e308'"),
        ("item,mean\nm01,2,5\n", "line 2: expected 2 fields.*found 3"),
        ("item,mean\n,2\n", "line 2: the item id is empty"),
        ('item,mean\n"m01\nx",2\nm02,x\n', "line 4: expected a number"),
        ("item,mean\nm01,2\n\nm01,3\n", "line 4: item 'm01' stands already in line 2"),
    ],
)
def test_faults_in_item_means_name_file_and_line(tmp_path, content, message):
    path = tmp_path / "means.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"means\.csv, {message}"):
        read_item_means(path)


def test_item_means_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read .*none\.csv"):
        read_item_means(tmp_path / "none.csv")
    path = tmp_path / "long.csv"
    path.write_text("item" * 50_000, encoding="utf-8")
    with pytest.raises(UserError, match="not a CSV file"):
        read_item_means(path)
    path = tmp_path / "empty.csv"
    path.write_text("")
    with pytest.raises(UserError, match="expected a header line"):
        read_item_means(path)
    path = tmp_path / "latin.csv"
    path.write_bytes("item,mean\nm01,2\n# é".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        read_item_means(path)


# Built-in wordings


@pytest.mark.parametrize(("name", "wording"), WORDINGS, ids=lambda part: getattr(part, "language", part))
def test_builtin_wordings_are_complete_and_really_vary(name: str, wording: Wording):
    instrument = BUILTIN[name]
    count = instrument.variants(wording.language)
    assert count == {"values_map": 2, "vsm2013": 12 if wording.language == "en" else 4}[name]
    assert not wording.official
    assert "own" in wording.source
    for item in instrument.items:
        questions, options = zip(
            *(
                (
                    instrument.question(item.id, language=wording.language, variant=variant),
                    instrument.options(item.id, language=wording.language, variant=variant),
                )
                for variant in range(count)
            ),
            strict=True,
        )
        assert len(set(questions)) == count
        assert len(set(options)) == count
        assert {len(texts) for texts in options} == {len(instrument.scales[item.scale].values)}
        assert all(len(set(texts)) == len(texts) for texts in options)
    for variant in range(count):
        asked = [instrument.question(item, language=wording.language, variant=variant) for item in instrument.item_ids]
        assert len(set(asked)) == len(asked)


@pytest.mark.parametrize(("name", "wording"), WORDINGS, ids=lambda part: getattr(part, "language", part))
def test_builtin_texts_are_plain(name: str, wording: Wording):
    frame = wording.frame
    texts = [text for words in wording.items.values() for text in words.text]
    texts += [text for stem in wording.stems.values() for text in stem]
    texts += [text for scale in wording.scales.values() for options in scale for text in options]
    texts += [*frame.intro, frame.question, frame.options, frame.answer]
    for text in texts:
        assert text == text.strip() != ""
        assert not re.search(r"[{}\n\t]|<\||\|>|\[INST|</?s>", text)
    assert len(set(frame.intro)) >= 3
    assert set(frame.ask) == {"digits", "letters", "marks"}
    assert all(text.count("{labels}") == 1 for text in frame.ask.values())
    used = {words.stem for words in wording.items.values()} - {None}
    assert used == set(wording.stems)


def test_groups_share_their_opening_word_for_word():
    for wording, variant in WORDED:
        opening = wording.stems["job"][variant]
        for number in range(1, 11):
            text = VSM.question(f"m{number:02d}", language=wording.language, variant=variant)
            assert text.startswith(opening + wording.frame.joiner)


def test_every_variant_of_the_vsm_has_an_introduction_of_its_own():
    for wording in VSM.wordings:
        assert len(wording.frame.intro) == wording.variants


def test_item_20_runs_against_15_to_17():
    for wording, variant in WORDED:
        rising = VSM.options("m20", language=wording.language, variant=variant)
        assert rising[::-1] == VSM.options("m15", language=wording.language, variant=variant)
    assert VSM.options("m15")[0] == "Always"


def test_languages_and_lookups():
    assert VSM.languages == ("en", "ar", "hi", "zh")
    for call in (
        lambda: VSM.question("m1x"),
        lambda: VSM.options("m01", language="xx"),
        lambda: VSM.question("m01", variant=12),
        lambda: VSM.question("m01", variant=-1),
        lambda: load_instrument("vsm2012"),
        lambda: load_instrument("none.toml"),
    ):
        with pytest.raises(UserError):
            call()
    with pytest.raises(UserError, match=r"nearest: 'vsm2013'"):
        load_instrument("vsm2012")


# A user's own files


def write(folder: Path, text: str, name: str = "meals.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_of_the_manual_loads_and_scores(tmp_path):
    meals = load_instrument(write(tmp_path, EXAMPLE))
    assert meals.question("together", variant=1) == "Thinking of the past week, how often did you share a meal?"
    assert meals.question("grace").startswith("Does your household")
    assert meals.options("grace", variant=1) == ("They do", "They do not")
    assert meals.values().tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 0, 0, 0]]
    assert score_item_means(meals, {"together": 3, "screens": 3, "grace": 1.5}) == {"company": 50}
    assert score_item_means(meals, {"together": 1, "screens": 5, "grace": 1}) == {"company": 85}
    assert meals.wording("en").official


def test_yaml_means_the_same_as_toml(tmp_path):
    import tomllib

    # JSON is a part of YAML.
    as_yaml = write(tmp_path, json.dumps(tomllib.loads(EXAMPLE)), "meals.yaml")
    assert load_instrument(as_yaml) == load_instrument(write(tmp_path, EXAMPLE))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('citation = "', 'citatoin = "', r"top level: unknown key 'citatoin' \(nearest: 'citation'\)"),
        ('version = "1"', "version = 1", "version: expected text, found 1"),
        ('about = "Togetherness at meals, from three items"', "", "top level: the key 'about' is missing"),
        (
            'scale = "yesno"',
            'scale = "yesmo"',
            r"items.grace.scale: there is no scale 'yesmo' \(nearest: 'yesno'",
        ),
        (
            'stem = "often"',
            'stem = "oftne"',
            r"wording.en.items.together.stem: there is no stem 'oftne' \(nearest",
        ),
        (
            "together = -10",
            "togther = -10",
            r"company.weights: there is no item 'togther' \(nearest: 'together'",
        ),
        ("screens = 5", "screens = nan", "dimensions.company.weights.screens: expected a finite number"),
        ("screens = 5", "screens = 1e308", "weights.screens: expected a finite number from .*, found 1e.308"),
        ("low = 0", "low = -1000001", "company.low: expected a finite number from -1,000,000 to 1,000,000"),
        ("screens = 5", f"screens = 1{'0' * 400}", "weights.screens: expected a finite number .*found a huge number"),
        ('id = "meals"', 'id = "../meals"', "id: the name '../meals' may only have letters"),
        ("yesno = [1, 2]", '"yes no" = [1, 2]', "scales: the name 'yes no' may only have letters"),
        ("screens = 5", "screens = true", "weights.screens: expected a number, found true"),
        ("screens = 5", 'screens = "5"', "weights.screens: expected a number, found '5'"),
        ("{ together = -10, screens = 5, grace = -10 }", "{ grace = 0 }", "weights: a dimension needs"),
        (
            "yesno = [1, 2]",
            "yesno = [1, 2, 3]",
            r"scales: yesno\[0\] has 2 options where the scale has 3 values",
        ),
        ("yesno = [1, 2]", "yesno = [1, 1]", "scales.yesno: a scale needs at least two options"),
        ("yesno = [1, 2]", "yesno = []", "scales.yesno: expected a list with at least one entry"),
        ('["They do", "They do not"]', '["So", "So"]', r"yesno\[1\] has the same text for two options"),
        (', "did you share a meal?"', "", "en: items.screens has 2 variants and items.together has 1"),
        ('["How often", ', "[", "en: stems.often has 1 variants and items.together has 2"),
        ('[["Yes", "No"], ', "[", "en: scales.yesno has 1 variants"),
        ('"did you share a meal?"', '"  "', r"together.text\[1\]: the text is empty"),
        ('"did you share a meal?"', '"a <|im_end|>"', r"together.text\[1\]: the text contains '<\|'"),
        (
            "grace = { text",
            "graces = { text",
            r"items: the instrument has no item 'graces' \(nearest: 'grace'\)",
        ),
        ("yesno = [[", "yes_no = [[", r"scales: the instrument has no scale 'yes_no' \(nearest: 'yesno'\)"),
        ("official = true", 'official = "yes"', "wording.en.official: expected true or false"),
        ("low = 0", "low = 100", r"dimensions.company: low \(100\) must be below high \(100\)"),
        ("({labels})", "(labels)", "frame.ask.digits: expected the place of the labels"),
        ('joiner = " "', 'joiner = "-"', "frame.joiner: expected spaces"),
        (
            "[wording.en.frame.ask]",
            "[wording.en.frame.asks]",
            r"frame: unknown key 'asks' \(nearest: 'ask'\)",
        ),
        ("yesno = [1, 2]", "yesno = [1, 2]\nyesno = [1, 2]", "not valid TOML: .*line"),
        ('id = "meals"', 'id = "meals', "not valid TOML: .*line 1"),
    ],
)
def test_each_fault_in_a_file_is_named(tmp_path, old, new, message):
    assert old in EXAMPLE
    path = write(tmp_path, EXAMPLE.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        load_instrument(path)
    assert "meals.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", ["scales", "items", "dimensions"])
def test_nothing_may_be_empty(tmp_path, table):
    import tomllib

    content = tomllib.loads(EXAMPLE)
    content[table] = {}
    with pytest.raises(UserError, match=r"meals\.yml, .*expected at least one entry"):
        load_instrument(write(tmp_path, json.dumps(content), "meals.yml"))


def test_an_instrument_needs_words(tmp_path):
    silent = EXAMPLE[: EXAMPLE.index("# One table per language")]
    with pytest.raises(UserError, match="has no wording"):
        load_instrument(write(tmp_path, silent))


def test_missing_item_and_scale_texts(tmp_path):
    without = "\n".join(line for line in EXAMPLE.splitlines() if not line.startswith("grace = { text"))
    with pytest.raises(UserError, match=r"wording\.en\.items: the item 'grace' has no text"):
        load_instrument(write(tmp_path, without))
    without = "\n".join(line for line in EXAMPLE.splitlines() if not line.startswith("yesno = [["))
    with pytest.raises(UserError, match=r"wording\.en\.scales: the scale 'yesno' has no text"):
        load_instrument(write(tmp_path, without))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' stands twice"),
        ("a: [1\n", "line 2: not valid YAML"),
        ("!!python/object/apply:os.getcwd []\n", "not valid YAML"),
        ("no: 1\n", "line 1: YAML reads no as false; put it in quotes, 'no', or write false"),
        ("1: 1\n", "expected names in text, found 1"),
        ("- 1\n", "expected a table of named entries, found a list"),
        ("", "expected a table of named entries, found nothing"),
        ("a: \x00", "not valid YAML"),
        ("a: 2024-13-45\n", "not valid YAML"),
        ("? [1, 2]\n: 3\n", "not valid YAML"),
    ],
)
def test_faulty_yaml(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as caught:
        load_instrument(write(tmp_path, content, "x.yaml"))
    assert "x.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="Cannot read"):
        load_instrument(tmp_path / "none.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('id = "é"'.encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        load_instrument(latin)
    with pytest.raises(UserError, match=r"ending '\.json'"):
        load_instrument("vsm2013", wording=write(tmp_path, "{}", "words.json"))


def own_wording(language: str, *, frame: bool) -> str:
    lines = [f'language = "{language}"', 'name = "Own"', "official = true", 'source = "my copy"', "[items]"]
    lines += [f'{item} = {{ text = ["question {item}"] }}' for item in VSM.item_ids]
    lines += ["[scales]", *(f'{scale} = [["a", "b", "c", "d", "e"]]' for scale in VSM.scales)]
    if frame:
        lines += [
            "[frame]",
            'intro = ["i"]',
            'question = "q"',
            'options = "o"',
            'answer = "a"',
            "[frame.ask]",
        ]
        lines += ['digits = "{labels}"', 'letters = "{labels}"']
    return "\n".join(lines)


def test_own_text_replaces_a_language(tmp_path):
    path = write(tmp_path, own_wording("en", frame=False), "official.toml")
    instrument = load_instrument("vsm2013", wording=path)
    assert instrument.languages == VSM.languages
    assert instrument.question("m07") == "question m07"
    assert instrument.variants("en") == 1
    assert instrument.wording("en").official
    assert instrument.wording("en").source == "my copy"
    assert instrument.wording("en").frame == VSM.wording("en").frame
    assert instrument.wording("zh") == VSM.wording("zh")


def test_own_text_adds_a_language_which_needs_a_frame(tmp_path):
    path = write(tmp_path, own_wording("de", frame=True), "official.toml")
    instrument = load_instrument("vsm2013", wording=path)
    assert instrument.languages == (*VSM.languages, "de")
    assert instrument.question("m24", language="de") == "question m24"
    path = write(tmp_path, own_wording("de", frame=False), "official.toml")
    with pytest.raises(UserError, match="no built-in frame for the language 'de'"):
        load_instrument("vsm2013", wording=path)


def test_our_frame_serves_an_instrument_without_one(tmp_path):
    frameless = EXAMPLE[: EXAMPLE.index("# Optional for en, ar, hi")]
    meals = load_instrument(write(tmp_path, frameless))
    assert meals.wording("en").frame == VSM.wording("en").frame
