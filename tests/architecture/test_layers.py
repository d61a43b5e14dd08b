"""The architecture as a test: a torch-free core, no circles, and modules one can read.

The direction of imports is a contract in pyproject.toml, which `make lint` checks (import-linter).
"""

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

# Modules and packages that anything may be built on, and that therefore load fast.
PURE = ("errors", "legible", "version", "files", "survey", "knowledge", "search.optimizers")

# What the pure modules have to do without.
HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "pyarrow",
    "peft",
    "gguf",
    "typer",
    "jinja2",
)

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8
EMPTY_NAMES = {"utils", "util", "common", "manager", "managers", "base", "helpers", "misc"}
UNSAFE_IMPORTS = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal"}

PACKAGE = "acculturate"
SOURCE = Path(__file__).parents[2] / "src" / PACKAGE
MODULES = {
    ".".join((PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


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


def test_imports_have_no_cycle() -> None:
    graph = {module: {target for target, _ in _internal(module)} - {module} for module in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("import cycle: " + " <- ".join(error.args[1]))


def test_the_pure_modules_import_without_heavy_packages() -> None:
    roots = tuple(f"{PACKAGE}.{name}" for name in PURE)
    pure = [module for module in MODULES if module in roots or module.startswith(tuple(f"{root}." for root in roots))]
    assert len(pure) > len(PURE)
    script = (
        # A finder rather than None in sys.modules: SciPy looks there for torch and expects a module.
        "import importlib, sys\n"
        "class Wall:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {HEAVY!r}: raise ImportError(name + ' is not for a pure module')\n"
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
