# The two commands of the README: each sets up its own environment in .venv.
PYTHON ?= python3.11
BIN := .venv/bin
SETUP := .venv/.complete
# A core for each process of the tests: tests/conftest.py pins them.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope

.PHONY: demo test check docs wheel clean

demo: $(SETUP)
	$(BIN)/chemtune run configs/photoswitch.yaml

# The tests of a module share what they set up.
test: $(SETUP)
	$(PYTEST)

docs: $(SETUP)
	$(BIN)/sphinx-build -q -W --keep-going docs build/docs

wheel: $(SETUP)
	$(BIN)/python -m build --wheel

check: docs
	$(BIN)/ruff check pipeline scripts tests docs
	$(BIN)/ruff format --check pipeline scripts tests docs
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m slow --durations 40

# torch is asked for by its exact version first: an open range would bring several GB of CUDA packages.
$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -c constraints.txt drfp
	touch $(SETUP)

clean:
	rm -rf .venv
