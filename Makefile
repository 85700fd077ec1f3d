# The two commands are `make demo` and `make test`. `make help` names the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_WORKERS ?= 2
PYTEST_MORE ?=

.PHONY: help setup packages clients demo test test-engines conformance check lint types floors docs docs-check fix bench engines clean

help: ## name the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make the virtual environment

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[dev]'
	@touch $@

packages: ## install the Debian packages that tests and benchmarks need (root)
	@missing=$$(grep -v '^#' tools/debian-packages.txt | while read -r package command; do \
	  command -v "$${command:-/nothing}" >/dev/null || dpkg -s "$$package" >/dev/null 2>&1 || \
	  echo "$$package"; done); \
	if [ -z "$$missing" ]; then exit 0; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -o Acquire::Retries=3 update -qq && DEBIAN_FRONTEND=noninteractive apt-get \
	    -o Acquire::Retries=3 install -y -qq --no-install-recommends $$missing; \
	else echo "some groups of tests will be skipped; to enable them, as root: make packages"; fi

clients: setup packages ## install the foreign clients of tests from npm, into a cache outside the clone
	@$(BIN)/python -m tests.e2e.node_clients

demo: setup ## open a demo MCP server through the built-in relay; ONCE=1 stops after the proof
	@$(BIN)/python examples/demo.py $(if $(ONCE),--once)

test: setup packages clients ## run every test this machine can run, and name what it skips
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup --ignore=tests/engines $(PYTEST_MORE)

test-engines: setup packages engines clients ## run the drivers' suites over the real engines
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup tests/engines \
	  --conformance build/conformance.json $(PYTEST_MORE)

conformance: setup packages engines clients ## the same, and write what each engine could do into docs/
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup tests/engines \
	  --conformance docs/conformance.json
	$(BIN)/python -m tools.engines.alone docs/alone.json
	$(BIN)/python tools/docs.py write

check: lint types floors docs-check ## judge, and change nothing

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

floors: setup
	$(BIN)/lint-imports --no-cache

docs: setup ## write the generated pages and build the site into build/site
	$(BIN)/python tools/docs.py write
	$(BIN)/zensical build --strict --clean

docs-check: setup
	$(BIN)/python tools/docs.py check
	$(BIN)/zensical build --strict --clean

fix: setup ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

engines: setup ## build the real engines and the peers of benchmarks, into a cache outside the clone
	$(BIN)/python tools/engines/build.py

bench: setup packages engines ## measure against peers in one run; writes build/bench.json
	$(BIN)/python bench/run.py

clean: ## remove what was made
	rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
