# Everything that is done with lossmith, each in a virtual environment of the project's own (.venv).
# Nothing need be installed but Python 3.11 or newer, a C++ compiler and make.

PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin
READY := .venv/.ready
BUILT := .venv/.built
PYTEST := $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal

.PHONY: help demo test test-all check format bench figures docs clean

help:  ## Say what can be made.
	@grep '^[a-z-]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

# What the kernels are built from: after a change they are built anew.
KERNELS := CMakeLists.txt $(shell find src -name '*.cpp' -o -name '*.h') $(wildcard src/lossmith/formula/*.py src/lossmith/losses/*.py)

# torch is pinned everywhere, or pip would take the newest release, with gigabytes of CUDA.
$(READY): pyproject.toml constraints.txt
	@echo "Making .venv (a few minutes the first time) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt \
		--group dev --editable '.[all]'
	@touch $@

# pip builds into build/, where only what changed is compiled again.
$(BUILT): $(READY) $(KERNELS)
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt --build-constraint constraints.txt --editable .
	@touch $@

demo: $(BUILT)  ## Choose a loss for two real data sets, a regression and a classification.
	$(BIN)/lossmith choose diabetes
	$(BIN)/lossmith choose breast_cancer

test: $(BUILT)  ## Run the tests on a fixed sample of the cases, and the examples in the docstrings.
	$(PYTEST)

test-all: $(BUILT)  ## Run every test on every case.
	$(PYTEST) --all

check: $(READY)  ## Check format, lint and types.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict src

format: $(READY)  ## Put the source in its format.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(BUILT)  ## Measure lossmith against torch, in pairs.
	$(BIN)/lossmith bench

figures: $(READY)  ## Write the recorded figures into the READMEs.
	$(BIN)/python -m lossmith.bench.readme README.md README.zh-CN.md

docs: $(READY)  ## Build the documentation into docs/_build/html.
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html

clean:  ## Remove everything that was made, the environment included.
	rm -rf .venv build dist docs/_build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
