# Every target sets up what it needs, on a machine with nothing but Python 3.11, pip and make.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin
# Stamps lie inside the environment, so that removing it forgets them too.
BASE := $(VENV)/.installed-base
DEV := $(VENV)/.installed-dev
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help .venv dev try demo test check bench crash fuzz format lint types layers deps spelling

help: ## this list
	@grep -hE '^[a-z.]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv: $(BASE) ## an environment with the fanwise command (.venv/bin/fanwise)

dev: $(DEV) ## the same with the tools that check it

try: $(BASE) ## a digest of this project's own documentation
	$(BIN)/fanwise digest docs --task "what does fanwise promise, and what does it not do?"

demo: $(BASE) ## one flaky job: with asyncio.gather, with care, and with Fanwise
	$(BIN)/fanwise demo

test: $(DEV) ## the tests, with README and docs executed
	$(PY) -m pytest

check: lint types layers deps spelling test ## all that must be green

bench: $(DEV) ## measured, bar and yardstick of every figure
	$(PY) -m benchmarks

crash: $(DEV) ## kills a journaled run at every write, and again while it recovers
	$(PY) -m tests.crash

fuzz: $(DEV) ## random programs until Ctrl-C, seed printed
	$(PY) -m tests.fuzz

format: $(DEV) ## lays the code out, and fixes what is safe to fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy
	$(PY) -m tests.repository.verify_types

layers: $(DEV)
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/lint-imports --no-logo --no-cache --config tests/repository/cycles.toml

deps: $(DEV)
	$(BIN)/deptry .

spelling: $(DEV)
	$(BIN)/codespell

# Debian's Python has no ensurepip: the environment is then made without pip.
$(PY):
	@if $(PYTHON) -c "import ensurepip" 2>/dev/null; \
	then $(PYTHON) -m venv $(VENV); \
	else $(PYTHON) -m venv --without-pip $(VENV); fi

# First the pinned pip and build back end, whatever pip there was: from there on all machines do
# the same. Without build isolation, because isolated builds do not see the constraints.
$(BASE): pyproject.toml constraints.txt | $(PY)
	@$(PY) -m pip --version >/dev/null 2>&1 || \
	$(PYTHON) -m pip --python $(PY) install --quiet -c constraints.txt pip
	$(INSTALL) pip hatchling
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(DEV): $(BASE)
	$(INSTALL) --group dev
	@touch $@
