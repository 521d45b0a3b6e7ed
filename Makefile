# Every target installs what it needs. CI runs `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Tests wait for processes and disks much of the time. A test marked `alone` has the machine to itself all the same.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help install web test check demo bench
help:
	@echo "make install   .venv with everything a developer needs"
	@echo "make web       the studio's pages, where their sources have changed"
	@echo "make test      all tests (PYTEST_ARGS='-m \"not slow\"' for the fast ones)"
	@echo "make check     ruff, mypy --strict, import-linter, pytest"
	@echo "make demo      train, export, serve and predict on a real data set"
	@echo "make bench     measure, and say where the figures go (serving alone takes 20 minutes)"

install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

web: install
	@./scripts/build_web.sh

test: web
	@./scripts/install_test_tools.sh
	$(PYTEST) $(PYTEST_ARGS)

check: web
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) --deselect tests/test_gates.py $(PYTEST_ARGS)

demo:
	./scripts/install_linux.sh --demo

bench: install
	@./scripts/install_test_tools.sh
	$(BIN)/python -m benchmarks
