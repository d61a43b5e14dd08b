"""The page of a sweep: what it says, that text cannot become markup, and how it behaves in a real browser."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from acculturate.judge.records import VerdictKind
from acculturate.judge.sweep import RunStatus, SweepRecord, SweepRow, cells_of
from acculturate.report.sweep_page import render_sweep, write_sweep_page

SCRIPT = "<script>document.title='hit'</script>"


def row(country: str, seed: int, **more) -> SweepRow:
    values = {
        "directory": f"{country}_seed-{seed}",
        "model": "Qwen/Qwen2.5-0.5B-Instruct",
        "settings": {"country": country, "seed": seed},
        "status": RunStatus.DONE,
        "trained": 30.0 + seed,
        "heldout": 60.0 + 10 * seed,
        "untuned_trained": 120.0,
        "untuned_heldout": 130.0,
        "mass": 0.875,
        "verdict": VerdictKind.PARTLY,
        "evaluations": 1000,
    }
    return SweepRow(country=country, seed=seed, **{**values, **more})


FAILED = {
    "status": RunStatus.FAILED,
    "problem": "Model 'x' does not exist.",
    **dict.fromkeys(("trained", "heldout", "untuned_trained", "untuned_heldout", "mass", "verdict", "evaluations")),
}


def record(*rows: SweepRow) -> SweepRecord:
    return SweepRecord(
        rows=rows, cells=cells_of(rows, [f"{row.country} {row.settings | {'seed': None}}" for row in rows])
    )


FULL = record(
    row("USA", 0),
    row("USA", 1, verdict=VerdictKind.FITTED),
    row("CHN", 0, heldout=None, untuned_heldout=None),
    row("CHN", 1, **FAILED),
    row("IND", 0, settings={"country": "IND", "tokens": 3, "train_formats": ["a/b", "c"], "mas25": True}),
    row("SAU", 0, **{**FAILED, "status": RunStatus.UNFINISHED, "problem": None}),
)


def test_it_says_how_many_hold_means_and_spread_and_links_every_report() -> None:
    page = render_sweep(FULL)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "3 of 4 prompts came nearer in formats that the search never saw" in text
    assert "4 of 6 runs are finished, for 4 countries. 1 failed." in text
    assert "65.0 ± 7.1" in text and "30.5 ± 0.7" in text
    assert "1 of 2" in text and "Model 'x' does not exist." in text.replace("&#39;", "'")
    assert "Tokens 3 · Train formats a/b, c · Mas25 yes" in text
    links = re.findall(r'<a href="([^"]+)"', page)
    assert links == [f"{name}/report.html" for name in ("USA_seed-0", "USA_seed-1", "CHN_seed-0", "IND_seed-0")]


def test_its_policy_allows_its_own_style_alone() -> None:
    page = render_sweep(FULL)
    style = re.search(r"<style>(.*?)</style>", page, flags=re.S)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'" in page
    assert "<script" not in page and " style=" not in page and "http" not in page.replace("http-equiv", "")


def test_text_is_text_and_links_stay_in_the_directory() -> None:
    hostile = row("USA", 0, directory=f'"{SCRIPT}', model=SCRIPT, settings={"text": SCRIPT, "country": "USA"})
    page = render_sweep(record(hostile, row("CHN", 0, **{**FAILED, "problem": SCRIPT})))
    assert "<script" not in page
    (link,) = re.findall(r'<a href="([^"]+)"', page)
    assert unquote(link) == f'"{SCRIPT}/report.html' and ":" not in link


@pytest.mark.parametrize("rows", [(row("USA", 0),), (row("USA", 0, **FAILED),), ()])
def test_few_runs_are_a_page_too(rows: tuple[SweepRow, ...]) -> None:
    page = render_sweep(record(*rows))
    assert ("Over the seeds" in page) is False
    assert ("No run is finished yet" in page) is not any(one.verdict for one in rows)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_browser_shows_it_without_complaint(browser, tmp_path: Path, width: int, scheme: str) -> None:
    path = write_sweep_page(tmp_path, FULL)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page, complaints, requests = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("getComputedStyle(document.querySelector('section')).borderTopStyle") == "solid"
    context.close()


def test_sentences_of_failed_runs_have_no_marks() -> None:
    page = render_sweep(record(row("USA", 0, **{**FAILED, "problem": "No; choose another with `out`."})))
    assert "No; choose another with out." in page
