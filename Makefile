# Two commands are all that most people need: `make up` and `make test`.
#
#   make up ARGS="--once --sessions 5"    arguments are passed on
#   make setup PYTHON=python3.12          another interpreter
#
# Everything is installed into .venv of this checkout, from requirements.lock, with hashes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
STAMP := $(VENV)/.installed
FRONTEND := $(wildcard ibkr_assets/dashboard/frontend/*.json ibkr_assets/dashboard/frontend/*.mjs ibkr_assets/dashboard/frontend/src/*.ts)
WORKERS ?= 3

# A Python that does not write bytecode would start three to five times slower; it is compiled at install instead.
export UV_PYTHON_DOWNLOADS := never
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: up test test-fast browser redis chaos soak check format bench screenshots setup lock clean
.DEFAULT_GOAL := help

help:
	@sed -n '1,7p' Makefile

up: setup
	@$(BIN)/ibkr-assets up $(ARGS)

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml hatch_build.py $(FRONTEND)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make setup PYTHON=python3.11"; exit 1; }
	@echo "installing into $(VENV) (about a minute the first time)"
	@$(PYTHON) -m venv $(VENV) || { echo "venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q ibkr_assets
	@$(BIN)/python -c 'from ibkr_assets.features.compute import load_machine_code; load_machine_code()'
	@$(BIN)/python -c 'from ibkr_assets.market.validation import load_machine_code; load_machine_code()'
	@$(BIN)/python -c 'from ibkr_assets.backtest.compiled import prepare; prepare()'
	@touch $@

# Most tests wait for a server, not for a processor: three at a time on two cores take half as long as one.
test: setup browser redis
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: setup
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

# The dashboard's tests drive Debian's Chromium; without one, and without the right to install it, they are skipped.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing chromium" && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
		echo "no Chromium: the dashboard's browser tests are skipped"

# The tests of workers want a Redis; without one, and without the right to install it, they are skipped.
redis:
	@command -v redis-server >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing redis" && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null; } || \
		echo "no Redis: the tests of workers are skipped"

# Real processes, killed over every named point; a failing seed prints the command that replays its choices.
N ?= 200
SEED ?= 7
SESSIONS ?= 20
chaos: setup
	@$(BIN)/python -m ibkr_assets_tests.chaos --orders $(N) --seed $(SEED) $(ARGS)

# Sessions of minutes through a whole stack, with faults and nights; about half an hour. ARGS="--sessions 2 --symbols 6".
soak: setup
	@$(BIN)/python -m ibkr_assets_tests.soak --sessions $(SESSIONS) --seed $(SEED) $(ARGS)

check: setup
	@$(BIN)/ruff format --check ibkr_assets ibkr_assets_tests benchmarks examples
	@$(BIN)/ruff check ibkr_assets ibkr_assets_tests benchmarks examples
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format ibkr_assets ibkr_assets_tests benchmarks examples
	@$(BIN)/ruff check --fix ibkr_assets ibkr_assets_tests benchmarks examples

# Libraries that ours is measured against want another pandas, so they have an environment of their own.
PEERS := .venv-peers
$(PEERS)/.installed: benchmarks/requirements-peers.lock | setup
	@echo "installing the libraries to compare with into $(PEERS)"
	@$(PYTHON) -m venv $(PEERS)
	@$(BIN)/uv pip sync --quiet --python $(PEERS)/bin/python --require-hashes --compile-bytecode $<
	@touch $@

bench: setup $(PEERS)/.installed
	@$(BIN)/python -m benchmarks $(ARGS)

# The pictures of the README, from a stack of their own.
screenshots: setup browser
	@$(BIN)/python -m ibkr_assets_tests.journeys.screenshots $(ARGS)

lock: setup
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet -o requirements.lock
	@$(BIN)/uv pip compile benchmarks/peers.in --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet -o benchmarks/requirements-peers.lock

clean:
	rm -rf $(VENV) $(PEERS) .ibkr_assets .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
