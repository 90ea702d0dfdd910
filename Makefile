# Two commands matter: `make demo` and `make test`. Both build .venv first if it isn't there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Of the drills, which take long: make drills PART=tests/faults
PART := tests

.PHONY: install system-packages demo test without-extras check drills quality gpu bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

# Debian packages that some tests look for; without them these are skipped, and counted.
system-packages:
	@bash .ci/system-packages

demo: $(STAMP)
	$(BIN)/medray demo

test: $(STAMP)
	$(BIN)/pytest -q -n 2 -m "not drill and not quality and not gpu"

# In an environment of its own, that has what `pip install medray` brings and no more.
without-extras:
	@PYTHON=$(PYTHON) bash .ci/without-extras

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

drills: $(STAMP)
	$(BIN)/pytest -q -m drill --timeout 900 --durations 15 $(PART)

quality: $(STAMP)
	$(BIN)/python benchmarks/quality.py

# On a machine with a card, in eight minutes: whatever Python has a torch that sees it is taken.
gpu:
	@PYTHON=$(PYTHON) bash .ci/gpu

bench: $(STAMP)
	$(BIN)/python benchmarks/all.py

clean:
	rm -rf $(VENV) $(VENV)-core $(VENV)-gpu build dist
