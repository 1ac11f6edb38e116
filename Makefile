# The first two commands: `make demo` runs the main job end to end, `make test` passes the tests.
# Both set up all that they need: the environment in .venv, a container engine, the pinned image, an S3 server.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
NEIGHBOURS := .venv-neighbours/.ready
WORKERS ?= 2

.PHONY: demo test test-all test-determinism test-faults test-gpu check bench bench-diagnosis bench-index image engine data fix docs lock clean

demo: image data
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo.sh

test: image data $(NEIGHBOURS)
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

# what `make test` skips because it takes long, and all the rest: two hours
test-all: image data $(NEIGHBOURS)
	scripts/packages.sh qemu-user-static strace faketime
	EXECUTOR_TEST_ALL=1 $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

# every source of nondeterminism, with the contract and without it: about half an hour
test-determinism: image
	scripts/packages.sh qemu-user-static
	EXECUTOR_TEST_ALL=1 $(BIN)/pytest tests/determinism

# every failure that can be injected here, on the real engine and the real S3 server: about an hour
test-faults: image
	scripts/packages.sh strace faketime
	EXECUTOR_TEST_ALL=1 $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal tests/faults \
		tests/integration/test_keeping.py

# needs an NVIDIA GPU, its container toolkit and the image torch-cuda
test-gpu: $(READY) engine
	$(BIN)/executor image build torch-cuda
	$(BIN)/pytest -m gpu

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m executor.spec.docs --check
	$(BIN)/pytest -q tests/unit/test_architecture.py

bench: image data
	$(BIN)/python -m benchmarks

# questions at a million runs; the same runs in MLflow
bench-index: $(READY) $(NEIGHBOURS)
	$(BIN)/python -m benchmarks.index
	$(BIN)/python -m benchmarks.neighbours

# faults planted in public scripts: does the report name the step and the cause?
bench-diagnosis: image
	$(BIN)/python -m benchmarks.planted

image: $(READY) engine
	$(BIN)/executor image build torch-cpu

engine:
	scripts/packages.sh
	scripts/engine.sh

data: $(READY)
	$(BIN)/python specs/digits.py specs/data/digits

fix: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/python -m executor.spec.docs --write

# every package by its hash, at the newest versions that pyproject allows
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --all-extras pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url tests/neighbours.in --output-file tests/neighbours.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# what tests meet as it is elsewhere: MLflow's server and the validator of RO-Crates
$(NEIGHBOURS): tests/neighbours.lock
	$(PYTHON) -m venv .venv-neighbours
	.venv-neighbours/bin/python -m pip install --quiet --require-hashes --requirement tests/neighbours.lock
	touch $@

clean:
	-$(BIN)/executor store serve --stop
	rm -rf .venv .venv-neighbours .mypy_cache .ruff_cache .pytest_cache .hypothesis specs/data specs/*.lock.yaml
