# Commands for development; `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests mostly wait for other processes, so two workers per core are faster than one. The default is for two cores.
WORKERS ?= 4
PYTEST  = $(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

# Sends examples/review.json to a running webhook, and prints the response with its patch decoded.
SAMPLE_REQUEST = curl -sk https://127.0.0.1:8443/mutate-pods -H "Content-Type: application/json" -d @examples/review.json | $(BIN)/python -m tools.show_response

# The tests start the program about a hundred times. Python must store its byte code for that.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install promtool run test test-all test-fast test-node node-table scale capacity controlplane node browser record check bench mutants soak alerts dashboard-picture page-picture docs image image-test lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 19

install: $(VENV)/.run ## install the command line as .venv/bin/storage-webhook

run: $(VENV)/.run ## run the webhook on https://127.0.0.1:8443, without a cluster
	@echo 'Open https://127.0.0.1:8443/ in a browser (its certificate is temporary, so the browser warns),'
	@echo 'or run this command in another terminal, in this directory:'
	@echo
	@echo '  $(SAMPLE_REQUEST)'
	@echo
	@$(BIN)/storage-webhook serve --dev

test: check test-all ## run linters, type checks, import contracts and all tests

SCHEMA = $(BIN)/check-jsonschema --quiet

check: $(VENV)/.dev ## run linters, type checks, import contracts, and checks of schemas and workflows
	@$(BIN)/ruff check webhook tests tools benchmarks && $(BIN)/ruff format --check webhook tests tools benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/zizmor --offline --quiet --no-progress .github
	@$(SCHEMA) --check-metaschema charts/storage-initializer-webhook/values.schema.json
	@$(SCHEMA) --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	@$(SCHEMA) --builtin-schema vendor.dependabot .github/dependabot.yaml
	@$(SCHEMA) --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yaml
	@$(SCHEMA) --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(BIN)/pre-commit validate-config

test-all: $(VENV)/.dev node browser
	@$(PYTEST)

test-fast: $(VENV)/.dev ## run the tests that need no API server and are not slow
	@$(PYTEST) -m "not e2e and not slow"

test-node: $(VENV)/.dev node ## run the tests with a real kubelet and containerd (needs root, and cgroup v1)
	@$(BIN)/pytest tests/node

node-table: $(VENV)/.dev node ## run the tests with a real kubelet, and write the table of cases in docs/testing.md
	@NODE_TABLE=1 $(BIN)/pytest tests/node

record: $(VENV)/.dev controlplane ## record the API server's requests for the golden cases (CASES="name …": only these)
	@$(BIN)/python -m tests.fixtures.record $(CASES)

controlplane: $(VENV)/.dev ## download or build kube-apiserver, etcd and helm for the tests (once)
	@$(BIN)/python -m tests.controlplane.obtain >/dev/null

node: controlplane ## download or build kubelet, containerd and images for the tests (once)
	@$(BIN)/python -m tests.node.obtain >/dev/null

browser: $(VENV)/.dev ## download Chromium for the tests of the development page (once)
	@$(BIN)/python -m tests.browser.chromium

page-picture: browser ## draw docs/page.png: the development page, light and on a phone
	@$(BIN)/python -m tools.page_picture

bench: $(VENV)/.dev ## measure the cost of an admission, as ratios to a bare ASGI app
	@$(BIN)/python -m benchmarks

scale: $(VENV)/.dev ## draw docs/performance.png: how the cost of an admission grows with the pod
	@$(BIN)/python -m benchmarks.scale --write

capacity: $(VENV)/.dev controlplane ## measure what one replica bears, and how many pods an API server creates
	@$(BIN)/python -m benchmarks.capacity

# Seconds; what was not tried until then is tried by the next run.
MUTANTS_LIMIT ?= 1800

mutants: $(VENV)/.dev ## make small faults in the core and list those that no test finds (30 minutes; MUTANTS="webhook.quantity.*": only these)
	@timeout $(MUTANTS_LIMIT) $(BIN)/mutmut run $(MUTANTS) >/dev/null || true
	@$(BIN)/mutmut results | grep -E ': (survived|timeout|suspicious)$$' || echo 'No fault survived.'

soak: $(VENV)/.dev controlplane ## run the webhook under load with disturbances (15 minutes)
	@$(BIN)/python -m benchmarks.soak

promtool:
	@command -v promtool >/dev/null || { echo "promtool is missing: it comes with Prometheus (Debian: apt install prometheus)"; exit 1; }

alerts: promtool $(VENV)/.dev controlplane ## test the alert rules on generated series (needs promtool)
	@$(BIN)/python -m tools.alerts

dashboard-picture: $(VENV)/.dev node ## draw docs/dashboard.png under real load (8 minutes, needs prometheus and root)
	@$(BIN)/python -m tools.dashboard_picture

docs: $(VENV)/.dev ## generate documentation from the code
	@$(BIN)/python -m tools.chart_readme
	@$(BIN)/python -m tools.chart_settings
	@$(BIN)/python -m tools.reference
	@$(BIN)/python -m tools.dashboard

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE   ?= storage-initializer-webhook:$(VERSION)
ENGINE  ?= $(shell for engine in podman docker buildah; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)

image: ## build the container image (IMAGE=name:tag ENGINE=podman|docker|buildah PYTHON_IMAGE=base BUILD_FLAGS=...)
	@test -n "$(ENGINE)" || { echo "No container engine found: install podman, docker or buildah, or set one: make image ENGINE=..."; exit 1; }
	$(ENGINE) build -f Dockerfile -t $(IMAGE) --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null || echo unknown) \
	  $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) $(BUILD_FLAGS) .

image-test: $(VENV)/.dev ## build the image on a debootstrap base and run it (needs podman and root)
	@$(BIN)/pytest tests/image/check_image.py

COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(UPGRADE)

lock: $(VENV)/.dev ## pin the dependencies with hashes (UPGRADE=--upgrade: newest versions)
	@$(COMPILE) pyproject.toml --extra build -o requirements.lock
	@$(COMPILE) pyproject.toml --extra build --extra otel -c requirements.lock -o requirements-otel.lock
	@$(COMPILE) pyproject.toml --extra build --extra otel --extra dev -c requirements-otel.lock -o requirements-dev.lock
	@$(COMPILE) tests/initializer/requirements.in -o tests/initializer/requirements.lock
	@$(COMPILE) tests/node/kerberos.in -c tests/initializer/requirements.lock -o tests/node/kerberos.lock

clean: ## remove all files that these commands created
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis mutants build dist

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or newer, or set its path: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: set a newer one: make PYTHON=python3.12"; exit 1; }
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
