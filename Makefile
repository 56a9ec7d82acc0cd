# Every target makes the environment first; all it needs is Python 3.11 or later.
#
#   make run     walk the whole road once: vgaudit run ads
#   make test    fast tests;  make test-all  all of them
#   make lint    ruff and mypy;  make ci  what CI runs
#   make generator    trains the bundled generators anew, into work/bundled (ten minutes on a GPU, most of a day on two cores); CLIPS, STEPS=... for a try-out

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SUITE ?= ads
WORKERS ?= 2

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: env run test test-slow test-all wheel lint ci generator clean
.DEFAULT_GOAL := run

env: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version)'
	@echo "making $(VENV): several minutes and about 7 GB, once (torch brings most of it)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

run: env
	$(BIN)/vgaudit run $(SUITE)

# Each process begins with a half of the files in their order: what a file's tests share is then made once.
PARALLEL = -n $(WORKERS) --dist worksteal

# One thread per test process: several processes with as many threads each would only wait for each other.
test test-slow test-all: export OMP_NUM_THREADS ?= 1

test: env
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-slow: env
	$(BIN)/python -m pytest -m slow $(PARALLEL)

test-all: test test-slow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: env
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

CLIPS ?= 24000
# STEPS=10 makes every training that short.
TRAIN = $(BIN)/python training/train_$(1).py --data work/drawn --out work/$(1) --compile $(if $(STEPS),--steps $(STEPS))
generator: env
	$(BIN)/python training/storyworld_clips.py --out work/drawn --clips $(CLIPS) --clean --as-drawn
	$(BIN)/python training/storyworld_clips.py --out work/held-out-drawn --clips 1000 --clean --as-drawn --held-out
	$(call TRAIN,vae) --held-out work/held-out-drawn
	$(call TRAIN,t2v) --vae work/vae
	$(call TRAIN,gan) --vae work/vae
	$(BIN)/python training/bundle.py --t2v work/t2v/pipeline --gan work/gan --out work/bundled

ci:
	.ci/run

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
