"""Targets: the built-in figures, how countries are recognised, and what a user's file may contain."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.survey.countries import iso_codes, name_key, names
from acculturate.survey.targets import (
    VSM_DIMENSIONS,
    Target,
    TargetSet,
    builtin_target_sets,
    explain_missing,
    find_target,
    load_target_set,
)

# Codes that are no ISO 3166 country; docs/targets.md lists them.
OWN_CODES = {"AFE", "AFW", "ARA", "BEL-FR", "BEL-NL", "CAN-FR", "DEU-EAST", "ZAF-WHITE", "CHE-FR", "CHE-DE"}

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(content: str | bytes) -> Path:
        path = tmp_path / "mine.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


def scores(country: str, target_set: str | Path = "hofstede-2015") -> list[float | None]:
    found = find_target(country, target_set).scores
    return [found[name] for name in VSM_DIMENSIONS]


def problem(path: str | Path, **options: tuple[str, ...]) -> str:
    with pytest.raises(UserError) as caught:
        load_target_set(path, options.get("dimensions", VSM_DIMENSIONS))
    return str(caught.value)


# The built-in figures


@pytest.mark.parametrize(
    ("country", "target_set", "expected"),
    [
        ("USA", "hofstede-2015", [40, 91, 62, 46, 26, 68]),
        ("CHN", "hofstede-2015", [80, 20, 66, 30, 87, 24]),
        ("IND", "hofstede-2015", [77, 48, 56, 40, 51, 26]),
        ("GRC", "hofstede-2015", [60, 35, 57, 112, 45, 50]),
        ("PAK", "hofstede-2015", [55, 14, 50, 70, 50, 0]),
        ("SAU", "hofstede-2015", [None, None, None, None, 36, 52]),
        ("SAU", "country-tool-estimate", [95, 25, 60, 80, 36, 52]),
        ("SAU", "country-tool-2023", [72, 48, 43, 64, 27, 14]),
        ("SAU", "regional-2015", [80, 38, 53, 68, 23, 34]),
    ],
)
def test_published_figures(country: str, target_set: str, expected: list[float | None]) -> None:
    assert scores(country, target_set) == expected


def test_the_matrix_is_the_published_file() -> None:
    raw = resources.files("acculturate.survey").joinpath("data/targets/hofstede-2015.csv").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == "1aea45200b7dc90b620474d689f0b9ae67c2c4c762c66007ce8615237c20a753"
    matrix = load_target_set("hofstede-2015")
    assert len(matrix.targets) == 111
    present = {name: sum(t.scores[name] is not None for t in matrix.targets) for name in VSM_DIMENSIONS}
    lines = [line.split(";")[2:] for line in raw.decode().splitlines()[1:]]
    columns = zip(VSM_DIMENSIONS, zip(*lines, strict=True), strict=True)
    assert present == {name: sum(cell != "#NULL!" for cell in column) for name, column in columns}


def test_regional_rows_are_the_matrix_rows() -> None:
    for target in load_target_set("regional-2015").targets:
        assert target.scores == find_target(target.code).scores


@pytest.mark.parametrize("name", list(builtin_target_sets()))
def test_every_built_in_set_is_sound(name: str) -> None:
    table = load_target_set(name)
    assert isinstance(table, TargetSet)
    assert (table.id, table.instrument) == (name, "vsm2013")
    assert table.version and table.provenance and builtin_target_sets()[name]
    codes = [target.code for target in table.targets]
    assert len(set(codes)) == len(codes)
    for target in table.targets:
        assert tuple(target.scores) == VSM_DIMENSIONS
        assert all(value is None or 0 <= value <= 112 for value in target.scores.values())
        assert target.target_set == name and target.provenance
        assert target.code in OWN_CODES or pycountry.countries.get(alpha_3=target.code) is not None
        assert table.find(target.country) == target
        if target.code != "SLV":
            assert table.find(target.code) == target


def test_the_four_sets_are_there() -> None:
    assert set(builtin_target_sets()) == {
        "hofstede-2015",
        "country-tool-estimate",
        "country-tool-2023",
        "regional-2015",
    }


# Recognising countries


def test_every_iso_country_is_recognised(write: Write) -> None:
    """pycountry is the oracle: its codes and names lead to its alpha-3 code."""
    rows = "".join(f"{c.alpha_3},1\n" for c in pycountry.countries)
    table = load_target_set(write("iso3,pdi\n" + rows))
    assert len(table.targets) == len(pycountry.countries)
    for country in pycountry.countries:
        spellings = {country.alpha_3, country.alpha_2, country.alpha_2.lower(), country.name}
        spellings |= {getattr(country, kind, country.name) for kind in ("common_name", "official_name")}
        spellings |= {f"{country.name} (the)", country.numeric, country.numeric.lstrip("0")}
        for spelling in spellings - {"Congo", "Congo (the)"}:
            assert table.find(spelling).code == country.alpha_3, spelling


@pytest.mark.parametrize(
    ("code", "spellings"),
    [
        ("COG", ("Congo, Rep.", "Congo (Brazzaville)", "Republic of the Congo")),
        ("COD", ("Congo, Dem. Rep.", "Congo (the Democratic Republic of the)", "Congo, DR", "DR Congo")),
        ("KOR", ("S. Korea", "S Korea", "Korea, Rep.", "Korea (the Republic of)", "Korea, South")),
        ("PRK", ("Korea, Dem. People's Rep.", "Korea, Dem. People’s Rep.", "Dem. People's Republic of Korea")),
        ("GIN", ("Guinea",)),
        ("GNB", ("Guinea-Bissau",)),
        ("GNQ", ("Equatorial Guinea",)),
        ("PNG", ("Papua New Guinea",)),
        ("NER", ("Niger (the)", "Republic of Niger")),
        ("NGA", ("Nigeria", "Federal Republic of Nigeria")),
        ("DMA", ("Dominica",)),
        ("DOM", ("Dominican Republic (the)", "Dominican Rep.")),
        ("MAC", ("Macau SAR PRC", "Macao SAR, PRC", "Macau SAR, China")),
        ("HKG", ("Hong Kong SAR PRC", "Hong Kong SAR, PRC", "Hong Kong SAR, China", "China, Hong Kong SAR")),
        ("FSM", ("Micronesia, Fed. Sts.", "Micronesia (Federated States of)")),
        ("EGY", ("Egypt, Arab Rep.",)),
        ("GMB", ("Gambia, The", "The Gambia")),
        ("NLD", ("Netherlands (Kingdom of the)",)),
        ("PSE", ("West Bank and Gaza",)),
        ("VIR", ("Virgin Islands (U.S.)",)),
        ("GBR-NIR", ("Northern Ireland",)),
    ],
)
def test_names_as_iso_the_world_bank_and_the_un_write_them(code: str, spellings: tuple[str, ...], write: Write) -> None:
    for spelling in spellings:
        assert [t.code for t in load_target_set(write(f'country,pdi\n"{spelling}",1\n')).targets] == [code]


def test_no_two_countries_share_a_name_but_those_that_are_asked_about() -> None:
    shared = {key for key, codes in names().items() if len(codes) > 1}
    assert shared == {name_key("Congo"), name_key("Republic of China")}
    for key, code in iso_codes().items():
        assert names().get(key, (code,)) == (code,), "a code that is another country's name"


def test_numeric_codes_in_files(write: Write) -> None:
    table = load_target_set(write("code,country,pdi\n246,,1\n8,Albania,2\n004,Afghanistan,3\nX7,Our village,4\n"))
    assert [target.code for target in table.targets] == ["FIN", "ALB", "AFG", "X7"]
    for row, complaint in (
        ("246,Sweden", "'246' is Finland"),
        ("4,Our village", "'4' is Afghanistan"),
        ("999,", "ISO 3166"),
    ):
        with pytest.raises(UserError, match=f"line 2.*{complaint}"):
            load_target_set(write(f"code,country,pdi\n{row},1\n"))


@pytest.mark.parametrize(
    ("code", "spellings"),
    [
        ("USA", ("US", "usa", "United States", "U.S.A.", "U.S.", "America", "the United States of America")),
        ("GBR", ("UK", "U.K.", "Great Britain", "gbr", "United Kingdom", "GB")),
        ("KOR", ("Korea", "South Korea", "Korea South", "KOR", "kr", "Republic of Korea")),
        ("VNM", ("Viet Nam", "vietnam", "VIE", "VN")),
        ("CHN", ("CHI", "China", "cn")),
        ("DEU", ("GER", "Germany", "DE")),
        ("AUS", ("AUL", "australia", "AU")),
        ("TUR", ("Türkiye", "TURKEY", "Turkiye")),
        ("SVN", ("SVN", "SI", "Slovenia")),
        ("SLV", ("SV", "El Salvador", "SAL")),
        ("MNE", ("Montenegro", "ME")),
        ("MKD", ("Macedonia", "North Macedonia", "Macedonia Rep", "MK")),
        ("BEL-NL", ("Belgium Netherl", "bel-nl", "Belgium (Dutch speakers)")),
        ("ARA", ("Arab countries", "ARA")),
        ("DEU-EAST", ("GEE", "Germany East")),
        ("CZE", ("Czech Rep", "Czechia")),
    ],
)
def test_aliases_in_the_matrix(code: str, spellings: tuple[str, ...]) -> None:
    assert {find_target(spelling).code for spelling in spellings} == {code}


@pytest.mark.parametrize("number", ["840", "0840", "840.0", " 840.00 ", "00840", "８４０"])
def test_a_numeric_code_is_known_however_a_spreadsheet_left_it(number: str, write: Write) -> None:
    assert find_target(number).code == "USA"
    assert load_target_set(write(f"code,pdi\n{number},1\n")).targets[0].code == "USA"


@pytest.mark.parametrize("number", ["-4", "−4", "(4)", "0.4", "+4", "4.1", "8.4.0", "4-", "8_40", "-840.0", "1e2"])
def test_a_number_that_is_no_code_is_no_country(number: str, write: Write) -> None:
    with pytest.raises(UserError, match="No country is called"):
        find_target(number)
    with pytest.raises(UserError, match="expected an ISO 3166 code"):
        load_target_set(write(f"code,pdi\n{number},1\n"))


def test_saudi_arabia_by_its_names() -> None:
    for spelling in ("KSA", "Saudi Arabia", "SAU", "sa", "  saudi   arabia "):
        assert find_target(spelling, "country-tool-2023").code == "SAU"


@pytest.mark.parametrize(
    ("code", "both"),
    [
        ("SLV", ("El Salvador (SV)", "Slovenia (SI)")),
        ("MNG", ("Mongolia (MN)", "Montenegro (ME)")),
        ("mac", ("Macao (MO)", "North Macedonia (MK)")),
        ("BEN", ("Benin (BJ)", "Belgium (Dutch speakers) (BEL-NL)")),
        ("CAF", ("Central African Republic (CF)", "Canada (French speakers) (CAN-FR)")),
        ("Congo", ("Congo-Brazzaville (CG)", "Congo-Kinshasa (CD)")),
        ("Congo (the)", ("Congo-Brazzaville (CG)", "Congo-Kinshasa (CD)")),
        ("Republic of China", ("China (CN)", "Taiwan (TW)")),
    ],
)
def test_an_ambiguous_query_names_both_readings(code: str, both: tuple[str, str]) -> None:
    with pytest.raises(UserError) as caught:
        find_target(code)
    assert all(name in str(caught.value) for name in both)


def test_iso_wins_outside_the_matrix(write: Write) -> None:
    table = load_target_set(write("iso3,pdi\nMNG,10\nSLV,20\nSVN,30\n"))
    assert [table.find(code).country for code in ("MNG", "SLV", "SVN")] == [
        "Mongolia",
        "El Salvador",
        "Slovenia",
    ]


def test_an_unknown_country_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'Swizerland'.*Switzerland"):
        find_target("Swizerland")
    with pytest.raises(UserError, match="Saudi Arabia"):
        find_target("Saudia Arabia")
    for nonsense in ("", "  ", "qqqqqq"):
        with pytest.raises(UserError, match="ISO 3166"):
            find_target(nonsense)


def test_a_country_that_a_set_lacks_names_the_sets_that_have_it() -> None:
    with pytest.raises(UserError, match=r"country-tool-2023 has no scores for France \(FRA\).*hofstede-2015"):
        find_target("France", "country-tool-2023")
    with pytest.raises(UserError, match=r"Kuwait \(KWT\).*regional-2015 \(as part of Arab countries\)"):
        find_target("Kuwait")
    with pytest.raises(UserError, match=r"Kazakhstan \(KAZ\).*no built-in set"):
        find_target("Kazakhstan")


@pytest.mark.parametrize(("country", "region"), [("Kuwait", "ARA"), ("KEN", "AFE"), ("Sierra Leone", "AFW")])
def test_a_regional_set_answers_for_members_under_the_region_s_name(country: str, region: str) -> None:
    assert find_target(country, "regional-2015").code == region


@given(st.text(max_size=12))
def test_any_query_gives_a_target_or_a_sentence(query: str) -> None:
    try:
        assert isinstance(find_target(query), Target)
    except UserError as error:
        assert str(error)


# Missing scores


def test_vector_keeps_the_order_and_marks_gaps() -> None:
    target = find_target("SAU")
    np.testing.assert_array_equal(target.vector(("ivr", "pdi", "lto")), [52, np.nan, 36])
    np.testing.assert_array_equal(target.vector(("lto", "other")), [36, np.nan])
    assert target.missing == ("pdi", "idv", "mas", "uai")


@pytest.mark.parametrize("dimensions", [("pdi", "idv"), ("secular",), ()])
def test_vector_without_any_score_is_refused(dimensions: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"Saudi Arabia \(SAU\).*lto, ivr"):
        find_target("SAU").vector(dimensions)


def test_explain_missing() -> None:
    sentence = explain_missing(find_target("SAU"))
    assert sentence == (
        "Saudi Arabia in hofstede-2015 has no score on pdi, idv, mas, uai: country-tool-estimate and "
        "country-tool-2023 have scores there; regional-2015 offers those of Arab countries as a substitute."
    )
    assert explain_missing(find_target("USA")) is None
    assert (explain_missing(find_target("Armenia")) or "").endswith(
        "pdi, idv, mas, uai, ivr: no built-in set has them."
    )


# A user's file


def test_a_users_file(write: Write) -> None:
    path = write(
        "Country;ISO3;PDI;LtoWVS;Provenance\nGermany;DEU;35.5;NA;survey A\n;GB;#NULL!;-3;\nNippon group;X1;;1e1;\n"
    )
    table = load_target_set(path)
    assert (table.id, table.name, table.version[:7]) == ("mine.csv", "mine", "sha256:")
    germany, britain, group = table.targets
    assert (germany.country, germany.code, germany.provenance) == ("Germany", "DEU", "survey A")
    assert germany.scores == dict.fromkeys(VSM_DIMENSIONS) | {"pdi": 35.5}
    assert (britain.country, britain.scores["lto"]) == ("United Kingdom", -3)
    assert britain.provenance == "user's file mine.csv"
    assert table.find("nippon GROUP") is group is table.find("x1")
    assert group.scores["lto"] == 10


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_separators_line_endings_bom_and_blank_lines(write: Write, separator: str, ending: str) -> None:
    rows = (("country", "pdi", "idv"), ("Côte d'Ivoire", " 1 ", "2"), ("", "", ""))
    lines = [separator.join(cells) for cells in rows]
    path = write("\ufeff" + ending.join(lines) + ending * 3)
    assert scores("ivory coast", path) == [1, 2, None, None, None, None]


def test_the_original_matrix_file_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "matrix.csv"
    path.write_bytes(resources.files("acculturate.survey").joinpath("data/targets/hofstede-2015.csv").read_bytes())
    own, built_in = load_target_set(path), load_target_set("hofstede-2015")
    assert [(t.code, t.scores) for t in own.targets] == [(t.code, t.scores) for t in built_in.targets]


def test_other_dimensions(write: Write) -> None:
    path = write("code,Survival,secular\nSE,2.1,1.9\n")
    table = load_target_set(path, ("survival", "secular"), instrument="values-map")
    assert table.instrument == "values-map"
    np.testing.assert_array_equal(table.find("Sweden").vector(("secular", "survival")), [1.9, 2.1])
    assert "'survival'" in problem(path)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ("line 1", "header")),
        ("\n\n", ("line 1", "header")),
        ("Germany,1,2\n", ("line 1", "header")),
        ("country,pdi\n", ("line 1", "at least one country")),
        ("pdi,idv\n1,2\n", ("line 1", "no column names the country")),
        ("country,iso3\nGermany,DEU\n", ("line 1", "no dimension", "pdi, idv, mas, uai, lto, ivr")),
        ("country,pdi,power\nGermany,1,2\n", ("line 1", "'power'", "pdi, idv, mas, uai, lto, ivr")),
        ("country,pdi,PDI\nGermany,1,2\n", ("line 1", "'pdi'", "more than once")),
        ("country,lto,ltowvs\nGermany,1,2\n", ("line 1", "'lto'", "more than once")),
        ("country,iso3,code,pdi\nGermany,DEU,DEU,1\n", ("line 1", "iso3 and code")),
        ("country,pdi\nGermany,high\n", ("line 2", "column pdi", "'high'")),
        ("country;pdi\nGermany;3,5\n", ("line 2", "column pdi", "'3,5'", "decimal point")),
        ("country,pdi\nGermany,1\nFrance,nan\n", ("line 3", "column pdi", "'nan'")),
        ("country,pdi\nGermany,inf\n", ("line 2", "column pdi", "'inf'", "finite")),
        ("country,pdi\nGermany,1e999\n", ("line 2", "column pdi", "finite")),
        ("country,pdi\nGermany,1e999\n", ("line 2", "column pdi", "from -1,000,000 to 1,000,000")),
        ("country,pdi\nGermany,-1e308\n", ("line 2", "column pdi", "finite", "'-1e308'")),
        (f"country,pdi\nGermany,1{'0' * 300}\n", ("line 2", "column pdi", "0...", "for missing")),
        ("country,code,pdi\nOur village,999,1\n", ("line 2", "column code", "'999'", "with a letter")),
        ("country,code,pdi\nOur village,-4,1\n", ("line 2", "column code", "'-4'", "with a letter")),
        ("country,code,pdi\nOur village,4.0,1\n", ("line 2", "column code", "'4.0' is Afghanistan")),
        ("country,pdi\nGermany,1_0\n", ("line 2", "column pdi", "'1_0'")),
        ("country,pdi\nGermany,٣\n", ("line 2", "column pdi")),
        ("country,pdi\nGermany,1,2\n", ("line 2", "expected 2 fields", "found 3")),
        ("country,pdi\n\nGermany\n", ("line 3", "expected 2 fields", "found 1")),
        ("country,pdi\nGermany,1\nFrance,2\nDE,3\n", ("line 4", "Germany (DEU)", "line 2")),
        ("country,pdi\nGermany,NA\n", ("line 2", "Germany", "no score")),
        ("country,pdi\nGermny,1\n", ("line 2", "column country", "'Germny'", "Germany")),
        ("country,pdi\nCongo,1\n", ("line 2", "column country", "Congo-Kinshasa (CD)")),
        ("country,pdi\n,1\n", ("line 2", "column country", "empty")),
        ("iso3,pdi\nXQX,1\n", ("line 2", "column iso3", "ISO 3166", "'XQX'")),
        ("country,iso3,pdi\nSlovenia,SLV,1\n", ("line 2", "column iso3", "El Salvador", "'Slovenia'")),
        ("country,iso3,pdi\nSlovenia,QQQ,1\n", ("line 2", "column iso3", "Slovenia", "'QQQ'")),
        ("ctr,pdi\nSVN,1\n", ("line 2", "column ctr", "'SVN'")),
        (b"country,pdi\nGermany,1\nC\xf4te d'Ivoire,2\n", ("line 3", "UTF-8", "0xf4")),
        ('country,pdi\n"Germany,1\n', ("line 2", "CSV")),
    ],
)
def test_a_malformed_file_says_where_and_what(write: Write, content: str | bytes, parts: tuple[str, ...]) -> None:
    path = write(content)
    message = problem(path)
    assert message.startswith(str(path))
    for part in parts:
        assert part in message


def test_congo_with_a_code_is_no_longer_ambiguous(write: Write) -> None:
    assert load_target_set(write("country,code,pdi\nCongo,COD,1\n")).targets[0].country == "Congo-Kinshasa"


def test_neither_a_set_nor_a_file(tmp_path: Path) -> None:
    assert "did you mean hofstede-2015" in problem("hofstede-2014")
    assert "an existing file" in problem(tmp_path / "absent.csv")
    assert "is a directory; give a CSV file in it" in problem(tmp_path)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_table_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"country,pdi\n" + raw)
    try:
        load_target_set(path)
    except UserError as error:
        assert str(path) in str(error)
