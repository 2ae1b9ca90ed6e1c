# Every target works on a fresh machine that has Python 3.11 or newer and make.

PYTHON ?= python3
BIN = .venv/bin
SETUP = .venv/.ready

.PHONY: setup run test lint check vectors bench lock clean
.DEFAULT_GOAL := setup

setup: $(SETUP)

$(SETUP): requirements.lock package-lock.json pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --ignore-scripts
	touch $@
