# Everything that is done with this checkout. A clean clone needs Python 3.11 or later and make; the rest is set up here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
# Tests wait more than they compute, so there are more of them at once than a small machine has cores.
PARALLEL := -n 3 --dist worksteal
# A pooler has no part in what is refused before it is sent, in texts, and in signatures.
POOLED := $(filter-out $(patsubst %,tests/integration/test_queue_%.py,bad_input messages signing), \
	$(wildcard $(patsubst %,tests/integration/test_%_*.py,queue batch task))) tests/integration/test_history_frames.py

.DEFAULT_GOAL := help
.PHONY: help venv check test soak demo kernels bench audit golden clean

help: ## show what there is
	@awk -F ': .*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY) ## the virtual environment with goque and all that tests need

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "goque needs Python 3.11 or later; run: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing into $(VENV), about a minute"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: $(READY) ## format, lint, types, floors, unit and architecture tests; under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q -m "not slow" tests/unit tests/architecture

# The second run repeats what uses a database on PostgreSQL 15, the oldest that is supported, the third what users do
# behind PgBouncer. Without their programs they are left out on a developer's machine, and fail where CI is set.
test: $(READY) ## all tests, on the embedded PostgreSQL 18, and on PostgreSQL 15 and PgBouncer where they are installed
	$(PYTEST) -q $(PARALLEL) tests
	$(BIN)/python -m tests.oldest_server $(PYTEST) -q $(PARALLEL) tests/architecture tests/integration tests/scenarios
	$(BIN)/python -m tests.oldest_server --pooler $(PYTEST) -q $(PARALLEL) $(POOLED)

soak: $(READY) ## the long forms: races, the model, then faults and load with figures as JSON; half an hour or more
	$(PYTEST) -q $(PARALLEL) -m soak tests --ignore tests/soak
	$(PYTEST) -q -s -p no:logging -m soak tests/soak

demo: $(READY) ## see it work
	$(BIN)/goque demo

kernels: $(READY) ## try the panel, waiting and interrupts in the kernels of several versions, fetched from PyPI
	$(BIN)/python -m tests.kernels 6.31.0 7.3.0 7.4.0

bench: $(READY) ## measure goque beside raw SQL, other queues and executors, which it installs; about half an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks

audit: $(READY) ## ask PyPI whether weaknesses are known of anything that is installed
	@$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --skip-editable --progress-spinner off \
		--path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

golden: $(READY) ## write the golden SQL anew; look at the difference before you keep it
	$(BIN)/python -m tests.golden

clean: ## remove the virtual environment and caches; data of the embedded server stay
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
