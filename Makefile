# Every target sets up what it needs; python 3.11 or newer with venv, and make, are enough.
# .venv follows pyproject.toml and constraints.txt; after a change to either, it is brought up to date.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_RANGE := pip>=25.1,<27
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
READY := .venv/.ready
PROTO_READY := .venv-proto/.ready

.PHONY: help demo test test-language test-rooms test-system check format slow gpu proto docs bench lock wheel debian-tools clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    start a server, send it real jobs, print what came back'
	@echo 'make test    all tests but the slow ones'
	@echo 'make check   format, lint, types, import law, drift of generated files'
	@echo 'make format  rewrite the sources as make check wants them'
	@echo 'make slow    the slow tests (installs PyTorch)'
	@echo 'make gpu     the tests of the compiling executor on an NVIDIA GPU'
	@echo 'make proto   generate the stubs from proto/pullback_proto/v1/*.proto'
	@echo 'make docs    generate the diagrams and reference tables'
	@echo 'make bench   run the benchmarks'
	@echo 'make lock    resolve the newest versions anew into constraints.txt'
	@echo 'make wheel   build the wheel and import it in a venv of its own'
	@echo 'make clean   remove everything made'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(PIP_RANGE)'
	$(INSTALL) --editable '.[server,xla]' --group test --group lint
	touch $@

.venv/.torch: $(READY)
	$(INSTALL) --group torch
	touch $@

.venv/.gpu: $(READY)
	$(INSTALL) --editable '.[server,gpu]'
	touch $@

.venv/.peers: $(READY)
	$(INSTALL) --group peers
	touch $@

# The generator wants an older protobuf than the project runs, hence its own venv, without the lock.
$(PROTO_READY): pyproject.toml
	$(PYTHON) -m venv .venv-proto
	.venv-proto/bin/python -m pip install --quiet --disable-pip-version-check '$(PIP_RANGE)'
	.venv-proto/bin/python -m pip install --quiet --disable-pip-version-check --group proto
	touch $@

demo: $(READY)
	$(BIN)/python -m examples.demo

# The pure tests run in two halves side by side, each printed whole when it ends; then the system's
# alone, since Ray gives up on starting where both cores are busy.
test: $(READY)
	$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target test-language test-rooms
	$(MAKE) --no-print-directory test-system

test-language: $(READY)
	$(BIN)/python -m pytest -m 'not slow' tests/graph

test-rooms: $(READY)
	$(BIN)/python -m pytest -m 'not slow' --ignore=tests/graph --ignore=tests/system --ignore=tests/gpu \
		-o cache_dir=.pytest_cache/rooms

test-system: $(READY)
	$(BIN)/python -m pytest -m 'not slow' tests/system

check: $(READY) $(PROTO_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

slow: .venv/.torch
	$(BIN)/python -m pytest -m slow --hypothesis-profile slow

# The tests of the compiling executor on the GPU, and those that need one; JAX's CUDA build is large.
gpu: .venv/.gpu
	JAX_PLATFORMS=cuda,cpu XLA_PYTHON_CLIENT_PREALLOCATE=false $(BIN)/python -m pytest tests/gpu tests/worker/test_xla_executor.py

proto: $(PROTO_READY)
	.venv-proto/bin/python proto/generate.py

docs: $(READY) $(PROTO_READY)
	$(BIN)/python docs/generate.py

bench: .venv/.peers
	$(BIN)/python -m benchmarks service
	$(BIN)/python -m benchmarks shard
	$(BIN)/python -m benchmarks parameters
	$(BIN)/python -m benchmarks splits
	$(BIN)/python -m benchmarks predictions
	$(BIN)/python -m benchmarks memory
	$(BIN)/python -m benchmarks crowd
	$(BIN)/python -m benchmarks faults
	$(BIN)/python -m benchmarks scale
	$(BIN)/python -m benchmarks engine

# Frozen from a clean venv, so nothing a developer installed by hand slips in; torch stays out.
lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '$(PIP_RANGE)'
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[server,xla]' --group test --group lint
	{ echo '# Exact versions of everything make and CI install; written by make lock.'; \
	  build/lock/bin/python -m pip freeze --exclude pullback; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/lock

wheel: $(READY)
	rm -rf build/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check '$(PIP_RANGE)'
	build/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build/wheel/*.whl
	cd build/wheel && venv/bin/python -c 'import pullback; print(pullback.__file__)'

# promtool and Prometheus for the tests of deploy/; without them those tests are reported as skipped.
debian-tools:
	@if command -v promtool >/dev/null; then :; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo 'promtool is missing and this is not root on Debian: its tests will be skipped'; \
	else \
	  apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus \
	  || echo 'promtool could not be installed: its tests will be skipped'; \
	fi

clean:
	rm -rf .venv .venv-proto build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
