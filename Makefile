# Every target sets up what it needs in .venv; only Python 3.11 (or newer) and make must be there.
#   make demo ARGS="--seconds 60 --seed 1"     make test ARGS="tests/store -k draws"
#   make test VENV=.venv/3.13 PYTHON=python3.13
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Tests that run at the same time; each process has servers of its own. Many tests wait, so two cores bear four.
JOBS ?= --numprocesses 4

.PHONY: help demo test coverage lint docs layout bench learning faults integrations lowest newest pythons constraints clean

help:
	@grep -E '^[a-z ]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z ]+):.*## /  make \1 # /' | column -t -s '#'

demo: $(VENV)/demo.stamp  ## train an agent, the default curriculum beside uniform draws
	$(BIN)/redis-curriculum demo $(ARGS)

test: $(VENV)/test.stamp  ## the tests
	$(BIN)/python -m pytest $(JOBS) $(ARGS)

coverage: $(VENV)/test.stamp  ## the tests with branch coverage; fails below the floor of pyproject.toml
	$(BIN)/python -m pytest $(JOBS) --cov --cov-report=term $(ARGS)

lint: $(VENV)/dev.stamp  ## ruff, mypy, pyright, no Lua outside lua/, no unknown global in it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest --quiet tests/protocol/test_lua_in_files.py tests/protocol/test_lua_globals.py

docs: $(VENV)/docs.stamp  ## the documentation in out/docs; a warning or a broken link is an error
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs out/docs
	$(BIN)/python docs/check_links.py out/docs

layout: $(VENV)/test.stamp  ## the rooms of the package and the arrows between them
	$(BIN)/python -m tests.layout

bench: $(VENV)/bench.stamp  ## ratios and capacities on this machine
	$(BIN)/python benchmarks/run.py $(ARGS)

learning: $(VENV)/bench.stamp  ## does a curriculum help? real learners, against uniform draws (under 2 hours)
	$(BIN)/python benchmarks/learning.py $(ARGS)

faults: $(VENV)/test.stamp  ## all fault injections; their table goes into docs/ (under 20 minutes)
	$(BIN)/python -m pytest tests/faults -m "slow or not slow" --timeout 1200 --fault-table docs/understand/faults.md $(ARGS)

integrations: .venv/integrations/integrations.stamp  ## training libraries and every example, for real (installs gigabytes)
	.venv/integrations/bin/python -m pytest tests/examples tests/integrations -m "slow or not slow" --timeout 1200 $(ARGS)

# Not by constraints.txt: RLlib wants an older Gymnasium than the rest of the tests.
.venv/integrations/integrations.stamp: pyproject.toml
	test -x .venv/integrations/bin/python || $(PYTHON) -m venv .venv/integrations
	.venv/integrations/bin/python -m pip install --quiet --disable-pip-version-check -e '.[integrations]'
	touch $@

lowest: RESOLUTION = lowest-direct
lowest: WARNINGS = -W "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"  # W&B 0.18's socket
newest: RESOLUTION = highest
lowest newest:  ## the tests with the lowest versions pyproject.toml allows, with the newest
	rm -rf .venv/$@ && $(PYTHON) -m venv .venv/$@
	.venv/$@/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/$@/bin/uv pip install --quiet --python .venv/$@/bin/python --resolution $(RESOLUTION) -e '.[test]'
	.venv/$@/bin/python -m pytest $(JOBS) $(WARNINGS) $(ARGS)

pythons:  ## the tests on each Python from 3.11 to 3.13 that is on PATH or in pyenv
	@for minor in 11 12 13; do \
	  for python in python3.$$minor $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.$$minor.*/bin/python none; do \
	    $$python -c 'import venv, ensurepip' 2>/dev/null && break; \
	  done; \
	  if [ $$python = none ]; then echo "Python 3.$$minor is not here"; continue; fi; \
	  $(MAKE) test VENV=.venv/3.$$minor PYTHON=$$python || exit 1; \
	done

constraints:  ## pin what pip chooses today
	rm -rf .venv/clean && $(PYTHON) -m venv .venv/clean
	.venv/clean/bin/python -m pip install --quiet -e '.[dev,bench,docs]'
	(sed -n '/^#/p' constraints.txt; .venv/clean/bin/python -m pip freeze --exclude-editable) > .venv/new.txt
	mv .venv/new.txt constraints.txt

clean:  ## forget the environment and the caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/%.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -c constraints.txt -e '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
