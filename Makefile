# `make dev` and `make test` do everything on a fresh machine: Python 3.11+, make, and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
WORKERS ?= 4

# Installed packages are compiled once, at install; a machine that forbids bytecode would compile at every start.
export PYTHONDONTWRITEBYTECODE =

.PHONY: dev test check lint types tests crash bench clean

dev: $(VENV)/.installed
	@$(BIN)/donmai dev

test: $(VENV)/.installed-dev check tests

check: lint types

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests

types: $(VENV)/.installed-dev
	$(BIN)/mypy

tests: $(VENV)/.installed-dev
	$(BIN)/pytest -n $(WORKERS) -m "not slow"

crash: $(VENV)/.installed-dev
	$(BIN)/pytest -n $(WORKERS) tests/crash -m "slow or not slow"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[scale]' --group dev
	@touch $@ $(VENV)/.installed

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache
