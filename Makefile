# Every target sets up what it needs in .venv; only Python 3.11 (or newer) and make must be there.
#   make demo ARGS="--seconds 60 --seed 1"     make test ARGS="tests/store -k draws"
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test lint layout bench learning faults examples constraints clean

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1 # /' | column -t -s '#'

demo: .venv/demo.stamp  ## train on generated FrozenLake maps, learning progress beside uniform
	$(BIN)/redis-curriculum demo $(ARGS)

test: .venv/test.stamp  ## the tests
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev.stamp  ## ruff, mypy, and no Lua outside lua/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/protocol/test_lua_in_files.py

layout: .venv/test.stamp  ## the rooms of the package and the arrows between them
	$(BIN)/python -m tests.layout

bench: .venv/bench.stamp  ## ratios and capacities on this machine
	$(BIN)/python benchmarks/run.py $(ARGS)

learning: .venv/bench.stamp  ## does a curriculum help? real learners, against uniform draws (under 2 hours)
	$(BIN)/python benchmarks/learning.py $(ARGS)

faults: .venv/test.stamp  ## all fault injections; their table goes into README.md (under 20 minutes)
	$(BIN)/python -m pytest tests/faults -m "slow or not slow" --timeout 1200 --fault-table README.md $(ARGS)

examples: .venv/examples.stamp  ## run every example (installs PyTorch, which is gigabytes)
	$(BIN)/python -m pytest tests/examples -m "slow or not slow" $(ARGS)

constraints:  ## pin what pip chooses today
	rm -rf .venv/clean && $(PYTHON) -m venv .venv/clean
	.venv/clean/bin/python -m pip install --quiet -e '.[dev,bench,examples]'
	(sed -n '/^#/p' constraints.txt; .venv/clean/bin/python -m pip freeze --exclude-editable) > .venv/new.txt
	mv .venv/new.txt constraints.txt

clean:  ## forget the environment and the caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/%.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -c constraints.txt -e '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv .venv
