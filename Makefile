# The verbs of this repository. `make help` lists them; continuous integration runs no others.
#
# The environment is made once, in .venv, and again when the locked requirements change (the stamp). Only what
# requirements/dev.txt names with its hash is installed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
STAMP := .venv/.made-from-the-lock
# Folders of tests and benches for the type checker. Examples are left out: each has modules of the same names.
TYPED := src $(wildcard tests benchmarks)

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## make the environment in .venv from the locked requirements

$(STAMP): requirements/dev.txt pyproject.toml
	@if [ ! -x $(BIN)/python ]; then \
	  found=; old=; \
	  for name in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	    version=$$($$name -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	    case $$version in 3.1[1-9]) found=$$name; break;; *) old="$$old $$name is $$version.";; esac; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "setup: Python 3.11 or newer is needed and was not found.$$old" >&2; \
	    echo "       Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	  fi; \
	  if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "setup: $$found cannot make environments." >&2; \
	    echo "       Install what is missing: apt-get install python3-venv (or $$($$found -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')), then run this again." >&2; \
	    exit 1; \
	  fi; \
	  echo "setup: making .venv with $$found ($$version)"; \
	  $$found -m venv .venv; \
	fi
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo "setup: .venv has a Python older than 3.11, or is broken. Move it away and run this again." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
	  { echo "setup: .venv has no pip. apt-get install python3-venv, move .venv away and run this again." >&2; exit 1; }
	@echo "setup: installing what requirements/dev.txt locks"
	@total=$$(grep -c '^[a-z].*==' requirements/dev.txt); \
	$(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
	    --require-hashes -r requirements/dev.txt \
	| awk -v total=$$total '\
	    /^(Collecting|Requirement already satisfied: )/ { name = /^Coll/ ? $$2 : $$4; sub(/[=<>!;].*/, "", name); \
	      printf "  [%d of at most %d] %s\n", ++n, total, name; fflush() } \
	    /^Installing collected/ { print "  unpacking, this takes half a minute"; fflush() }'
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet --no-deps --no-build-isolation -e .
	@touch $@
	@echo "setup: done"

.PHONY: fmt
fmt: $(STAMP) ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lint
lint: $(STAMP) ## formatting, lint, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

.PHONY: types
types: $(STAMP) ## types: strict in src, loose in tests and benches
	$(BIN)/mypy $(TYPED)

.PHONY: check
check: lint types ## everything that is checked without running the product
	$(BIN)/pytest -q tests/architecture -m "not slow"

.PHONY: console
console: $(STAMP) ## build the pages of the console where their sources changed
	@$(BIN)/python hatch_build.py

.PHONY: test
test: $(STAMP) console ## all tests but those of frameworks, four at a time: most of them wait for something
	$(BIN)/pytest -q -n 4 --dist loadfile tests --ignore=tests/frameworks

.PHONY: races
races: $(STAMP) ## the races of verdicts, holds and restarts in 1,000 schedules
	PILOTHOUSE_SCHEDULES=1000 $(BIN)/pytest -q tests/oversight/test_race.py

# The environments of agent frameworks, one for each list in requirements/frameworks; made again when the list changes.
FRAMEWORKS := $(patsubst requirements/frameworks/%.txt,.venv-frameworks/%/made,$(wildcard requirements/frameworks/*.txt))

.PHONY: frameworks
frameworks: $(FRAMEWORKS) ## make the environments of agent frameworks in .venv-frameworks

.venv-frameworks/%/made: requirements/frameworks/%.txt | $(STAMP)
	@echo "frameworks: making .venv-frameworks/$*"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-frameworks/$*
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .venv-frameworks/$*/bin/python --require-hashes -r $<
	@touch $@

.PHONY: test-frameworks
test-frameworks: $(STAMP) frameworks ## the tests of the bridges, each beside its real framework
	$(BIN)/pytest -q -n 2 --dist loadfile tests/frameworks

.PHONY: faults
faults: $(STAMP) ## only the tests that kill, freeze, fill and tear
	$(BIN)/pytest -q tests/faults

.PHONY: bench
bench: $(STAMP) console ## measure beside the bare server and the bare file
	$(BIN)/python -m benchmarks

.PHONY: scale
scale: $(STAMP) ## fit the capacity model of docs/explanation/scale.md to benchmarks/RESULTS.json
	$(BIN)/python -m benchmarks.capacity --write

.PHONY: docs
docs: $(STAMP) ## build the pages into site/, without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "docs: open site/index.html"

.PHONY: run
run: $(STAMP) console ## start the example, and print what to paste
	@cd examples/01-licence-desk && exec ../../.venv/bin/python start.py

.PHONY: bench-peers
bench-peers: $(STAMP) ## measure beside LangGraph, Agno, ADK, DBOS, Restate and Celery, each installed apart
	$(BIN)/python -m benchmarks.peers

.PHONY: growth
growth: $(STAMP) ## time single operations beside ten million ended runs into GROWTH.md (minutes, 7 GB)
	$(BIN)/python -m benchmarks.growth

.PHONY: growth-postgres
growth-postgres: $(STAMP) ## time a claim on PostgreSQL beside up to ten million ended runs, or RUNS (minutes, 15 GB)
	$(BIN)/python -m benchmarks.growth_postgres $(RUNS)

.PHONY: counts
counts: $(STAMP) ## count what a unit of work costs and renew tests/perf/counts.json
	$(BIN)/python -m benchmarks.counts --write

.PHONY: cluster
cluster: $(STAMP) ## show the example on two gateways, three workers and a PostgreSQL that are killed
	@cd examples/06-cluster && exec ../../.venv/bin/python cluster.py $(WITH)

.PHONY: lock
lock: ## resolve again and write requirements/*.txt (needs uv)
	@command -v uv >/dev/null || { echo "lock: uv is needed: https://docs.astral.sh/uv" >&2; exit 1; }
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra standard pyproject.toml -o requirements/standard.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra standard --extra otel --extra postgres pyproject.toml requirements/dev.in -c requirements/standard.txt -o requirements/dev.txt
	for list in requirements/frameworks/*.in; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    $$list -o $${list%.in}.txt; \
	done

.PHONY: release
release: check test ## build the distributions into dist/, after all checks
	$(BIN)/python -m hatchling build -d dist
	@echo "release: dist/ is built. Move changes/*.md into CHANGELOG.md, tag, and upload by hand."
