# Two commands do everything: `make demo` and `make test`. Both set up .venv first, once.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Passed on to the demo: make demo DEMO_ARGS="--nodes 5 --rounds 6"
DEMO_ARGS ?=
# How long a soak takes (for ever without it), its first seed, and whatever else python -m tests.sim.soak --help names:
# make soak SECONDS=600 SEED=1000 SOAK_ARGS="--tier a"
SOAK_ARGS ?=
# Passed on to pytest: make test TEST_ARGS="tests/protocol -x"
TEST_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check lint types imports tidy format bench soak mutants chaos fuzz clean prerequisites
.PHONY: e2e-browser browser e2e-compose

help: ## Say what can be made.
	@echo "make demo    start a network of processes on this machine, train, show the rounds, end with a summary"
	@echo "make test    run the whole test command that CI runs"
	@echo "make check   run the linters, the type checker and the import contracts"
	@echo "make format  sort imports and apply the safe fixes"
	@echo "make bench   measure: gossip delivery, seconds per round, memory, start-up"
	@echo "make soak    simulate networks on all cores, seed after seed: SECONDS=n, for ever without it; SEED=first"
	@echo "make mutants break the core in one line at a time, and see that the tests notice: MUTANTS=\"name ...\""
	@echo "make chaos   break a network of seven at random, mend it, compare all ledgers: SECONDS=180 SEED=1"
	@echo "make fuzz    search every decoder and every way in for bytes that break something: SECONDS=60 TARGET=name SEED=n"
	@echo "make e2e-browser  test the dashboard in Chromium, and take the README's pictures: PICTURES=folder"
	@echo "make e2e-compose  test docker-compose.yml on a real Docker engine, brought for it where none answers: KEEP=folder"
	@echo "make setup   install everything into $(VENV), nothing else"
	@echo "make clean   remove $(VENV) and all caches"
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter; the first run installs 1.4 GB in a few minutes, more where torch comes with CUDA."

setup: $(STAMP) ## Install everything into .venv.

demo: $(STAMP)
	@$(VENV)/bin/pnyx demo $(DEMO_ARGS)

test: $(STAMP)
	@$(PY) -m pytest $(TEST_ARGS)

# `make -k check` goes on after the first that fails.
check: lint types imports tidy

lint: $(STAMP)
	@$(VENV)/bin/ruff check --output-format concise .

types: $(STAMP)
	@$(VENV)/bin/mypy

imports: $(STAMP)
	@$(VENV)/bin/lint-imports --no-logo

tidy: $(STAMP)
	@$(PY) -m pytest -q tests/test_tidy.py

format: $(STAMP)
	@$(VENV)/bin/ruff check --fix .

bench: $(STAMP)
	@$(PY) -m bench

soak: $(STAMP)
	@$(PY) -m tests.sim.soak $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(SOAK_ARGS)

mutants: $(STAMP)
	@$(PY) -m tests.mutants $(MUTANTS)

chaos: $(STAMP)
	@$(VENV)/bin/pnyx testnet chaos --seconds $(or $(SECONDS),180) $(if $(SEED),--seed $(SEED))

fuzz: $(STAMP)
	@$(PY) -m tests.fuzz --seconds $(or $(SECONDS),60) $(if $(TARGET),--target $(TARGET)) $(if $(SEED),--seed $(SEED))

e2e-browser: $(STAMP) browser
	@PNYX_SCREENSHOTS="$(or $(PICTURES),docs/images)" $(PY) -m pytest -s tests/browser $(TEST_ARGS)

e2e-compose: $(STAMP)
	@$(PY) -m tests.compose $(if $(KEEP),--keep $(KEEP))

# Chromium is the one thing that pip does not bring. CHROMIUM names one that has another name.
browser: $(STAMP)
	@if ! $(PY) -c 'import sys; from tests.browser.chromium import find_chromium; sys.exit(not find_chromium())'; then \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] || \
			{ echo "pnyx: no Chromium: install it (on Debian, apt-get install chromium), or name one: CHROMIUM=/path" >&2; exit 1; }; \
		echo "pnyx: installing Chromium"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	fi

clean:
	rm -rf $(VENV) build dist *.egg-info .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One line per missing thing, each with what to do; everything is checked before anything is installed.
prerequisites:
	@fail() { echo "pnyx: $$1" >&2; exit 1; }; \
	command -v "$(PYTHON)" >/dev/null 2>&1 || fail "$(PYTHON) is missing: install Python 3.11 or newer, or say which: make PYTHON=python3.12 ..."; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		fail "$(PYTHON) is $$("$(PYTHON)" -V 2>&1), and Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; \
	"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
		fail "$(PYTHON) has no venv module: on Debian, apt-get install python3-venv"; \
	command -v "$${CC:-gcc}" >/dev/null 2>&1 || fail "no C compiler ($${CC:-gcc}): on Debian, apt-get install gcc"; \
	echo '#include <gmp.h>' | "$${CC:-gcc}" $(CPPFLAGS) $(CFLAGS) -E -x c - >/dev/null 2>&1 || \
		fail "gmp.h is missing (a dependency compiles against GMP): on Debian, apt-get install libgmp-dev"; \
	"$(PYTHON)" -c 'import pathlib, sys, sysconfig; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").is_file())' || \
		fail "Python.h is missing: on Debian, apt-get install python3-dev"

$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory prerequisites
	@echo "pnyx: installing into $(VENV) (1.4 GB, a few minutes, once; more where torch comes with CUDA)"
	@test -x $(PY) || "$(PYTHON)" -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
# libp2p brings stubs of an old trio (trio-typing), which hide from mypy the types that trio and outcome have of their own.
	@$(PY) -c 'import shutil, sysconfig; site = sysconfig.get_path("purelib"); [shutil.rmtree(f"{site}/{name}-stubs", ignore_errors=True) for name in ("trio", "outcome")]'
	@touch $@
