# `make dev` and `make test` do everything on a fresh machine: Python 3.11+, make, and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
WORKERS ?= 4
PYTHONS ?= python3.11 python3.12 python3.13

# Installed packages are compiled once, at install; a machine that forbids bytecode would compile at every start.
export PYTHONDONTWRITEBYTECODE =

.PHONY: dev test check lint types tests crash soak bench bench-platform packages test-systemd test-packages test-pythons test-images release clean

dev: $(VENV)/.installed
	@$(BIN)/donmai dev

test: $(VENV)/.installed-dev check tests

check: lint types

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests bench packaging
	$(BIN)/ruff format --check src tests bench packaging

types: $(VENV)/.installed-dev
	$(BIN)/mypy

tests: $(VENV)/.installed-dev
	$(BIN)/pytest -n $(WORKERS) -m "not slow"

crash: $(VENV)/.installed-dev
	$(BIN)/pytest -n $(WORKERS) tests/crash -m "slow or not slow"

# Minutes of random kills, races for one mutation, and large generated files.
soak: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2 -m slow tests --ignore tests/crash --ignore tests/packaging

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m bench

# What a beat costs the platform, up to 100,000 machines; needs the servers that the packages bring along. Under ten minutes.
bench-platform: $(VENV)/.installed-dev
	@$(BIN)/python -m bench.platform

packages: $(VENV)/.installed-dev
	$(BIN)/python packaging/artifacts.py

# Root, Debian: containers with a booted systemd, the .deb and the .rpm in them, from installation to purge; a network that goes.
test-systemd: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow tests/packaging/test_on_systemd.py tests/packaging/test_rpm.py tests/packaging/test_on_network.py

# What `make packages` and `make release` make, looked at from the outside; a release signed with a key of its own.
test-packages: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow tests/packaging/test_packages.py tests/packaging/test_release.py

# The wheel, without the sources beside it, on every Python in PYTHONS.
test-pythons: $(VENV)/.installed-dev
	$(BIN)/python packaging/smoke.py $(PYTHONS)

# The images' root file systems, built and run without a container engine. Root, Debian.
test-images: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow tests/packaging/test_images.py

release: $(VENV)/.installed-dev
	$(BIN)/python packaging/release.py

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
