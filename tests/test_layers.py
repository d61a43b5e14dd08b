"""The architecture as a test: one direction of imports, a torch-free core, and modules one can read."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

# Lowest layer first; a layer may import itself and what stands before it. A package stands for all its
# modules. A name may be listed before its module exists.
LAYERS: dict[str, tuple[str, ...]] = {
    "pure": (
        "checksums",
        "culture",
        "datafile",
        "errors",
        "factor",
        "formats",
        "instrument_fit",
        "instruments",
        "missing_codes",
        "legible",
        "optimizers",
        "packing",
        "questions",
        "scoring",
        "spaces",
        "targets",
        "transfer",
        "validity",
        "version",
        "whole_file",
        "yamlfile",
    ),
    "model": (
        "attention",
        "chat",
        "cloze",
        "engine",
        "generation",
        "gguf_file",
        "gguf_settings",
        "gradient",
        "loading",
        "machine",
        "objective",
        "respondent",
        "sampling",
        "soundness",
    ),
    "work": (
        "alignment",
        "audit",
        "baselines",
        "bench",
        "chance",
        "cloze_audit",
        "compare",
        "costs",
        "dry_run",
        "finished",
        "front",
        "journal",
        "measure",
        "methods",
        "oracle",
        "pareto",
        "persona_audit",
        "peft_prompt",
        "multitask",
        "prompts",
        "results",
        "record",
        "search",
        "spec",
        "starts",
        "task",
        "tensor_file",
        "steering",
    ),
    "faces": (
        "__init__",
        "__main__",
        "charts",
        "cli",
        "cli_front",
        "cli_lists",
        "cli_measure",
        "cli_multitask",
        "cli_settings",
        "cli_steer",
        "doctor",
        "front_page",
        "interruption",
        "printing",
        "report",
        "terminal",
        "watching",
    ),
}

# What the pure layer has to do without.
HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "pyarrow",
    "peft",
    "gguf",
    "safetensors",
    "typer",
    "jinja2",
    "altair",
)

MAX_MODULE_LINES = 520
MAX_FUNCTION_LINES = 70
MAX_PARAMETERS = 8
EMPTY_NAMES = {"utils", "util", "common", "manager", "managers", "base", "helpers", "misc"}
UNSAFE_IMPORTS = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal"}

PACKAGE = "acculturate"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
MODULES = {
    ".".join((PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
RANK = {name: rank for rank, names in enumerate(LAYERS.values()) for name in names}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def _unit(module: str) -> str:
    """The name under which LAYERS lists a module."""
    return module.split(".")[1] if "." in module else "__init__"


def _layer(module: str) -> str:
    return next((layer for layer, names in LAYERS.items() if _unit(module) in names), "unlisted")


def _imports(module: str) -> Iterator[tuple[str, int]]:
    """Every import of a module in absolute form with its line, those inside functions and type blocks too."""
    is_package = MODULES[module].name == "__init__.py"
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            anchor = parts[: len(parts) - node.level + is_package] if node.level else []
            origin = ".".join((*anchor, *((node.module,) if node.module else ())))
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                yield (full if full in MODULES else origin), node.lineno


def _internal(module: str) -> Iterator[tuple[str, int]]:
    for target, line in _imports(module):
        if target == PACKAGE or target.startswith(PACKAGE + "."):
            yield target, line


def _functions(module: str) -> Iterator[Function]:
    return (node for node in ast.walk(_tree(module)) if isinstance(node, Function))


def _where(module: str, line: int) -> str:
    return f"{MODULES[module].relative_to(SOURCE.parent)}:{line}"


def test_every_module_is_in_one_layer() -> None:
    listed = [name for names in LAYERS.values() for name in names]
    assert len(listed) == len(set(listed)), "LAYERS lists a module twice"
    stray = sorted({_unit(module) for module in MODULES} - set(listed))
    assert not stray, f"add {', '.join(stray)} to a layer of LAYERS in {Path(__file__).name} (pure if free of torch)"


def test_imports_go_to_the_same_layer_or_below() -> None:
    wrong = [
        f"{_where(module, line)}: {module} ({_layer(module)}) imports {target} ({_layer(target)})"
        for module in MODULES
        for target, line in _internal(module)
        if RANK.get(_unit(target), 0) > RANK.get(_unit(module), len(LAYERS))
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_have_no_cycle() -> None:
    graph = {module: {target for target, _ in _internal(module)} - {module} for module in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("import cycle: " + " <- ".join(error.args[1]))


def test_the_pure_layer_imports_without_heavy_packages() -> None:
    pure = [module for module in MODULES if _layer(module) == "pure"]
    script = (
        # A finder rather than None in sys.modules: SciPy looks there for torch and expects a module.
        "import importlib, sys\n"
        "class Wall:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {HEAVY!r}: raise ImportError(name + ' is not for the pure layer')\n"
        "sys.meta_path.insert(0, Wall())\n"
        f"for name in {pure!r}: importlib.import_module(name)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_modules_can_be_read(module: str) -> None:
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_MODULE_LINES, f"{module} has {lines} lines, at most {MAX_MODULE_LINES}: split it by subject"
    empty = EMPTY_NAMES & set(module.split("."))
    assert not empty, f"{module}: {empty.pop()!r} says nothing; name the module for what it does"


@pytest.mark.parametrize("module", MODULES)
def test_functions_can_be_read(module: str) -> None:
    wrong = []
    for node in _functions(module):
        # The verbs, whose parameters are their flags.
        if module.startswith(f"{PACKAGE}.cli") and not node.name.startswith("_"):
            continue
        where = f"{_where(module, node.lineno)}: {node.name}"
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            wrong.append(f"{where} has {length} lines, at most {MAX_FUNCTION_LINES}")
        names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > MAX_PARAMETERS:
            wrong.append(f"{where} takes {count} parameters, at most {MAX_PARAMETERS}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_executes_stored_data(module: str) -> None:
    wrong = [
        f"{_where(module, line)}: imports {target}; files of a run must not be able to execute code"
        for target, line in _imports(module)
        if target.split(".")[0] in UNSAFE_IMPORTS
    ]
    assert not wrong, "\n".join(wrong)
