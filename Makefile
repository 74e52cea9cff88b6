# `make` makes the environment, bnref/equations.py, the notebooks and the site, from a Python alone; `make help` lists
# the rest. What it makes is committed or lies in .venv/ and site/. HOME is neither read nor written.

PYTHONS = $(if $(PYTHON),'$(PYTHON)',python3.11 python3.12 python3.13 python3 python)
PY = .venv/bin/python
READY = .venv/ready $(PY)
PYTEST = $(PY) -m pytest -q $(if $(MAKE_TERMOUT),,--color=no)

# A run that was killed may leave matplotlib's lock behind: each later one would wait for it, and say so in the book.
UNLOCK = rm -f .venv/home/matplotlib/*.matplotlib-lock

# The caller's settings must not leak into the book: no variable that steers Python, Jupyter, SymPy or matplotlib passes.
unexport $(filter PYTHON% IPYTHON% JUPYTER% JPY_% CONDA% MPL% MATPLOTLIB% SYMPY% PYTEST%,$(.VARIABLES)) VIRTUAL_ENV
unexport PIP_USER PIP_TARGET PIP_PREFIX
CALLERS_HOME := $(HOME)
here := $(CURDIR)/.venv
export HOME := $(here)/home
export XDG_CONFIG_HOME := $(here)/home/config
export XDG_CACHE_HOME := $(here)/home/cache
export XDG_DATA_HOME := $(here)/home/data
export XDG_STATE_HOME := $(here)/home/state
export PIP_CACHE_DIR ?= $(here)/home/cache/pip
export IPYTHONDIR := $(here)/home/ipython
export JUPYTER_CONFIG_DIR := $(here)/home/jupyter/config
export JUPYTER_DATA_DIR := $(here)/home/jupyter/data
export JUPYTER_RUNTIME_DIR := $(here)/home/jupyter/runtime
export MPLCONFIGDIR := $(here)/home/matplotlib
export HYPOTHESIS_STORAGE_DIRECTORY := $(here)/home/hypothesis
export PYTHONNOUSERSITE := 1
# The same outputs everywhere: one thread, one hash seed, one encoding, one line width.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export PYTHONHASHSEED := 0
export PYTHONUTF8 := 1
export LC_ALL := C.UTF-8
export COLUMNS := 80

.PHONY: all help env export weave site test types coverage test-slow test-unit unlocked fingerprints lab lock malformed mutation \
    bench conformance record clean
.NOTPARALLEL:

all: env export weave site  ## The default: env, export, weave, site

help:  ## List the targets
	@sed -n 's/^\([a-z-][a-z-]*\)[^:]*:.*##  *\(.*\)/make \1\t\2/p' Makefile | expand -t 18

env $(READY):  ## Create .venv/ as requirements.lock says, or mend it (PYTHON=... chooses the Python)
	@python=$$(HOME='$(CALLERS_HOME)' sh tests/python.sh $(PYTHONS)) && \
	"$$python" -I tests/environment.py make $(if $(PYTHON),--exactly)

export: $(READY)  ## Write bnref/equations.py from the chapters
	@cd notebooks && ../$(PY) -m tools.export

weave: $(READY)  ## Run the chapters, write the .ipynb, and what people read of the benchmarks
	@$(UNLOCK)
	@cd notebooks && ../$(PY) -m tools.weave && ../$(PY) -m tools.benchmarks

site: $(READY)  ## Write site/, the book and the reference as pages: open site/index.html
	@cd notebooks && ../$(PY) -m tools.site

# The book and the tests side by side, for two processors; what failed is printed last.  Where a gate fails although the
# formulas are exported, a chapter was changed: the tests that fail, by name, say what no longer holds of bnref.
test: $(READY)  ## All gates and tests; changes nothing
	@$(PY) -I tests/environment.py check
	@$(UNLOCK)
	@$(PYTEST) -rN tests/gates >.venv/gates.log 2>&1; gates=$$?; \
	if [ $$gates -ne 0 ] && $(PYTEST) tests/gates/test_3_export.py >/dev/null 2>&1; then \
	$(PYTEST) --tb=no -rfE tests --ignore=tests/gates >.venv/unit.log 2>&1 || \
	{ echo 'What no longer holds of bnref, by the names of the tests that fail:'; \
	sed -n 's/^[FE][A-Z]* \(tests[^[ ]*\).*/    \1/p' .venv/unit.log | uniq; tail -n 1 .venv/unit.log; echo; }; fi; \
	cat .venv/gates.log; exit $$gates
	@$(PYTEST) -p tests.conftest --nbval --nbval-current-env --nbval-cell-timeout=120 notebooks >.venv/nbval.log 2>&1 & \
	book=$$!; $(PYTEST) tests --ignore=tests/gates; unit=$$?; wait $$book; book=$$?; \
	if [ $$book -ne 0 ]; then cat .venv/nbval.log; elif [ $$unit -eq 0 ]; then tail -n 1 .venv/nbval.log; fi; \
	exit $$((unit + book))

types: $(READY)  ## Check the types of bnref/ strictly
	@$(PY) -m mypy

# WITH='numpy==1.26.0' PYTHON=python3.12: with another Python, and other versions than the lock's, in .venv/unlocked/.
test-unit: $(if $(WITH),unlocked,$(READY))  ## The tests of bnref alone: no gates, no notebooks (WITH=... as CONTRIBUTING says)
	@$(if $(WITH),$(subst .venv,.venv/unlocked,$(PYTEST)),$(PYTEST)) tests --ignore=tests/gates

unlocked:
	@python=$$(HOME='$(CALLERS_HOME)' sh tests/python.sh $(PYTHONS)) && "$$python" tests/unlocked.py $(WITH)

coverage: $(READY)  ## Every statement and every branch of bnref/ is run by its tests
	@$(PY) -m coverage run -m pytest -q tests --ignore=tests/gates
	@$(PY) -m coverage report

test-slow: $(READY)  ## The tests marked slow
	@$(PYTEST) -m slow tests

CONFORM = .venv/frameworks/bin/python -m pytest -s -W default $(if $(MAKE_TERMOUT),,--color=no) \
    tests/conformance/real_frameworks.py $(ARGS)

.venv/frameworks: $(READY)
	@python=$$(HOME='$(CALLERS_HOME)' sh tests/python.sh $(or $(PYTHON),python3.11 python3.12 python3 python)) && \
	"$$python" -I tests/conformance/environment.py make

conformance: .venv/frameworks  ## Hold bnref against the real frameworks (gigabytes, ten minutes; ARGS="-k torch": a part)
	@$(CONFORM)

record: .venv/frameworks  ## Write the records of tests/golden/ from the real frameworks
	@RECORD=1 $(CONFORM)

malformed: $(READY)  ## Make ten thousand malformed calls, each to be refused at once (ARGS="count seed")
	@$(PY) -m tests.hardening $(ARGS)

lab: $(READY)  ## Open JupyterLab, where a chapter's .py opens as a notebook (ARGS=... are passed on)
	@PATH="$(here)/bin:$$PATH" $(PY) -m jupyterlab $(ARGS) notebooks

fingerprints: $(READY)  ## Write tests/golden/fingerprints.json: 30 digits of every exported equation
	@PYTHONPATH=notebooks $(PY) -m tests.fingerprints

lock: $(READY)  ## Compile requirements.lock and environment.yml from pyproject.toml (ARGS=--upgrade moves the pins)
	@$(PY) -m venv --clear .venv/uv
	@.venv/uv/bin/python -m pip install -q uv
	@.venv/uv/bin/python -m uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest --no-header \
	    --group book --group test $(ARGS) -o requirements.lock pyproject.toml
	@$(PY) tests/environment.py conda
	@echo 'requirements.lock and environment.yml are written; `make env` installs them.'

# ARGS="--all --minutes 300", again and again, runs them all: the better part of a day on two processors.  ARGS=--formulas
# holds each formula against the test of its own function.  ARGS=--help lists the rest.
mutation: $(READY)  ## Change bnref in small ways; a test must notice each (500 of them; ARGS=--all)
	@PYTHONPATH=notebooks $(PY) -m tests.mutation $(ARGS)

# WITH='numpy==... torch==... onnx onnxruntime' measures these peers too: NumPy as the lock has it, for the same record.
bench: $(if $(WITH),unlocked,$(READY))  ## Measure the speed of bnref, and write it down in tests/benchmarks/ and README.md (then: make)
	@$(if $(WITH),$(subst .venv,.venv/unlocked,$(PY)),$(PY)) -m tests.benchmarks
	@cd notebooks && ../$(PY) -m tools.benchmarks

clean:  ## Remove .venv/ and everything else that is made and not committed
	rm -rf .venv site build dist *.egg-info .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +
