# `make` lists what can be done here. Needed: make and Python 3.11 or later with venv; the rest is installed into .venv.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell \
	$(name) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV := .venv
SERVICES := .venv-services
RUN := $(VENV)/bin/python
PYTEST_ARGUMENTS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check services docs mistakes bench clean
.NOTPARALLEL:

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## train LeNet on real digits, watch it, interrupt it, resume it bit for bit
	@$(RUN) examples/demo.py

test: $(VENV)/dev.stamp ## run every test, the examples in the docstrings included
	@$(RUN) -m pytest tests src --doctest-modules --ignore=src/leyden/dropin.py --ignore=src/leyden/legacy/startup \
		$(PYTEST_ARGUMENTS)

check: $(VENV)/dev.stamp ## format, lint, types, architecture
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@$(RUN) -m pyright
	@$(RUN) -m pytest tests/architecture

services: $(SERVICES)/services.stamp ## try the loggers with the packages of wandb, mlflow, comet and trackio
	@$(SERVICES)/bin/python -m pytest tests/services $(PYTEST_ARGUMENTS)

docs: $(VENV)/docs.stamp ## build the documentation in site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet
	@echo "Open site/index.html"

mistakes: $(VENV)/dev.stamp ## make every mistake of the corpus and print what it is answered with
	@$(RUN) -m pytest tests/mistakes --table

bench: $(VENV)/dev.stamp ## time a training step against a bare PyTorch loop
	@$(RUN) bench/overhead.py

clean: ## remove the environment and what runs and tools left behind
	rm -rf $(VENV) $(SERVICES) build dist lightning_logs checkpoints .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as new as the lock it was installed from, so that a second run installs nothing.
$(VENV)/demo.stamp $(VENV)/dev.stamp $(VENV)/docs.stamp: $(VENV)/%.stamp: requirements/%.txt requirements/demo.txt pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing the pinned dependencies of requirements/$*.txt into $(VENV) ..."
	@$(RUN) -m pip install --disable-pip-version-check --requirement $<
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(SERVICES)/services.stamp: requirements/services.txt requirements/dev.txt requirements/demo.txt pyproject.toml | $(SERVICES)/pyvenv.cfg
	@echo "Installing the pinned dependencies of requirements/services.txt into $(SERVICES) ..."
	@$(SERVICES)/bin/python -m pip install --disable-pip-version-check --requirement $<
	@$(SERVICES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/pyvenv.cfg $(SERVICES)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Leyden needs Python 3.11 or later with the venv module. Install it (Debian and Ubuntu: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(@D) || { rm -rf $(@D); exit 1; }
