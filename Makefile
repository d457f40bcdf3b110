# Two commands for everybody: `make run` and `make test`. The rest is for those who build modeltail.
PYTHON ?= python3
# modeltail and rsyslog are both measured as the distribution builds what they stand on, optimised; other builds of
# Python often are not.
BENCH_PYTHON ?= $(or $(shell /usr/bin/python3 -c 'import sys; sys.version_info < (3, 11) or print(sys.executable)' 2>/dev/null),$(PYTHON))
FOR ?=
ONLY ?=
ROUNDS ?=
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/run.stamp
TEST_STAMP := $(VENV)/test.stamp
RUNTIME := $(VENV)/runtime
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint unit soak bench bench-inputs bench-outputs bench-scaling lambda pins generated clean

run: $(RUN_STAMP) ## An example model, a trickle of requests, and modeltail beside it.
	@$(BIN)/python -m examples.run $(if $(FOR),--for $(FOR))

test: $(TEST_STAMP) lint ## Everything: lint, types, unit, contract and end-to-end tests.
	$(BIN)/python -m pytest

lint: $(TEST_STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

unit: $(TEST_STAMP) ## The quick tests: no server, no process.
	$(BIN)/python -m pytest --ignore tests/e2e --ignore tests/contract --ignore tests/deploy

# Every test that has a long form reads the variable; the limit is for one that hangs.
soak: $(TEST_STAMP) ## The long forms: hundreds of kills, crash points and faults; writes docs/reliability.md.
	MODELTAIL_SOAK=1 timeout --verbose 3h $(BIN)/python -m pytest -s \
		$$(grep -rl --include='test_*.py' MODELTAIL_SOAK tests)

bench: $(TEST_STAMP) $(RUNTIME)/stamp ## Measure beside rsyslog; writes docs/performance.md.
	$(BIN)/python -m bench

bench-inputs: $(TEST_STAMP) $(RUNTIME)/stamp ## Measure each input: rate, CPU and drops. ONLY="udp tcp" for some.
	$(BIN)/python -m bench.inputs $(ONLY)

# ONLY="local s3" for some, ROUNDS=9 for nine runs of each in turns, not three.
bench-outputs: $(TEST_STAMP) $(RUNTIME)/stamp ## Measure each output: rate and CPU, beside elasticsearch.
	$(BIN)/python -m bench.outputs $(if $(ROUNDS),--rounds $(ROUNDS)) $(ONLY)

bench-scaling: $(TEST_STAMP) $(RUNTIME)/stamp ## Measure each hop through Kafka, and through Kinesis. ONLY="kinesis" for one of them.
	$(BIN)/python -m bench.scaling $(ONLY)

lambda: ## The zip of the AWS Lambda function; it needs Python and nothing else.
	$(PYTHON) deploy/aws/lambda/build.py

generated: $(TEST_STAMP) ## What is written from the code: the schema and the reference of the configuration.
	$(BIN)/modeltail config schema > config/agent.schema.json
	$(BIN)/modeltail config reference > docs/configuration.md

# The pins hold every platform's hashes and no index's name.
PIN := pip-compile --quiet --allow-unsafe --generate-hashes --strip-extras --no-header --no-emit-index-url \
	--no-emit-trusted-host --no-emit-find-links --no-annotate
EXTRAS := --extra patterns --extra otlp --extra zstd --extra aws --extra kafka --extra example
pins: ## Choose the newest versions of everything we stand on.
	$(PYTHON) -m venv $(VENV)/pins
	$(VENV)/pins/bin/pip install --quiet pip-tools
	$(VENV)/pins/bin/$(PIN) --upgrade $(EXTRAS) --all-build-deps \
		--output-file requirements/run.txt pyproject.toml
	$(VENV)/pins/bin/$(PIN) --upgrade $(EXTRAS) --extra parquet --extra test --all-build-deps \
		--constraint requirements/run.txt --output-file requirements/test.txt pyproject.toml

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "modeltail needs Python 3.11 or newer: make PYTHON=...")'
	@echo "Making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what modeltail stands on"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(TEST_STAMP): requirements/test.txt $(RUN_STAMP)
	@echo "Installing what the tests stand on"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

# modeltail is measured as it is installed: some of what the tests need would be loaded by what it stands on.
$(RUNTIME)/stamp: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@$(BENCH_PYTHON) -m venv --clear --without-pip $(RUNTIME)
	@$(PIP) --python $(RUNTIME)/bin/python install --require-hashes -r requirements/run.txt
	@touch $@

clean: ## Remove what was made here; caches outside the tree stay.
	rm -rf $(VENV) .modeltail .mypy_cache .ruff_cache .pytest_cache .hypothesis
