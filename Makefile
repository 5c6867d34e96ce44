# Every target sets itself up: it needs make and Python 3.11 or newer, and nothing else; tests on
# Kafka need Java 17 and, once, Maven, and fetch Kafka by themselves.
# The Python can be named: make demo PYTHON=/path/to/python3.12

VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/ready-to-run
DEV := $(VENV)/ready-to-develop
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The lists are complete: nothing is resolved, so no release made since can change what is chosen.
PINNED := $(PIP) --no-deps --require-hashes
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --build-deps-for editable \
	--no-header --no-emit-options --no-emit-index-url --no-emit-trusted-host --no-emit-find-links
PYTEST := $(BIN)/pytest -q --numprocesses auto --maxprocesses 4 --dist worksteal
# Each process has brokers of its own, workers and servers: they fill two cores.
ON_KAFKA := $(BIN)/pytest -q --numprocesses $(shell expr `getconf _NPROCESSORS_ONLN` / 2) --dist loadgroup \
	--durations 10
CORE := personalization tests/unit tests/properties
PARTS := agents api eventlog freshet personalization tables tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-kafka test-long check bench cover format pins clean

help: ## say what can be made (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(RUN) ## watch a simulated marketplace (ARGS="--seconds 30 --seed 7 --json")
	@$(BIN)/freshet demo $(ARGS)

test: $(DEV) ## run the tests (under five minutes)
	@echo "Running the tests …"
	@$(PYTEST) --durations 10

test-kafka: $(DEV) ## run the tests on real Kafka brokers, a few seeds for each fault
	@echo "Running the tests on Kafka …"
	@$(ON_KAFKA) -m "kafka and not long" $(ARGS)

test-long: $(DEV) ## run all that takes long: every seed, on Kafka and without, and ten times the examples
	@echo "Running the tests of the core on ten times as many examples …"
	@$(PYTEST) $(CORE) --hypothesis-profile thorough
	@echo "Running the long tests …"
	@$(ON_KAFKA) -m "kafka or long" $(ARGS)

# Lines of compiled functions are not counted: their tests run once more without the compiler.
cover: $(DEV) ## see that the core is covered by its own tests
	@echo "Running the tests of the core …"
	@$(PYTEST) $(CORE) --cov --cov-report= --cov-fail-under 0
	@echo "Running the tests of compiled functions uncompiled, to count their lines …"
	@NUMBA_DISABLE_JIT=1 $(PYTEST) $(CORE) -m "kernel and not long" --cov --cov-append \
		--cov-report= --cov-fail-under 0
	@$(BIN)/coverage report

check: $(DEV) ## check style, types and the direction of imports
	@echo "Checking style, types and imports …"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted: run make format"; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(DEV) ## format the code and order the imports
	@$(BIN)/ruff check --quiet --fix --select I .
	@$(BIN)/ruff format --quiet .

bench: $(DEV) ## run the benchmarks, one after another
	@echo "Running the benchmarks …"
	@$(BIN)/pytest -q -s -m "" -o faulthandler_timeout=0 tests/benchmarks $(ARGS)

pins: $(DEV) ## take the newest versions of all dependencies into requirements/
	@echo "Choosing versions …"
	@$(COMPILE) --upgrade --output-file requirements/run.txt pyproject.toml
	@$(COMPILE) --upgrade --extra dev --constraint requirements/run.txt \
		--output-file requirements/dev.txt pyproject.toml

clean: ## remove what was built and installed (data stays)
	@rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find $(PARTS) -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): requirements/run.txt pyproject.toml
	@"$(PYTHON)" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null \
		|| { echo "Freshet needs Python 3.11 or newer; name one with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute) …"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv $(VENV)
	@$(PINNED) -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUN)
	@echo "Adding the tools for tests and checks (once) …"
	@$(PINNED) -r requirements/dev.txt
	@touch $@
