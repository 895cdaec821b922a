# What a person, and .ci/run, does with this repository. `make` lists the targets.
# Needs make, Python 3.11 or newer and Rust; everything else is installed into .venv.

VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMPS := $(VENV)/.ndpool
# The first interpreter that is new enough; looked for only when .venv is made. `make PYTHON=python3.13 test` chooses.
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11 python,\
	$(shell $(python) -c "import sys; sys.version_info >= (3, 11) and print('$(python)')" 2>/dev/null)))
# CI builds what Cargo.lock says or fails.
LOCKED := $(if $(CI),--locked)
RUST := Cargo.toml $(wildcard Cargo.lock build.rs) $(shell find src -name '*.rs')
STUBTEST := $(BIN)/stubtest ndpool._ndpool

# maturin installs into VIRTUAL_ENV and refuses to choose between it and a conda environment.
export VIRTUAL_ENV := $(abspath $(VENV))
unexport CONDA_PREFIX
export PYO3_PYTHON := $(abspath $(BIN))/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all lint bench record docs audit clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-12s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(STAMPS)/demo  ## Pool photographs in many ways, check the results, draw pictures into demo/
	$(BIN)/ndpool demo

test: $(STAMPS)/test  ## Rust and Python tests, doc tests of both and of README.md, the stub against the extension
	cargo test $(LOCKED)
	$(BIN)/python -m pytest tests/python
	$(BIN)/python -m pytest --doctest-modules --doctest-glob='*.md' --ignore=python/ndpool/bench/peers python/ndpool README.md $(wildcard docs/*.md docs/modes/*.md)
	$(STUBTEST)

test-all: $(STAMPS)/torch  ## What `test` runs, with many more random examples and compared with PyTorch
	HYPOTHESIS_PROFILE=deep $(MAKE) test

lint: $(STAMPS)/lint  ## Formatting, lints, types, the stub, spelling; every finding is an error
	cargo fmt --check
	cargo clippy --all-targets $(LOCKED) -- -D warnings
	cargo clippy --all-targets --features python $(LOCKED) -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict python/ndpool
	$(STUBTEST)
	$(BIN)/typos

bench:  ## Criterion benchmarks of the Rust core
	cargo bench $(LOCKED)

record: $(STAMPS)/bench-all  ## Time pooling in all libraries (a large download); the figures go into README.md
	mkdir -p benches/record
	$(BIN)/ndpool bench --json benches/record/$$(date +%F).json
	$(BIN)/ndpool bench --threads 1 --json benches/record/$$(date +%F)-serial.json
	$(BIN)/python benches/readme.py

docs: $(STAMPS)/docs  ## The manual into docs/_build/html, the crate's into target/doc; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps $(LOCKED)

audit:  ## Licences, sources and advisories of the dependencies; needs cargo-deny
	cargo deny --all-features check

clean:  ## Remove what the other targets made
	rm -rf $(VENV) target docs/_build docs/generated demo

# The package is built when its sources changed, once for all targets; then each target's extras are there or installed.
$(STAMPS)/demo $(STAMPS)/test $(STAMPS)/torch $(STAMPS)/lint $(STAMPS)/docs $(STAMPS)/bench-all: $(STAMPS)/%: $(STAMPS)/built
	$(BIN)/python -m pip install 'ndpool[$*]'
	@touch $@

$(STAMPS)/built: $(STAMPS)/venv pyproject.toml $(RUST)
	$(BIN)/maturin develop --release $(LOCKED)
	@touch $@

$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found; name one: make PYTHON=/path/to/python ..."; exit 1; }
	@command -v cargo >/dev/null || { echo "cargo was not found; install Rust first."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $$($(BIN)/python -c \
		"import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'])")
	@mkdir -p $(STAMPS) && touch $@
