# Everything that is done with lossmith, each in a virtual environment of the project's own (.venv).
# Nothing need be installed but Python 3.11 or newer, a C++ compiler and make.

PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin
READY := .venv/.ready
BUILT := .venv/.built
PYTEST := $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal

.PHONY: help demo test test-all test-triton test-sanitized check format bench figures docs wheel clean

help:  ## Say what can be made.
	@grep '^[a-z-]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

# What the kernels are built from: after a change they are built anew. The folders: an editable install knows each file's
# place, so it is made anew where files came, went or moved.
KERNELS := CMakeLists.txt $(shell find src -name '*.cpp' -o -name '*.h') $(wildcard src/lossmith/formula/*.py src/lossmith/losses/*.py)
KERNELS += $(shell find src -type d -not -name __pycache__ -not -name '*.egg-info')

# torch is pinned everywhere, or pip would take the newest release, with gigabytes of CUDA.
$(READY): pyproject.toml constraints.txt
	@echo "Making .venv (a few minutes the first time) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group build
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --group dev --editable '.[all]'
	@touch $@ $(BUILT)

# An editable install reads Python from the source; the kernels are what it builds. Without an isolated environment, whose
# place is new every time, CMake compiles only what changed.
$(BUILT): $(READY) $(KERNELS)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

REPORTS := build/reports

demo: $(BUILT)  ## Choose a loss for two real data sets and write a report of each into build/reports.
	$(BIN)/lossmith choose diabetes --report $(REPORTS)
	$(BIN)/lossmith choose breast_cancer --report $(REPORTS)
	@echo "The reports, to open in a browser:"
	@ls $(CURDIR)/$(REPORTS)/diabetes.html $(CURDIR)/$(REPORTS)/breast_cancer.html

test: $(BUILT)  ## Run the tests on a fixed sample of the cases, and the examples in the docstrings.
	$(PYTEST)

TRITON ?= 3.6.0

test-triton: $(BUILT)  ## Compile a sample of the GPU's kernels with another Triton: make test-triton TRITON=3.6.0.
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/triton-$(TRITON) triton==$(TRITON)
	PYTHONPATH=build/triton-$(TRITON) $(PYTEST) tests/gpu/test_compiled.py

test-all: $(BUILT)  ## Run every test on every case.
	$(PYTEST) --all

# The kernels built with AddressSanitizer and UndefinedBehaviorSanitizer, in an environment of their own: in .venv the
# finder of the editable install would come first. Nothing is suppressed. Leaks are not looked for, since Python and torch
# leave memory behind, nor uses of the stack after a return, for which GCC 12 stores AVX-512 vectors at misaligned
# addresses. Captured by pytest, a report would be lost with the process, hence --capture=sys; libstdc++ is preloaded so
# that exceptions pass through the sanitizer.
SANITIZED := build/sanitized
PURELIB := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
SANITIZERS = LD_PRELOAD="$$(echo $$(for each in libasan.so libubsan.so libstdc++.so.6; do g++ -print-file-name=$$each; done))" \
	ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1

test-sanitized: $(READY)  ## Run the tests of the kernels under AddressSanitizer and UndefinedBehaviorSanitizer.
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --no-build-isolation --target $(SANITIZED)/site \
		-C build-dir=$(SANITIZED)/cmake -C cmake.define.LOSSMITH_SANITIZE=ON .
	$(BIN)/python -m venv --without-pip $(SANITIZED)/venv
	(echo $(CURDIR)/$(SANITIZED)/site; $(BIN)/python $(PURELIB)) > $$($(SANITIZED)/venv/bin/python $(PURELIB))/sanitized.pth
	$(SANITIZERS) $(SANITIZED)/venv/bin/python -c 'from lossmith.native import core; print("Testing", core.__file__)'
	$(SANITIZERS) $(SANITIZED)/venv/bin/python -m pytest --numprocesses=$(JOBS) --dist=worksteal --capture=sys \
		tests/native --ignore=tests/native/test_build.py

wheel:  ## Build a wheel with the kernels and the sdist into dist/, as packaging/build_wheel.sh says.
	packaging/build_wheel.sh $(PYTHON)

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
	rm -rf .venv build dist docs/_build docs/losses docs/rules .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
