# Two commands for a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ROOT ?= runs
DEMO_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint types check browser clean

help:
	@echo "make demo   install, train on the embedded sample, and open the dashboard"
	@echo "make test   install what the tests need, a browser too, and run all tests"
	@echo "make check  lint, types and tests, as continuous integration runs them"

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cnnviz needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[test,lint]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/cnnviz train --data mnist-mini --epochs 8 --lr 0.01 --every 5 --root $(DEMO_ROOT)
	$(BIN)/cnnviz dashboard $(DEMO_ROOT) $(DEMO_OPTIONS)

browser: $(VENV)/.installed-test
	$(BIN)/python tests/browser/find_browser.py || $(BIN)/python -m playwright install chromium

test: $(VENV)/.installed-test browser
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
