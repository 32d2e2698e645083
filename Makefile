# Two commands are enough: `make run` does the main job on examples/, `make test` passes the tests.
# Everything is installed into .venv in this checkout, from pins with hashes.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := core api operator jobrunner client cli
UV := $(BIN)/uv
INSTALLED := $(VENV)/.installed
export UV_PYTHON_DOWNLOADS = never
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help install run up check test unit e2e coverage cluster cluster-down fuzz soak dashboard screenshots fix pins examples bench version release clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install everything into .venv (the other targets do this by themselves).

run: $(INSTALLED) ## Do the main job on examples/products.csv.
	$(BIN)/imagebatch run examples/products.csv --output build/products_output.csv --errors build/products_errors.csv --images build/images

up: $(INSTALLED) ## Start the whole system on this machine.
	$(BIN)/imagebatch up

check: $(INSTALLED) ## Lint, types, layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests examples benchmarks docs release
	$(BIN)/lint-imports --no-cache

test: $(INSTALLED) ## Run the whole test suite.
	$(BIN)/pytest

unit: $(INSTALLED) ## Run only the tests that need no server.
	$(BIN)/pytest -m "not integration and not cluster"

e2e: $(INSTALLED) ## Run the end-to-end tests on a Kubernetes cluster (see docs/testing.md).
	$(BIN)/pytest -m cluster

coverage: $(INSTALLED) ## Print which of the operator's lines run without a cluster; fewer than 90% fail.
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests/operator
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90

cluster: $(INSTALLED) ## Start a Kubernetes of this machine's own with our images; `make cluster-down` ends it.
	PYTHONPATH=tests/support $(BIN)/python -m imagebatch_testing.cluster up

cluster-down: $(INSTALLED)
	PYTHONPATH=tests/support $(BIN)/python -m imagebatch_testing.cluster down

fix: $(INSTALLED) ## Format, and mend what the linter can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

examples: $(INSTALLED) ## Draw the example images and CSVs again.
	$(BIN)/python examples/make_examples.py
	$(BIN)/python examples/make_catalogues.py

bench: $(INSTALLED) ## Print memory, time and latencies (see benchmarks/README.md).
	PYTHONPATH=tests/support $(BIN)/python benchmarks/peers.py
	PYTHONPATH=tests/support $(BIN)/python benchmarks/codec.py
	$(BIN)/python benchmarks/ingest_merge.py
	$(BIN)/python benchmarks/latency.py

screenshots: $(INSTALLED) ## Take the pictures of the page in docs/screenshots/ again (needs Chromium).
	PYTHONPATH=tests/support $(BIN)/python -m imagebatch_testing.screenshots

pins: $(INSTALLED) ## Resolve the dependencies again and write requirements/.
	sh requirements/compile.sh $(UV)

version: $(INSTALLED) ## Write VERSION= everywhere that it stands, and its section into CHANGELOG.md.
	$(BIN)/python -m release version "$(VERSION)"

release: $(INSTALLED) ## Build VERSION= from the commit into dist/ (REGISTRY=registry.example/team; IMAGES=no leaves images out).
	$(BIN)/python -m release build "$(VERSION)" $(if $(REGISTRY),--registry "$(REGISTRY)") $(if $(filter no,$(IMAGES)),--without-images)

fuzz: $(INSTALLED) ## Damage JPEGs for an hour (SECONDS=3600), and see whether the requantiser stands it.
	PYTHONPATH=tests/support $(BIN)/python -m imagebatch_testing.fuzzing $(or $(SECONDS),3600)

dashboard: $(INSTALLED) ## Draw the dashboard over two batches, as a real Prometheus saw them.
	$(BIN)/python docs/make_dashboard.py
	PYTHONPATH=tests/support $(BIN)/python -m imagebatch_testing.dashboard_picture docs/dashboard.svg

soak: $(INSTALLED) ## Run 200 batches for 15 minutes while everything is killed at random, and print what became of them.
	IMAGEBATCH_SOAK_SECONDS=900 IMAGEBATCH_SOAK_BATCHES=200 $(BIN)/pytest tests/e2e/test_soak.py

clean: ## Remove what make made.
	rm -f jobrunner/src/imagebatch_jobrunner/decoder/libimagebatch.so
	rm -rf $(NATIVE)/target $(VENV) build .imagebatch .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ImageBatch needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $(UV)

NATIVE := jobrunner/native
$(INSTALLED): $(UV) requirements/dev.txt requirements/release.txt $(MEMBERS:%=%/pyproject.toml) $(wildcard $(NATIVE)/*.py $(NATIVE)/*/src/*.rs)
	@$(PYTHON) $(NATIVE)/build.py
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt -r requirements/release.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(MEMBERS:%=-e ./%)
	@touch $(INSTALLED)
