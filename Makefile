# Each target does its own set-up: a virtual environment in .venv, filled once from
# requirements.lock, and again only when that file or pyproject.toml changes.

PYTHON ?= python3
# `make lock LOCK_FLAGS=--upgrade` takes the newest versions instead of keeping the pinned ones.
LOCK_FLAGS ?=
# `make faults FAULTS_FLAGS='--seconds 600 --seed 7'` lets it storm for ten minutes, as drawn from 7.
FAULTS_FLAGS ?=
# `make fuzz FUZZ_FLAGS='--examples 500 --seed 7'` asks ten times as much, as drawn from 7.
FUZZ_FLAGS ?=
# `make bench BENCH_FLAGS='interrupts --json results.json'` measures one subject.
BENCH_FLAGS ?=
# `make frameworks FRAMEWORKS='langgraph pydantic_ai'` tries these only; `servers` are web servers.
FRAMEWORKS ?= openai_client openai_agents langgraph pydantic_ai google_adk \
	google_adk_default agno autogen autogen_team agent_framework crewai ray servers

# Without compiled modules, each program that a test starts takes longer by half a second.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
READY := .venv/ready
LOCK := build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
# Two of them need what another one needs.
ENVIRONMENTS := $(sort $(patsubst autogen_team,autogen,$(FRAMEWORKS:google_adk_default=google_adk)))
AGENTS := $(filter-out servers,$(FRAMEWORKS))
FRAMEWORK_TESTS := $(if $(AGENTS),matrix.py) $(if $(filter ray,$(FRAMEWORKS)),ray_cluster.py) \
	$(if $(filter servers,$(FRAMEWORKS)),servers.py)
CLIENT := clients/typescript
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run agent test trail service client programs faults upgrades traffic fuzz console \
	frameworks bench docs lint format lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '%-18s %s\n' "$$name" "$$text"; done

run: $(READY) ## serve with a live demo, on an SQLite file
	@$(BIN)/session-router serve --demo

agent: $(CLIENT)/node_modules/ready ## stream words from Node, beside the service of `make run`, until they are stopped
	@cd $(CLIENT) && npm run --silent build
	@cd examples/node_agent && rm -rf node_modules && npm install --silent
	@node examples/node_agent/agent.js

test: $(READY) ## run the tests, on SQLite and on a PostgreSQL that they start themselves
	@$(BIN)/python -m pytest -n auto -m 'not (trail or service or programs or faults or upgrades or traffic)'

trail: $(READY) ## test the audit trail, its laws, seals, erasures and exports, and the reports
	@$(BIN)/python -m pytest -n auto -m trail

service: $(READY) ## test the service's routes, keys, remote workers, hooks, metrics and traces
	@$(BIN)/python -m pytest -n auto -m service

client: $(READY) $(CLIENT)/node_modules/ready ## check, build and test the client for TypeScript; needs Node 18 or newer
	@cd $(CLIENT) && SESSION_ROUTER_PYTHON='$(CURDIR)/$(BIN)/python' npm run --silent all

programs: $(READY) ## test the commands, the service and the examples as users call them; long
	@$(BIN)/python -m pytest -n auto -m programs

faults: $(READY) ## test while workers, servers and connections are killed, in the end under load; long
	@$(BIN)/python -m pytest -n auto -m faults
	@$(BIN)/python -m tests.faults $(FAULTS_FLAGS)

upgrades: $(READY) ## test every step between releases, up and down, while workers of both run; long
	@$(BIN)/python -m pytest -n auto -m upgrades

traffic: $(READY) ## test every report and audit on a million events, on both databases; some minutes
	@$(BIN)/python -m pytest -n auto -m traffic

fuzz: $(READY) build/fuzz/ready ## ask the service all that its OpenAPI document allows, and much that it does not; some minutes
	@$(BIN)/python -m tests.fuzz $(FUZZ_FLAGS)

console: $(READY) build/browser/ready ## drive the console in headless Chromium, which has to be installed
	@SESSION_ROUTER_TEST_BROWSER='$(CURDIR)/build/browser' $(BIN)/python -m pytest -n 2 \
		tests/console/in_a_browser.py

frameworks: $(READY) $(ENVIRONMENTS:%=build/frameworks/%/ready) ## stop agents of real frameworks in every situation; some minutes
	@SESSION_ROUTER_TEST_FRAMEWORKS='$(AGENTS)' $(BIN)/python -m pytest -n 2 \
		$(FRAMEWORK_TESTS:%=tests/frameworks/%)

bench: $(READY) build/adk/ready ## measure, as ratios within one run, on a PostgreSQL of its own; an hour
	@$(BIN)/python -m benchmarks $(BENCH_FLAGS)

docs: $(READY) ## write the Python API reference into build/api; docs/reports.md and its picture, and openapi.json, anew
	@$(BIN)/python -m docs.api build/api
	@$(BIN)/python -m docs.reports
	@$(BIN)/python -m docs.openapi
	@echo 'The Python API reference begins at build/api/index.html.'

lint: $(READY) ## check style, types, the direction of imports and the migrations' SQL
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@mkdir -p build
	@$(BIN)/session-router db sql --database-url postgresql://localhost/any >build/migrations.sql
	@$(BIN)/squawk build/migrations.sql

format: $(READY) ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

lock: build/uv/bin/uv ## write requirements.lock, and the locks of the frameworks, the fuzzer and the browser, anew
	@$(LOCK) $(LOCK_FLAGS) pyproject.toml --all-extras --group dev --output-file requirements.lock
	@for wanted in tests/frameworks/requirements/*.in; do \
		$(LOCK) $(LOCK_FLAGS) pyproject.toml $$wanted --output-file $${wanted%.in}.txt || exit 1; done
	@for wanted in fuzz console; do $(LOCK) $(LOCK_FLAGS) tests/$$wanted/requirements.in \
		--output-file tests/$$wanted/requirements.txt || exit 1; done

clean: ## remove whatever these targets made, databases excepted
	@rm -rf $(CLIENT)/node_modules $(CLIENT)/build $(CLIENT)/dist examples/node_agent/node_modules
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find session_router migrations tests benchmarks docs -type d -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml | $(BIN)/python
	@echo 'Installing the pinned packages into .venv (this is done once) ...'
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(BIN)/python:
	$(call require-python)
	@$(PYTHON) -m venv --clear .venv || { echo \
		"'$(PYTHON) -m venv' failed; on Debian and Ubuntu it needs the package python3-venv." >&2; \
		exit 1; }

# What builds and tests the client; the client itself needs nothing.
$(CLIENT)/node_modules/ready: $(CLIENT)/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' || { echo \
		"the client for TypeScript is built by Node 18 or newer, with npm; install these." >&2; exit 1; }
	@echo 'Installing the pinned packages into $(@D) (this is done once) ...'
	@cd $(CLIENT) && npm ci --silent
	@touch $@

# What the benchmarks compare with, in an environment of its own; they do without it, too.
build/adk/ready: benchmarks/peers/adk.txt
	$(call require-python)
	@echo 'Installing google-adk into build/adk, to compare with (this is done once) ...'
	@$(PYTHON) -m venv --clear build/adk && build/adk/bin/python -m pip --quiet \
		--disable-pip-version-check install -r benchmarks/peers/adk.txt && touch $@ || echo \
		'google-adk could not be installed: what is compared with it will not be measured.' >&2

# The frameworks' packages, each in an environment of its own, which finds this checkout by a path.
build/frameworks/%/ready: tests/frameworks/requirements/%.txt
	$(call require-python)
	@echo 'Installing the pinned packages of $* into $(@D) (this is done once) ...'
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r $<
	@echo '$(CURDIR)' >"$$($(@D)/bin/python -c 'import site; print(*site.getsitepackages())')/checkout.pth"
	@touch $@

# What draws requests from the OpenAPI document: a client, which needs nothing of this checkout.
build/fuzz/ready: tests/fuzz/requirements.txt
	$(call require-python)
	@echo 'Installing schemathesis into build/fuzz (this is done once) ...'
	@$(PYTHON) -m venv --clear build/fuzz
	@build/fuzz/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r $<
	@touch $@

# What drives Chromium: beside the packages of .venv, and behind them, so that none of these changes.
build/browser/ready: tests/console/requirements.txt | $(READY)
	@echo 'Installing playwright into build/browser (this is done once) ...'
	@rm -rf $(@D)
	@$(PIP) install --require-hashes --target $(@D) -r $<
	@touch $@

build/uv/bin/uv:
	$(call require-python)
	@$(PYTHON) -m venv --clear build/uv
	@build/uv/bin/python -m pip --quiet --disable-pip-version-check install uv

define require-python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	"session_router needs Python 3.11 or newer, and '$(PYTHON)' is not." \
	"Name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
endef
