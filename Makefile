# One command per job; each works on a fresh machine and says what is missing where it cannot.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/market-maker-operator
BIN := .venv/bin
STAMP := .venv/.setup-$(shell sha256sum requirements/dev.lock pyproject.toml 2>/dev/null | sha256sum | cut -c1-12)
PYTEST := $(BIN)/pytest

.PHONY: help setup lint types test test-unit test-integration test-e2e demo try cluster images down bench bench-rivals bench-scale soak docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## .venv with every extra, from the hash-pinned lock file

$(STAMP):
	@PYTHON=$(PYTHON) ./cluster/setup-venv requirements/dev.lock .venv
	@rm -f .venv/.setup-* && touch $@

lint: setup ## ruff, import layers, folder layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@! ls contract/__init__.py runner/__init__.py operator/__init__.py exchange/__init__.py backtest/__init__.py 2>/dev/null \
	  || { echo "a plain folder got an __init__.py: operator/ would shadow the standard library; remove it"; exit 1; }

types: setup ## mypy, strict
	$(BIN)/mypy

test: setup ## every test, the ones on a real kind cluster too
	./cluster/run-tests

test-unit: setup ## cores and generated files; no cluster, no network
	$(PYTEST) tests/unit

test-integration: setup ## runner against exchange, operator against a real API server
	@PATH="$$(./cluster/tools):$$PATH" $(PYTEST) tests/integration

test-e2e: setup ## on the kind cluster, with the exchange's ledger as oracle
	./cluster/run-tests tests/e2e

demo: setup ## a real cluster, the chart, examples/mm.yaml quoting; its status on the screen
	./cluster/demo

try: setup ## no cluster: the exchange and one engine as local processes, live in the terminal
	$(BIN)/python examples/try.py

cluster: ## a kind cluster (one control plane, two workers); prints its KUBECONFIG
	./cluster/up

images: setup ## build the three images and load them into the cluster
	./images/load

down: ## remove the cluster, its networks and the container engine that we started
	./cluster/down

bench: setup ## halt latency on the cluster of `make demo`, operator up and down (docs/benchmarks.md)
	@PATH="$$(./cluster/tools):$$PATH" KUBECONFIG="$${KUBECONFIG:-$(CACHE)/kubeconfig}" $(BIN)/python benchmarks/halt_latency.py

bench-rivals: setup ## backtest fills against hftbacktest, throughput against NautilusTrader, on the recorded tape
	$(BIN)/python benchmarks/fills_vs_hftbacktest.py
	$(BIN)/python benchmarks/throughput_vs_nautilus.py

bench-scale: setup ## 200 engines on 200 symbols of one simulated exchange
	$(BIN)/python benchmarks/exchange_scale.py

soak: setup ## the long form of the tests: a hundred times the examples (hours)
	MM_SOAK=1 ./cluster/run-tests

docs: setup ## write the generated files anew: CRDs, references
	$(BIN)/python -m mm_contract.crd --write
	$(BIN)/python -m mm_contract.reference --write

lock: setup ## resolve requirements/*.lock anew
	./requirements/lock

clean: ## remove .venv and tool caches of this checkout
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
