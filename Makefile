# The commands a developer needs; `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests spend much of their time waiting for processes: two for each of two cores.
WORKERS ?= 4
PYTEST  = $(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

# Asks a running webhook about the pod in examples/review.json, and shows the answer with its patch decoded.
ASK = curl -sk https://127.0.0.1:8443/mutate-pods -H "Content-Type: application/json" -d @examples/review.json | $(BIN)/python -m tools.answer

# The tests start the program some hundred times: what is compiled once need not be compiled again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-fast controlplane record check bench soak alerts dashboard-picture docs image image-test lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 19

run: $(VENV)/.run ## start the webhook on https://127.0.0.1:8443 (no cluster needed)
	@echo 'Paste this into another terminal, in this directory:'
	@echo
	@echo '  $(ASK)'
	@echo
	@$(BIN)/storage-webhook serve --dev

test: check test-all ## everything: linters, types, layers, all tests

check: $(VENV)/.dev ## linters, types and layers
	@$(BIN)/ruff check webhook tests tools benchmarks && $(BIN)/ruff format --check webhook tests tools benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test-all: $(VENV)/.dev controlplane
	@$(PYTEST)

test-fast: $(VENV)/.dev ## all tests that need no API server and are not long
	@$(PYTEST) -m "not e2e and not slow"

record: $(VENV)/.dev controlplane ## record what the API server asks about the golden cases (CASES="name …": only these)
	@$(BIN)/python -m tests.fixtures.record $(CASES)

controlplane: $(VENV)/.dev ## obtain the real kube-apiserver, etcd and helm for the tests (once)
	@$(BIN)/python -m tests.controlplane.obtain >/dev/null

bench: $(VENV)/.dev ## measure; prints ratios to a bare ASGI app
	@$(BIN)/python -m benchmarks

soak: $(VENV)/.dev controlplane ## load while everything around changes and breaks (15 minutes)
	@$(BIN)/python -m benchmarks.soak

alerts: $(VENV)/.dev controlplane ## check the alert rules and try them on made-up series (needs promtool)
	@$(BIN)/python -m tools.alerts

dashboard-picture: $(VENV)/.dev controlplane ## draw docs/dashboard.png from real load (12 minutes, needs prometheus)
	@$(BIN)/python -m tools.dashboard_picture

docs: $(VENV)/.dev ## write the documentation that is made from the code
	@$(BIN)/python -m tools.chart_readme
	@$(BIN)/python -m tools.reference
	@$(BIN)/python -m tools.dashboard

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE   ?= storage-initializer-webhook:$(VERSION)
ENGINE  ?= $(shell for engine in podman docker buildah; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)

image: ## build the container image (IMAGE=name:tag ENGINE=podman|docker|buildah PYTHON_IMAGE=base BUILD_FLAGS=...)
	@test -n "$(ENGINE)" || { echo "No container engine answers: install podman, docker or buildah, or name one: make image ENGINE=..."; exit 1; }
	$(ENGINE) build -f Dockerfile -t $(IMAGE) --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null || echo unknown) \
	  $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) $(BUILD_FLAGS) .

image-test: $(VENV)/.dev ## build the image on a base made by debootstrap, and run it (needs podman and root)
	@$(BIN)/pytest tests/image/check_image.py

COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(UPGRADE)

lock: $(VENV)/.dev ## pin the dependencies with hashes (UPGRADE=--upgrade: to the newest)
	@$(COMPILE) pyproject.toml --extra build -o requirements.lock
	@$(COMPILE) pyproject.toml --extra build --extra otel -c requirements.lock -o requirements-otel.lock
	@$(COMPILE) pyproject.toml --extra build --extra otel --extra dev -c requirements-otel.lock -o requirements-dev.lock
	@$(COMPILE) tests/initializer/requirements.in -o tests/initializer/requirements.lock

clean: ## remove what the commands above made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: name a newer one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: install it (Debian: apt install python3-venv)"; exit 1; }
	@echo "Creating $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the pinned dependencies (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "Installing the pinned test tools (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
