# The daily commands. `make help` lists them.
PYTHON ?= python3
UV := .tools/bin/uv
VENV := .venv
# On a terminal uv shows how far it is.
QUIET := $(shell test -t 2 || echo --quiet)
# Public data sets, which are not shipped; and where their peer is installed.
DATA ?= $(or $(CELLWORKS_DATA),../shared/data)
PEER := .tools/peer
STAMP := $(VENV)/.installed
export UV_PYTHON_DOWNLOADS := never
export UV_COMPILE_BYTECODE := 1
export UV_COMPILE_BYTECODE_TIMEOUT := 900
export DAGSTER_DISABLE_TELEMETRY := yes

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv

$(STAMP): requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@echo "installing what requirements.lock names, and compiling it: one to five minutes"
	$(UV) pip sync $(QUIET) --require-hashes requirements.lock
	$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP) ## install exactly what the lock names; leaves .venv/bin/cellworks

demo: setup ## simulate, ingest, curate, check, learn and act; again: the next production day
	$(VENV)/bin/cellworks demo

ui: setup ## Dagster (webserver and daemon) and MLflow on 127.0.0.1
	$(VENV)/bin/cellworks ui

lint: setup ## style, import rules, SQL style
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/sqlfluff lint --disable-progress-bar --processes 2 dbt

types: setup ## strict types
	$(VENV)/bin/mypy

check: setup ## lint, types and the quick tests (two minutes)
	$(MAKE) --jobs 2 --output-sync=target lint types
	CELLWORKS_THREADS=1 OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n 2 -m "not slow and not long and not servers"

test: setup ## the suite, on two cores
	CELLWORKS_THREADS=1 OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n 2 --no-loadscope-reorder -m "not long and not servers"

servers: setup ## the lake, ingestion, actions, searches, retention, servers away and a night on PostgreSQL and S3 over HTTP
	CELLWORKS_THREADS=1 OMP_NUM_THREADS=1 $(VENV)/bin/pytest -m servers

faults: setup ## kills, full disk, servers away, hung and poisoned runs; figures into .tmp/faults.json (tens of minutes)
	CELLWORKS_THREADS=1 OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.faults .tmp/faults.json

infra: setup ## lint the deployment files: Dockerfile, compose, Helm values, Kubernetes
	$(VENV)/bin/pytest tests/test_infra.py tests/test_charts.py

long: setup ## what takes minutes each: a later night of the whole plant, data faults from twin to checks, full rebuilds, blocked nights, the daemon, wide tables, a drifting stacker, the pages of dbt
	$(VENV)/bin/pytest -m "long and not faults and not servers"

soak: setup ## sixty days of a small plant on servers, a minute each: does anything grow? figures into .tmp/soak.json (SOAK="--days 6 --night-every 3" for less)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.soak .tmp/soak.json $(SOAK)

security: setup ## hostile input, fuzzed through the public doors, and the audit of the dependencies; figures in .tmp/security.json
	CELLWORKS_THREADS=1 OMP_NUM_THREADS=1 $(VENV)/bin/python tests/security/run.py .tmp/security.json

bench: setup ## each figure beside the bare one; writes docs/bench.md and docs/bench.json (half an hour)
	$(VENV)/bin/cellworks bench --docs docs

benchmarks: setup ## public data sets beside what was published; writes docs/benchmarks.md (DATA=folder; a quarter of an hour)
	$(VENV)/bin/cellworks benchmarks --data $(DATA) --docs docs

scale: setup ## one line, three and ten: seconds and memory of each stage and the plan beyond; writes docs/scale.md, .tmp/scale.json (about an hour)
	$(VENV)/bin/cellworks scale --docs docs --figures .tmp/scale.json

peer: setup ## FLAML with the same seconds, in its own environment, onto that page (DATA=folder; a quarter of an hour)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(PEER)
	$(UV) pip sync $(QUIET) --python $(PEER)/bin/python --require-hashes tests/bench/peer/requirements.lock
	rm -rf .tmp/peer
	$(VENV)/bin/python tests/bench/peer/prepare.py $(DATA) .tmp/peer
	OMP_NUM_THREADS=1 $(PEER)/bin/python tests/bench/peer/peer.py .tmp/peer tests/bench/peer/results.json
	$(VENV)/bin/cellworks benchmarks --render --docs docs

peer-lock: $(UV) ## resolve the peer again
	$(UV) pip compile tests/bench/peer/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file tests/bench/peer/requirements.lock

docs: setup ## the documentation site, into site/; broken links fail it
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

docs-graph: setup ## draw the asset groups anew, after one was added
	$(VENV)/bin/python docs/_reference/graph_picture.py

lock: $(UV) ## resolve again: hashes, no address of any index
	$(UV) pip compile pyproject.toml --extra kubernetes --extra docker --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

.PHONY: help setup demo ui lint types check test servers faults infra long soak security bench benchmarks scale peer peer-lock docs docs-graph lock
