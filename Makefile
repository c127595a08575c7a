# Everything runs from .venv, which make builds when it is missing or pyproject.toml has changed.
# Needs Python 3.11 or newer with venv, and GNU make 3.81 or newer.

PYTHON ?= python3
ARGS ?=
DJANGO ?= 6.1
TESTS ?= tests/admin tests/browser

VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
HASH := $(shell cksum < pyproject.toml | cut -d ' ' -f 1)
# A stamp has the hash in its name, so an up-to-date environment is a file that exists.
INSTALLED := $(VENV)/.installed-$(HASH)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

help: ## show this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /	/' | awk -F '\t' '{ printf "  make %-11s %s\n", $$1, $$2 }'
	@echo
	@echo '  make test ARGS="-k cancel --jobs 1"   more arguments for the command behind a target'
	@echo '  make test PYTHON=python3.12           another Python; builds .venv anew'

test: $(INSTALLED)-test ## run the tests on every database there is
	$(BIN)/python -m tests.run $(ARGS)

django: var/django-$(DJANGO)/.installed-$(HASH) ## run the admin's tests on another Django: DJANGO=6.0 PYTHON=python3.13
	FLARE_TEST_DATABASE=sqlite var/django-$(DJANGO)/bin/python -m pytest -q $(TESTS) $(ARGS)

model: $(INSTALLED)-test ## compare many random histories of jobs with the model
	FLARE_MODEL_EXAMPLES=$${FLARE_MODEL_EXAMPLES:-5000} $(BIN)/python -m pytest tests/model $(ARGS)

mutants: $(INSTALLED)-test ## plant faults in the rules, on a clean tree: it changes files
	git diff --quiet
	@$(PIP) cosmic-ray
	rm -f var/mutants.sqlite && mkdir -p var
	$(BIN)/cosmic-ray init tests/mutants.toml var/mutants.sqlite
	$(BIN)/python -m tests.mutants choose var/mutants.sqlite $(ARGS)
	$(BIN)/python -m tests.mutants test
	$(BIN)/cosmic-ray exec tests/mutants.toml var/mutants.sqlite
	$(BIN)/cr-report var/mutants.sqlite | tail -n 4
	$(BIN)/cr-html var/mutants.sqlite > var/mutants.html
	$(BIN)/cr-rate --fail-over 10 var/mutants.sqlite

demo: $(INSTALLED)-client ## run the example project and watch its jobs
	$(BIN)/python -m example_project.demo $(ARGS)

serve: $(INSTALLED)-core ## serve what the demo has left, with the admin and a worker
	@$(BIN)/python -m example_project.demo.serve

lint: $(INSTALLED)-lint ## check style, layers, outdated Django, templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	find $(SOURCES) -name '*.py' -exec $(BIN)/django-upgrade --target-version 5.2 --check {} +
	find $(SOURCES) -name '*.html' -exec $(BIN)/djade --target-version 5.2 --check {} +

format: $(INSTALLED)-lint ## repair what can be repaired of it
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	find $(SOURCES) -name '*.py' -exec $(BIN)/django-upgrade --target-version 5.2 --exit-zero-even-if-changed {} +
	find $(SOURCES) -name '*.html' -exec $(BIN)/djade --target-version 5.2 {} +

types: $(INSTALLED)-test $(INSTALLED)-lint ## check the types
	$(BIN)/mypy $(ARGS)

audit: $(INSTALLED)-test ## look for known vulnerabilities in what a site installs; asks a public database
	-@$(PIP) --retries 0 --timeout 10 pip-audit
	@$(BIN)/python -m tests.audit

docs: $(INSTALLED)-docs ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs docs/_build/html

screenshots: $(INSTALLED)-test ## take the documentation's pictures of the admin, with Chromium
	$(BIN)/python -m pytest -q tests/browser/screenshots.py $(ARGS)

environment: $(INSTALLED)-test

chaos: $(INSTALLED)-test ## kill workers and the database while jobs run; check what is left
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(INSTALLED)-test ## run the benchmarks
	@$(PIP) --requirement benchmarks/requirements.txt
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove .venv and all that was built
	rm -rf $(VENV) build dist docs/_build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

SOURCES = $(wildcard django_flare example_project tests benchmarks)

$(VENV)/.python-$(VERSION):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 …'; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || \
		{ echo '$(PYTHON) cannot build $(VENV); on Debian: apt install python3-venv'; exit 1; }
	@touch $@

var/django-%/.installed-$(HASH):
	@$(PYTHON) -m venv --clear $(@D)
	@echo 'Installing django_flare with Django $* into $(@D) …'
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' 'Django~=$*.0'
	@touch $@

$(INSTALLED)-%: $(VENV)/.python-$(VERSION)
	@echo 'Installing django_flare with what "$*" needs into $(VENV) …'
	@$(PIP) --editable '.[$*]'
	@touch $@

.PHONY: help environment test django model mutants demo serve screenshots lint format types audit docs chaos bench clean
# Keep the stamps, which make would otherwise remove as intermediate files.
.SECONDARY:
