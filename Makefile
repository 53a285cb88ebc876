# The README's commands. Everything is built in target/ and .venv/; nothing is installed elsewhere.

PYTHON ?= python3
VENV ?= $(CURDIR)/.venv
TARGET ?= $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
PYTEST := $(VENV)/bin/python -m pytest -q -c tests/pytest.ini
RELEASED_EMULATOR := $(TARGET)/release/cloudspawner-emulator
TESTED_EMULATOR := $(TARGET)/debug/cloudspawner-emulator
# People get the optimised program; tests take the one that is built in a fifth of the time and checks its arithmetic.
DEMO := $(VENV)/shim-release $(RELEASED_EMULATOR)
UNDER_TEST := $(VENV)/tests $(VENV)/shim-debug $(TESTED_EMULATOR)
MEASURED := $(VENV)/tests $(DEMO)
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs')
EMULATOR_SOURCES := $(RUST_SOURCES) $(shell find tests/emulator -name '*.rs' -o -name '*.html' -o -name Cargo.toml)
SHIM_SOURCES := python-shim/pyproject.toml python-shim/README.md $(shell find python-shim/src -name '*.py')

# What a rule for both profiles makes is kept like all else.
.SECONDARY:
.PHONY: demo demo-azure built-for-a-demo test fuzz fuzz-coverage lint rust-tests python-tests bench campaign soak format clean

## demo: a hub with local servers; prints its address
demo: built-for-a-demo
	$(VENV)/bin/python deployments/demo/run.py --emulator $(RELEASED_EMULATOR)

## demo-azure: the same with Azure: log in by a local Entra ID, get a compute instance
demo-azure: built-for-a-demo
	$(VENV)/bin/python deployments/demo/run.py --cloud azure --emulator $(RELEASED_EMULATOR)

# Somebody waits: Python's packages are fetched while Cargo builds.
built-for-a-demo:
	$(MAKE) --no-print-directory --jobs 2 $(DEMO)

## test: everything that CI runs
test: lint rust-tests python-tests

lint: $(VENV)/tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(VENV)/bin/ruff check python-shim tests deployments benches
	$(VENV)/bin/ruff format --check python-shim tests deployments benches
	cd python-shim && $(VENV)/bin/mypy

rust-tests:
	cargo test --workspace --locked

python-tests bench campaign soak: export CLOUDSPAWNER_PROGRAM = $(VENV)/bin/cloudspawner
python-tests: export CLOUDSPAWNER_EMULATOR = $(TESTED_EMULATOR)
bench campaign soak: export CLOUDSPAWNER_EMULATOR = $(RELEASED_EMULATOR)

# Most of the tests through the program wait for it, so more of them run at a time than there are cores.
python-tests: $(UNDER_TEST)
	cd python-shim && $(VENV)/bin/python -m pytest -q -n 2
	$(PYTEST) -n 8 tests/cli tests/azure tests/faults tests/docs
	$(PYTEST) -n 3 --dist loadgroup -rs tests/emulator tests/mount
	$(PYTEST) -n 3 --dist loadgroup tests/e2e

## bench: the figures of benches/README.md, with the peer beside ours
bench: $(MEASURED)
	$(VENV)/bin/python benches/run.py
	$(VENV)/bin/python benches/run.py --azure
	$(VENV)/bin/python benches/run.py --scale

## campaign: 500 random SIGKILLs of hub and child on each cloud; SEED=… is another run
SEED ?= 1
campaign: $(MEASURED)
	$(PYTEST) -n 2 -rP tests/e2e/test_campaign.py --kills 500 --seed $(SEED)

## soak: 200 servers and a cloud with faults for MINUTES=60; CLOUD=azure_ml is the other one
MINUTES ?= 60
CLOUD ?= fargate
soak: $(MEASURED)
	$(PYTEST) tests/soak --minutes $(MINUTES) --cloud $(CLOUD)

## fuzz: what reads others' bytes, with CASES changed inputs a test (`make test` gives 256); a failure is kept and tried again
CASES ?= 100000
fuzz:
	PROPTEST_CASES=$(CASES) cargo test --release --locked -p cloudspawner --lib fuzz

## fuzz-coverage: the same with cargo-fuzz (`cargo install cargo-fuzz`), led by the code's own branches, FUZZ_SECONDS=600 for each kind
FUZZ_SECONDS ?= 600
fuzz-coverage:
	$(PYTHON) tests/fuzz/seeds.py $(TARGET)/fuzz-corpus
	for kind in wire state aws azure text; do \
	    cargo fuzz run --fuzz-dir tests/fuzz --target-dir $(TARGET)/fuzz --sanitizer none $$kind $(TARGET)/fuzz-corpus/$$kind -- \
	        -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=16384 -print_final_stats=1 || exit 1; \
	done

format:
	cargo fmt --all
	$(VENV)/bin/ruff check --fix python-shim tests deployments benches
	$(VENV)/bin/ruff format python-shim tests deployments benches

clean:
	rm -rf $(VENV) $(TARGET)

# Cargo shows its progress; pip, which builds the wheel from what is then there, shows none.
$(TARGET)/%/cloudspawner: $(RUST_SOURCES)
	cargo build --profile $(*:debug=dev) --locked
	touch $@

$(TARGET)/%/cloudspawner-emulator: $(EMULATOR_SOURCES) | $(TARGET)/%/cloudspawner
	cargo build --profile $(*:debug=dev) --locked -p cloudspawner-emulator
	touch $@

$(VENV)/base: deployments/demo/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check -r deployments/demo/requirements.txt
	$(MAKE) --no-print-directory proxy
	touch $@

# JupyterHub's proxy. Node's passes a start's progress on as it comes; Python's only when it is complete.
.PHONY: proxy
proxy:
	if command -v configurable-http-proxy; then :; \
	elif command -v npm && npm install --no-fund --no-audit --fetch-retries=0 --fetch-timeout=20000 --prefix $(VENV)/node configurable-http-proxy@4; \
	then ln -sf ../node/node_modules/.bin/configurable-http-proxy $(VENV)/bin/; \
	else $(VENV)/bin/python -m pip install --disable-pip-version-check configurable-http-proxy; fi

# One package with either program: the last one that was installed is the one that is there.
$(VENV)/shim-%: $(VENV)/base $(TARGET)/%/cloudspawner $(SHIM_SOURCES)
	rm -f $(VENV)/shim-*
	MATURIN_PEP517_ARGS="--profile $(*:debug=dev) --strip" $(VENV)/bin/python -m pip install --disable-pip-version-check ./python-shim
	touch $@

$(VENV)/tests: $(VENV)/base tests/requirements.txt
	$(VENV)/bin/python -m pip install --disable-pip-version-check -r tests/requirements.txt
	touch $@
