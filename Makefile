# Needs Python 3.11 or later, and make. Every target makes or refreshes .venv itself.
PYTHON ?= python3
# Of the tests: much of what they do is wait.
PROCESSES ?= 2
BIN := .venv/bin
READY := .venv/.ready
PEERS := .peers/byzfl/.0.0.11
VERIFIERS := .peers/verifiers/.ready
ACCOUNTING := .peers/accounting/.ready
NODES := .peers/ipfs/.ready
FLOWERS := .peers/flwr-1.40/.1.40.0 .peers/flwr-1.42/.1.42.0

.DEFAULT_GOAL := help
.PHONY: help run test lint bench peers tables chaos fuzz coverage readme clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch comes first and exactly as pinned, so that nothing else pulls in another build of it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "folkmoot needs Python 3.11 or later, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

run: $(READY) ## the main job: train on real data, two of ten holders hostile
	$(BIN)/folkmoot run

test: lint $(PEERS) $(VERIFIERS) $(ACCOUNTING) $(NODES) $(FLOWERS) ## ruff, mypy, import-linter, pytest
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

lint: $(READY) ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

$(PEERS): $(READY)
	$(BIN)/python -m benchmarks.peers byzfl

$(VERIFIERS): $(READY) tests/ledger/interop/requirements.txt
	$(BIN)/python -m benchmarks.peers verifiers
	touch $(VERIFIERS)

# What makes a tree for a chain, and another age, come by npm, where there is one; tests of them are skipped elsewhere.
$(ACCOUNTING): $(READY) tests/ledger/accounting.txt
	$(BIN)/python -m benchmarks.peers accounting
	if command -v npm >/dev/null; then $(BIN)/python -m benchmarks.peers distribution typage; fi
	touch $(ACCOUNTING)

$(FLOWERS): $(READY)
	$(BIN)/python -m benchmarks.peers flwr-1.40 flwr-1.42

# js-ipfs comes by npm, where there is one; the tests that need a node are skipped elsewhere.
$(NODES): $(READY) $(wildcard tests/ipfs/*)
	if command -v npm >/dev/null; then $(BIN)/python -m benchmarks.peers ipfs; else mkdir -p $(@D); fi
	touch $(NODES)

peers: $(PEERS) $(VERIFIERS) $(ACCOUNTING) $(NODES) $(FLOWERS) ## set up the peers that tests and benchmarks compare with, in .peers/

tables: $(READY) ## docs/aggregation.md, docs/speed.md, docs/credit.md, examples/flower: tables and plots, from the benchmarks' JSON
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.speed_page
	$(BIN)/python -m benchmarks.credit_page

bench: $(READY) ## benchmarks with their floors; results in benchmarks/results
	$(BIN)/folkmoot bench rounds
	$(BIN)/folkmoot bench training
	$(BIN)/folkmoot bench growth
	$(BIN)/folkmoot bench aggregation
	$(BIN)/folkmoot bench robustness
	$(BIN)/folkmoot bench ledger
	$(BIN)/folkmoot bench exchange
	$(BIN)/folkmoot bench hostile
	$(BIN)/folkmoot bench strategies
	$(BIN)/folkmoot bench flower

chaos: $(READY) ## the long kill -9 run
	$(BIN)/python -m pytest -m chaos --timeout 1800

fuzz: $(READY) ## coverage-guided fuzzing of the ledger's parsers, two million inputs
	$(BIN)/python -m benchmarks.peers fuzz
	$(BIN)/python -m tests.ledger.fuzz -runs=2000000

coverage: $(READY) ## tests, and which lines they do not reach
	$(BIN)/python -m pytest --cov --cov-report=term

readme: $(READY) ## run the commands of README and docs, and write their output into them
	$(BIN)/python -m tests.readme README.md docs/audit.md docs/exchange.md docs/federation.md

clean: ## remove .venv, run folders and caches
	rm -rf .venv .peers runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
