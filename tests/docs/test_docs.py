"""The documentation says what is so: the command line page, links, commands, options, thresholds and examples."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

import acculturate
from acculturate.cli import main as cli
from acculturate.judge import audit_verdict as audit
from acculturate.judge import persona_audit
from acculturate.judge import verdict as results
from acculturate.judge.audit_records import AuditVerdict
from acculturate.search.methods import METHODS
from acculturate.survey.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SUPPLIED = {"survey", "budget", "parts", "fresh", "most"}


def loaded(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


GENERATOR = loaded(ROOT / "tools" / "cli_docs.py")
VERBS = [name for name, _ in GENERATOR._verbs(cli.app)]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def section(verb: str) -> str:
    return GENERATOR.page().split(f"\n## {verb}\n")[1].split("\n## ")[0]


def verb_of(words: list[str]) -> str:
    found = next((name for n in (2, 1) if (name := " ".join(words[:n])) in VERBS), None)
    assert found is not None, f"no such verb: acculturate {' '.join(words)}"
    return found


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_command_line_page_is_what_the_program_says() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == GENERATOR.page(), "run: python tools/cli_docs.py > docs/cli.md"


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_of_the_help_is_on_the_page_and_no_other(verb: str) -> None:
    shown = CliRunner().invoke(cli.app, [*verb.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    options = shown.output.partition("Options:")[2]
    helped = set(re.findall(r"(?<![\w'-])--[a-z][a-z0-9-]*", options)) - {"--help"}
    rows = [row.split("|")[1] for row in section(verb).splitlines() if row.startswith("| `--")]
    listed = {flag for row in rows for flag in re.findall(r"--[a-z0-9-]+", row)}
    # Help texts may name flags of other verbs; a flag of this verb stands in a row.
    assert listed <= helped
    assert {line.split()[0] for line in options.splitlines() if line.startswith("  --")} - {"--help"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = page if not path else page.parent / path
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_their_flags(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^(?:\$|   ) *acculturate (.+)$", text, flags=re.M)
    commands += re.findall(r"`acculturate ([a-z][^`]*)`", text)
    for command in commands:
        words = shlex.split(command, comments=True)
        verb = verb_of(words)
        listed = set(re.findall(r"--[a-z0-9-]+", section(verb)))
        for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert flag in listed, f"{page.name}: acculturate {verb} has no {flag}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^\$ make ([a-z-]+)", text, flags=re.M)
    assert set(named) <= rules


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_compile(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


def test_every_method_and_option_is_described() -> None:
    text = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    for name, method in METHODS.items():
        assert f"`{name}`" in text
        for option in {field.name for field in dataclasses.fields(method.kind)} - SUPPLIED:
            assert f"`{option}`" in text, f"{name}: {option}"


def test_the_options_of_the_default_method_have_the_defaults_of_the_code() -> None:
    rows = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(METHODS["dfgn"].kind):
        if field.name not in SUPPLIED:
            shown = str(field.default).lower() if isinstance(field.default, bool) else f"{field.default:g}"
            assert f"| `{field.name}` | {shown} |" in rows, field.name


def test_rules_are_quoted_with_the_thresholds_of_the_code() -> None:
    text = (ROOT / "docs" / "validity.md").read_text(encoding="utf-8")
    for rule in (
        f"| mass < {audit.MASS_LOW:g}, or more than {audit.MISSING_HIGH:g} of",
        f"| spread < {audit.FLAT_SPREAD:g} and shift >= {audit.FLAT_SHIFT:g} |",
        f"| r <= -{audit.CLEAR:g} |",
        f"| r >= {audit.CLEAR:g} |",
        f"below a mass of {audit.MASS_MODEST:g}",
        f"balanced spread under {audit.NEAR_FLAT:g}",
        f"below {persona_audit.PERSONA_SMALL:g} of the published",
        f"p <= {persona_audit.PERSONA_P:g}",
        f"| T >= {1 - results.MATERIAL:g} NT |",
        f"| H >= {1 - results.MATERIAL:g} NH,",
        f"| H >= {1 - results.MATERIAL:g} B |",
        f"| H < {results.CARRIED:g} NH |",
    ):
        assert rule in " ".join(text.split()), rule
    for verdict in set(AuditVerdict) - {AuditVerdict.WORDING, AuditVerdict.ONE_WORDING}:
        assert f"| {verdict} |" in text


def test_the_formats_of_the_protocols_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    for roles in PROTOCOLS.values():
        for form in (one for several in roles.values() for one in several):
            assert f"`{form}`" in text, form


def run_examples(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, model: str | None) -> None:
    """Run a page's examples one after the other in an empty directory, with another model if one is named."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {"__name__": "example"}
    for block in blocks(page, "python"):
        code = block if model is None else block.replace('"embedded"', repr(model))
        exec(compile(code, page.name, "exec"), names)


def test_readme_example_runs(tiny, tmp_path, monkeypatch, capsys) -> None:
    run_examples(ROOT / "README.md", tmp_path, monkeypatch, tiny)
    headline, scores = capsys.readouterr().out.splitlines()
    assert headline.endswith(".")
    assert scores.startswith("{'pdi': ")
    assert (tmp_path / "runs" / "api" / "report.html").stat().st_size


def test_every_exported_name_is_used_in_the_examples_of_the_python_page() -> None:
    examples = "\n".join(blocks(ROOT / "docs" / "api.md", "python"))
    for name in set(acculturate.__all__) - {"__version__"}:
        assert re.search(rf"\bac\.{name}\b", examples), name
        assert inspect.getdoc(getattr(acculturate, name)), name


def test_the_keywords_for_editors_are_the_settings_of_a_run() -> None:
    written = (ROOT / "src" / "acculturate" / "keywords.py").read_text(encoding="utf-8")
    assert written == loaded(ROOT / "tools" / "keywords.py").page(), (
        "run: python tools/keywords.py > src/acculturate/keywords.py"
    )


def test_python_page_examples_run(tiny, tmp_path, monkeypatch, capsys) -> None:
    run_examples(ROOT / "docs" / "api.md", tmp_path, monkeypatch, tiny)
    assert "(2, 24, 5)" in capsys.readouterr().out


def test_serving_page_examples_run(tiny, tmp_path, monkeypatch, capsys) -> None:
    run_examples(ROOT / "docs" / "serving.md", tmp_path, monkeypatch, tiny)
    assert "torch.Size([2, " in capsys.readouterr().out


@pytest.mark.slow
def test_readme_example_runs_with_the_embedded_model(tmp_path, monkeypatch, capsys) -> None:
    run_examples(ROOT / "README.md", tmp_path, monkeypatch, None)
    headline, scores = capsys.readouterr().out.splitlines()
    assert headline.endswith(".")
    assert scores.startswith("{'pdi': ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_project_that_a_page_names_are_there(page: Path) -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`((?:src|tests|benchmarks|tools)/[\w/.-]+\.py)\b", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (root / name).is_file()] == []


def test_trackers_page_examples_run(tiny, tmp_path, monkeypatch, capsys) -> None:
    run_examples(ROOT / "docs" / "trackers.md", tmp_path, monkeypatch, tiny)
    assert "events.out.tfevents" in capsys.readouterr().out
