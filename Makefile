# Everything a new user or a developer does, each one command. PYTHON must be 3.11 or later.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MINUTES ?= 8

.PHONY: install run test lint bench docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# timm alone: its torchvision is not built for a CPU torch, and only its architectures are used.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps timm
	touch $@

run: install ## evolve architectures on real text, report, export the best
	$(BIN)/madstar search --minutes $(MINUTES)
	$(BIN)/madstar export latest --out exported/best

test: install ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

bench: install ## every benchmark of benchmarks/, days on two cores; figures go to docs/benchmarks.md by hand
	$(BIN)/python -m benchmarks.all

docs: install ## the pages that are made from the code
	$(BIN)/madstar genes --markdown > docs/genes.md
	$(BIN)/python -m madstar.graph.vocabulary > docs/operations.md

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
