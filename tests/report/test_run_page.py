"""The report: what it says, what it survives, and how it behaves in a real browser."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.judge.audit_records import AuditVerdict
from acculturate.judge.records import Result
from acculturate.judge.verdict import verdict
from acculturate.report import charts
from acculturate.report.axis import axis
from acculturate.report.numbers import words
from acculturate.report.run_page import render, write_report
from acculturate.report.svg import element

FIXTURES = Path(__file__).parents[1] / "fixtures"
SCRIPT = "<script>document.title='hit'</script>"
QUOTES = "\" onload=\"document.title='hit'\" x='"
ARABIC = "تخيّل وظيفة تناسبك تمامًا. ما مدى أهمية الأمر التالي عندك في تلك الوظيفة؟"
VOID = {"meta", "link", "wbr", "br", "img"}


def load(name: str) -> dict:
    return json.loads((FIXTURES / f"result_{name}.json").read_text(encoding="utf-8"))


def page_of(result: dict) -> str:
    """The page of a result as a test wrote it down."""
    return render(Result.model_validate(result))


def written(folder: Path, result: dict) -> Path:
    return write_report(folder, Result.model_validate(result))


@pytest.fixture
def saudi() -> dict:
    return load("saudi")


@pytest.fixture
def sparse() -> dict:
    return load("sparse")


def extreme() -> dict:
    """Hostile and right-to-left texts, twelve views, scores far outside every range, and long words."""
    result = load("saudi")
    result["target"] |= {
        "country": f"Land {SCRIPT}",
        "note": QUOTES,
        "provenance": "http://example.org/" + "x" * 300,
    }
    result["target"]["scores"] |= {"pdi": -140.0, "idv": None}
    result["model"]["model"] = f"../../{SCRIPT}{QUOTES}" + "long-" * 40
    result["verdict"] |= {"headline": f"{ARABIC} {SCRIPT}", "sentences": [ARABIC, QUOTES]}
    result["audit"] |= {"order_correlation": -0.93, "warning": QUOTES, "sentences": [SCRIPT]}
    result["audit"]["presentations"] = [
        {"name": SCRIPT, "mass": 0.5, "order_correlation": None, "verdict": AuditVerdict.WEAK}
    ]
    result["audit"]["persona"] = {"sentence": ARABIC}
    result["limits"] = [SCRIPT, ARABIC, "W" * 400]
    result["spec"]["optimizer_options"] = {SCRIPT: QUOTES}
    for item in result["instrument"]["items"]:
        item |= {
            "topic": "topic " + SCRIPT,
            "question": ARABIC * 4,
            "options": [ARABIC, SCRIPT, QUOTES, "", "&amp;"],
        }
    result["instrument"]["dimensions"][0]["name"] = "سلطة" + SCRIPT
    result["instrument"]["dimensions"][1] |= {"about": QUOTES, "name": "Dimensionsbezeichnungsungetüm"}
    names = [(f"{SCRIPT}/view/{k}/ar", ("train", "validation", "heldout")[k % 3]) for k in range(12)]
    result["views"] = [{"name": name, "role": role} for name, role in names]
    for row in result["rows"]:
        pattern = row["by_view"][0]
        row["by_view"] = [pattern | {"view": n, "role": r, "loss": 10.0**k} for k, (n, r) in enumerate(names)]
        row["note"] = QUOTES + SCRIPT
    result["transfer"]["columns"][0]["title"] = "column " + SCRIPT
    for line in result["transfer"]["rows"]:
        line |= {"label": "row " + QUOTES + SCRIPT}
    tuned = result["rows"][-1]
    tuned["label"] = ARABIC[:20] + SCRIPT
    tuned["train"]["scores"] |= {"pdi": 12345.6, "mas": -250.0, "lto": None}
    tuned["heldout"]["mass"] = None
    tuned["by_view"][0]["item_means"] = [None] * 24
    result["search"]["curve"][3]["best"] = None
    result["search"]["curve"][0]["median"] = 1e18
    return result


class Outline(HTMLParser):
    """Every element with its attributes and the text inside it; fails on tags that do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"unclosed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len({name for name, _ in attrs}), f"{tag} repeats an attribute: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text.append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag and wanted.items() <= {**attrs}.items()]

    @property
    def said(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def policy(page: str) -> str:
    (meta,) = Outline(page).all("meta", **{"http-equiv": "Content-Security-Policy"})
    return meta["content"] or ""


# --- structure ---


def test_a_prompt_under_which_the_model_hardly_answers_is_said_on_the_page(saudi: dict) -> None:
    assert "hardly ever answer" not in Outline(page_of(saudi)).said
    saudi["rows"][-1]["heldout"]["mass"] = 0.003
    saudi["verdict"] = verdict(Result.model_validate(saudi).rows, "Saudi Arabia").to_json()
    assert "held-out formats they hold 0.3 % of the next token's probability" in Outline(page_of(saudi)).said


def test_the_page_says_what_the_result_says(saudi: dict) -> None:
    outline = Outline(page_of(saudi))
    assert len(outline.all("h1")) == 1
    assert saudi["verdict"]["headline"] in outline.said
    sections = [attrs["id"] for attrs in outline.all("section")]
    assert sections == ["dimensions", "table", "transfer", "search", "answers", "formats", "audit", "made", "limits"]
    for row in saudi["rows"]:
        assert row["label"] in outline.said
        for role in ("train", "heldout"):
            assert f"{row[role]['loss']:.1f}" in outline.said
            assert f"{row[role]['mae']:.1f}" in outline.said
            for score in row[role]["scores"].values():
                assert f"{score:.1f}" in outline.said
    for item in saudi["instrument"]["items"]:
        assert item["topic"] in outline.said
        assert item["question"] in outline.said
    for view in saudi["views"]:
        assert view["name"].replace("/", "/ ") in outline.said.replace("/ ", "/").replace("/", "/ ")
    for sentence in (*saudi["limits"], *saudi["verdict"]["sentences"], saudi["target"]["provenance"]):
        assert sentence in outline.said
    for key in saudi["spec"]:
        assert key.replace("_", " ")[1:] in outline.said


def test_tables_and_drawings_are_accessible(saudi: dict) -> None:
    outline = Outline(page_of(saudi))
    assert all("scope" in attrs for attrs in outline.all("th"))
    for attrs in outline.all("svg"):
        drawn = attrs.get("role") == "img" and attrs.get("aria-label")
        nested = "role" not in attrs and ("x" in attrs or "viewbox" in attrs)
        assert drawn or nested or attrs.get("aria-hidden") == "true", attrs
    label = "Power Distance: before 52.8, after 88.3, target 95.0 (points)"
    assert label in [attrs.get("aria-label") for attrs in outline.all("svg")]
    ids = [attrs["id"] for _, attrs in outline.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs in outline.all("a")]
    assert links and all(link and link[0] == "#" and link[1:] in ids for link in links)


def test_items_are_averaged_over_the_views_of_a_role(saudi: dict) -> None:
    for row in saudi["rows"]:
        if row["id"] == "naive":
            for value, view in zip((1.0, 2.0, 4.5), row["by_view"][:3], strict=True):
                view["item_means"][0] = value
    label = "job: time for personal life, trained formats: 2.50 before"
    assert any(str(a.get("aria-label")).startswith(label) for a in Outline(page_of(saudi)).all("svg"))


def test_a_note_explains_losses_above_the_distance_of_mean_scores(saudi: dict) -> None:
    assert "Where formats disagree" in page_of(saudi)
    for row in saudi["rows"]:
        for role in ("train", "heldout"):
            gaps = [abs(score - saudi["target"]["scores"][key]) for key, score in row[role]["scores"].items()]
            row[role]["loss"] = sum(gaps)
    assert "Where formats disagree" not in page_of(saudi)


# --- what may be missing ---


def test_missing_parts_leave_no_empty_shells(sparse: dict) -> None:
    outline = Outline(page_of(sparse))
    sections = [attrs["id"] for attrs in outline.all("section")]
    assert sections == ["dimensions", "table", "transfer", "search", "answers", "formats", "made", "limits"]
    assert f"{sparse['target']['note']} A missing score is shown as – and takes no part" in outline.said
    sparse["target"]["note"] = None
    assert "The target has no score on Self-expression values. A missing" in Outline(page_of(sparse)).said
    assert "asked no held-out formats" in outline.said
    assert "No validation formats were asked" in outline.said
    labels = [str(attrs.get("aria-label")) for attrs in outline.all("svg")]
    assert any(re.match(r"Self-expression values: .* target missing \(points\)", text) for text in labels)
    assert "over the 1 dimensions" not in outline.said
    assert not any("held out" in text.lower() for text in labels)


def test_the_audit_as_the_package_writes_it(saudi: dict) -> None:
    row = {
        "name": "letters/options-first/0/en",
        "mass": 0.8,
        "order_correlation": -0.91,
        "verdict": "answers by position",
    }
    saudi["audit"] = {
        "verdict": "answers by position",
        "sentences": ["One.", "Two."],
        "warning": "Tuning would fit noise.",
        "mass": 0.8,
        "order_correlation": -0.9,
        "order_interval": [-0.95, -0.8],
        "format_correlation": None,
        "noise": True,
        "usable": [],
        "thresholds": {"clear": 0.3},
        "presentations": [row],
        "persona": {"sentence": "Naming a country moves nothing.", "spread": 1.0},
    }
    outline = Outline(page_of(saudi))
    for text in (
        "answers by position",
        "Tuning would fit noise.",
        "Naming a country moves nothing.",
        "−0.90",
        "−0.91",
    ):
        assert text in outline.said
    assert "between formats" not in outline.said and "Thresholds" not in outline.said


def test_the_transfer_matrix_and_what_the_improvement_rests_on(saudi: dict) -> None:
    said = Outline(page_of(saudi)).said
    for column in saudi["transfer"]["columns"]:
        assert column["title"] in said
    for line in saudi["transfer"]["rows"]:
        for cell in line["cells"]:
            assert f"{cell['loss']:.1f}" in said
            assert cell["interval"] is None or f"{cell['interval'][0]:.1f} to {cell['interval'][1]:.1f}" in said
    for role in ("train", "heldout"):
        record = saudi["items"]["by_role"][role]
        assert f"loss falls by {record['improvement']:.1f} points" in said
        assert f"{record['top'][0]['cost']:.1f} points higher without the move of" in said
        assert f"Of the 3 items held out, {record['heldout_items']['towards']} moved" in said
    assert "held out: not asked in the search" in said


def test_a_result_from_before_there_were_these_parts_still_renders(saudi: dict) -> None:
    for key in ("transfer", "items", "random_prompts"):
        del saudi[key]
    outline = Outline(page_of(saudi))
    assert "transfer" not in [attrs["id"] for attrs in outline.all("section")]
    assert "What the improvement rests on" not in outline.said and "Item by item" not in outline.said


def test_a_search_without_a_curve_has_no_search_section(sparse: dict) -> None:
    sparse["search"]["curve"] = []
    assert 'id="search"' not in page_of(sparse)


def test_one_generation_still_draws(sparse: dict) -> None:
    sparse["search"]["curve"] = sparse["search"]["curve"][:1]
    assert page_of(sparse).count('class="end ') == 2


def test_optional_figures_may_be_null_absent_or_not_numbers(saudi: dict) -> None:
    for row in saudi["rows"]:
        row.pop("interval", None)
        row.pop("note", None)
        row["train"]["mass"] = None
        row["train"]["scores"]["mas"] = math.nan
        row["heldout"]["loss"] = math.inf
        row["by_view"] = []
    saudi["target"].pop("note")
    saudi["audit"] = saudi["transfer"] = saudi["items"] = None
    page = page_of(saudi)
    said = Outline(page).said
    assert not re.search(r"\b(nan|inf|infinity|None)\b(?! were)", said)
    assert "bootstrap" not in said


# --- safety ---


def test_data_never_becomes_markup(saudi: dict) -> None:
    harmless, hostile = Outline(page_of(saudi)), Outline(page_of(extreme()))
    assert {tag for tag, _ in hostile.elements} == {tag for tag, _ in harmless.elements}
    names = {name for _, attrs in hostile.elements for name in attrs}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    assert not hostile.all("script")
    assert SCRIPT in hostile.said
    assert QUOTES.strip() in hostile.said


@settings(max_examples=25, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_any_text_comes_back_as_text(text: str) -> None:
    result = load("sparse")
    result["verdict"]["headline"] = text
    result["instrument"]["items"][0]["topic"] = text
    result["target"]["country"] = text
    outline = Outline(page_of(result))
    assert re.sub(r"\s+", " ", text) in outline.said
    assert len(outline.all("h1")) == 1


@pytest.mark.parametrize("make", [lambda: load("saudi"), lambda: load("sparse"), extreme])
def test_the_policy_allows_the_style_sheet_and_nothing_else(make) -> None:
    page = page_of(make())
    style = re.findall(r"<style>(.*?)</style>", page, re.S)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy(page) == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style[0] and "@import" not in style[0]
    outline = Outline(page)
    for tag, attrs in outline.elements:
        assert tag not in {"script", "iframe", "object", "embed", "form", "base", "img", "use", "image"}
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert re.match(r"#|data:,$", attrs.get(name) or "#"), (tag, attrs)


# --- numbers and axes ---


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        ("7", "–"),
        (True, "–"),
        (0.0, "0.0"),
        (-0.04, "0.0"),
        (-12.34, "−12.3"),
        (1234.5, "1234.5"),
        (-12345.67, "−12\u202f345.7"),
        (1.5e12, "1.5×10¹²"),
        (10**400, "–"),
    ],
)
def test_numbers_read_well(value: object, said: str) -> None:
    assert words(value) == said


def test_axes_keep_the_nominal_range_and_extend_beyond_it() -> None:
    inside = axis([12.0, None, 88.0])
    assert (inside.low, inside.high, inside.ticks) == (0.0, 100.0, (0.0, 20.0, 40.0, 60.0, 80.0, 100.0))
    outside = axis([-60.0, 112.0, math.nan])
    assert outside.low < -60 and outside.high > 112
    assert outside.across(-60.0) != "0%" and outside.across(1e9) == "100%"
    assert axis([], floor=5.0, ceiling=5.0).high > 5.0


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6))
def test_axes_hold_for_any_numbers(values: list[float]) -> None:
    scale = axis(values)
    assert scale.low <= 0 and scale.high >= 100
    assert 1 <= len(scale.ticks) <= 12
    assert all(0 <= scale.part(value) <= 1 for value in values if math.isfinite(value))


def test_one_wild_median_does_not_flatten_the_curve() -> None:
    best = charts.Series("best", [(1.0, 90.0), (2.0, 60.0)])
    median = charts.Series("median", [(1.0, 1e18), (2.0, 80.0)])
    references = {"naive": ("Untuned", 100.0)}
    assert charts.ceiling([best, median], references) == 300.0
    assert charts.cut_off([best, median], references)
    assert not charts.cut_off([best, charts.Series("median", [(1.0, 299.0)])], references)
    drawn = charts.curves([best, median], references, "a curve")
    heights = [float(y) for y in re.findall(r"[\d.]+,([\d.]+)", drawn)]
    assert min(heights) == 0.0 and max(heights) < 900


def test_gaps_break_a_curve() -> None:
    points = [(1.0, 5.0), (2.0, 4.0), (3.0, None), (4.0, 3.0), (5.0, 2.0)]
    drawn = charts.curves([charts.Series("best", points)], {"naive": ("Untuned", 6.0)}, "a curve")
    assert drawn.count("<polyline") == 2
    assert "Untuned" in drawn


def test_elements_escape_attributes_and_text() -> None:
    made = element("text", {"x": '"><script>', "y": 1.5}, "<b>&")
    assert made == '<text x="&#34;&gt;&lt;script&gt;" y="1.5">&lt;b&gt;&amp;</text>'


# --- files ---


def test_write_report_leaves_one_file(saudi: dict, tmp_path: Path) -> None:
    saudi["spec"]["text"] = "a lone surrogate: \ud800"
    path = written(tmp_path, saudi)
    assert path == tmp_path / "report.html"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    first = path.read_bytes()
    assert written(tmp_path, copy.deepcopy(saudi)).read_bytes() == first
    with pytest.raises(UserError, match="cannot be written"):
        written(tmp_path / "absent", saudi)


# --- in a browser ---


@pytest.mark.parametrize("name", ["saudi", "sparse", "extreme"])
def test_a_browser_shows_it_without_complaint(browser, tmp_path: Path, name: str) -> None:
    path = written(tmp_path, extreme() if name == "extreme" else load(name))
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        page = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message, kept=complaints: kept.append(message.text))
        page.on("pageerror", lambda error, kept=complaints: kept.append(str(error)))
        page.on("request", lambda request, kept=requests: kept.append(request.url))
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert complaints == []
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        assert page.title() != "hit"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sheet = page.evaluate("getComputedStyle(document.querySelector('section')).borderTopStyle")
        assert sheet == "solid", "the style sheet was not applied"
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(247, 246, 243)", "dark": "rgb(19, 22, 25)"}[scheme]
        context.close()


def test_paper_is_white_and_wide_enough(browser, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 690, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(written(tmp_path, load("saudi")).as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 690
    assert not page.locator("nav").is_visible()
    context.close()


def test_text_directions_follow_the_text(browser, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(written(tmp_path, extreme()).as_uri())
    directions = "[...document.querySelectorAll('{}')].map(e => getComputedStyle(e).direction)"
    assert set(page.evaluate(directions.format(".question"))) == {"rtl"}
    assert page.evaluate(directions.format("h1")) == ["rtl"]
    assert set(page.evaluate(directions.format("h2"))) == {"ltr"}
    page.close()


def test_a_page_names_no_folder_of_the_machine(saudi: dict) -> None:
    saudi["model"]["model"] = saudi["spec"]["model"] = "/home/alice/secret/llama-3"
    saudi["spec"]["wording"] = "/home/alice/secret/official.toml"
    html = page_of(saudi)
    assert "llama-3" in html and "official.toml" in html
    assert "alice" not in html and "secret" not in html
