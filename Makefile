# Every target works on a fresh machine that has Python 3.11 or newer, and make.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
STATIC := leakdrop/intake/static/app.js
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# npm finds the locked Node of the environment before any other.
WITH_NODE := PATH="$(CURDIR)/$(BIN):$$PATH"

.DEFAULT_GOAL := help
.PHONY: help setup static run test long debian check lint vectors crash tor-storm load fuzz bench review-bundle lock wheel clean mutants traffic build verify-release audit

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(READY) $(STATIC) ## everything that the other targets need, into .venv and node_modules

$(READY): requirements.lock package-lock.json pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	$(WITH_NODE) npm ci --silent --ignore-scripts
	touch $@

static: $(STATIC) ## what the pages load, built of leakdrop/intake/browser/

$(STATIC): $(READY) leakdrop/palette.css $(wildcard leakdrop/intake/browser/*.* leakdrop/intake/browser/*/*.js)
	$(BIN)/python leakdrop/intake/browser/build.py

run: $(READY) $(STATIC) ## a demonstration on http://127.0.0.1:8000, and what to try with it
	@$(BIN)/python -m leakdrop.operate.demo

test: $(READY) $(STATIC) ## all tests
	$(BIN)/python -m pytest
	$(BIN)/node --test 'tests/browser/**/*.test.js'

long: $(READY) $(STATIC) ## tests with large files: 1 GiB by other tus clients, 300 MiB by Firefox over Tor, 4 GiB played
	LEAKDROP_LONG=1 $(BIN)/python -m pytest --timeout=3000 tests/intake/test_tus_clients.py \
		tests/system/test_tor.py tests/review/viewer/test_bytes.py -k "other_authors or page_sealed or large_recording"

debian: wheel ## the operator's guide, the Dockerfile's steps and the units, in plain Debian roots; as root
	LEAKDROP_DEBIAN=1 $(BIN)/python -m pytest --timeout=3000 tests/system/test_debian.py tests/system/test_guide.py

lint: $(READY) ## format, style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(WITH_NODE) node_modules/.bin/tsc -p .

check: lint test ## all that CI runs

vectors: $(READY) ## make the test vectors anew
	$(BIN)/python tests/vectors/make.py

crash: $(READY) $(STATIC) ## kill -9 at 300 moments; disk, clock and database in trouble (needs gcc and root)
	$(BIN)/python -m tests.campaigns.crash --write
	$(BIN)/python -m tests.campaigns.trouble --write

tor-storm: $(READY) $(STATIC) ## 20 uploads of 50 MiB over a private Tor network that breaks all the time
	$(BIN)/python -m tests.campaigns.tor_storm --write

load: $(READY) $(STATIC) ## 200 slow sources, slow heads, silent readers, a flood, an hour of mixed load
	$(BIN)/python -m tests.campaigns.load --minutes 60 --write

fuzz: $(READY) $(STATIC) ## ten million inputs for the parsers, and requests of every kind
	$(BIN)/python -m tests.campaigns.fuzz --write
	$(BIN)/python -m tests.campaigns.surface --write

bench: $(READY) $(STATIC) ## speed and memory, as ratios within one run
	$(BIN)/python -m tests.bench --write

mutants: $(READY) ## changes the envelope's code in 1,500 places: tests must fail of 90 in 100
	$(BIN)/python -m tests.campaigns.mutants --write

traffic: $(READY) $(STATIC) ## what a network observer sees of kinds of visit
	$(BIN)/python -m tests.campaigns.traffic --write

build: $(READY) ## a release of the last commit, with its lists of parts, into dist/
	$(BIN)/python -m release build

verify-release: $(READY) ## builds the last commit once more, and compares with dist/
	$(BIN)/python -m release verify

# Both fail if the services that know of weaknesses do not answer: silence is no clean bill.
audit: $(READY) ## known weaknesses of all that is locked; asks PyPI's and npm's services
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements.lock
	$(WITH_NODE) npm audit

review-bundle: $(READY) ## the package for the reviewers' laptop, of the commit that is checked out, in dist/
	@$(BIN)/python laptop/build.py

lock: $(READY) ## the lock files, from pyproject.toml and package.json
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		--extra server --extra scale --extra review --extra dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		--extra server --constraint requirements.lock pyproject.toml -o requirements-server.lock
	$(WITH_NODE) npm install --silent --ignore-scripts --package-lock-only

wheel: $(READY) $(STATIC) ## what an operator installs, into dist/: the wheel, and the lock file of what it needs
	rm -f dist/leakdrop-*.whl dist/requirements-server.lock
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	cp requirements-server.lock dist/

clean: ## removes what the targets made
	rm -rf .venv node_modules demo build dist mutants leakdrop/intake/static
