# make lab      set up once, then JupyterLab on your copies of the lessons (LAB_ARGS="--no-browser --port 8899")
# make check    quick loop while working: style, pairs in step, the fast tests
# make test     everything that CI runs
# make lessons  rebuild both editions of all lessons from solutions/*.py
# PYTHON=python3.12 chooses the interpreter, TORCH_INDEX=https://download.pytorch.org/whl/cpu torch without CUDA.

SHELL := /bin/sh
ANY_PYTHON := $(shell command -v python3 || command -v python)
NO_PYTHON = $(error this course needs Python 3.11 or newer, and there is no python3 on the path)
SETUP = PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" "$(or $(ANY_PYTHON),$(NO_PYTHON))" tools/setup_env.py
QUIET = env OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 GARM_PROGRESS=0 GARM_RECORD=0 GARM_OFFLINE=1
# Sums in an order that no author's machine uses: what a lesson prints must not depend on the processor.
OTHER_MACHINE = ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE
STYLE = .venv/bin/ruff check . && .venv/bin/ruff format --check .
# A file stays on one worker, for its fixtures; tests/conftest.py puts the slow files first, so that no worker waits long.
PYTEST = .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0
NBVAL = $(PYTEST) -p tests.notebooks.nbval_words --nbval-current-env \
	--nbval-sanitize-with garm_course/editions/nbval_sanitize.cfg --nbval-cell-timeout=1800 --nbval-kernel-startup-timeout=600

.PHONY: help lab test check lessons

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

lab:
	@$(SETUP) lab
	@.venv/bin/garm lab $(LAB_ARGS)

check:
	@$(SETUP) dev
	$(STYLE) && .venv/bin/garm release --check
	$(QUIET) $(PYTEST) -q -m "not slow and not browser"

test:
	@$(SETUP) dev
	$(STYLE) && .venv/bin/garm release --check
	$(QUIET) $(PYTEST) --doctest-modules garm_course tests
	$(QUIET) GARM_BUDGET=smoke $(NBVAL) --nbval-lax notebooks
	$(QUIET) $(OTHER_MACHINE) $(NBVAL) --nbval solutions

lessons:
	@$(SETUP) dev
	$(QUIET) .venv/bin/garm release
