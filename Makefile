# Everything a person types. `make` alone lists the targets.
#
# Build output and downloads live outside the checkout, in $(CACHE), so that a second checkout
# builds in seconds and deleting the folder is all there is to cleaning up. Plain cargo commands
# work too; they use ./target and compile RocksDB themselves.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/angzarr
CARGO_TARGET_DIR ?= $(CACHE)/target
CARGO ?= cargo
export CACHE CARGO_TARGET_DIR CARGO

# One compiled RocksDB serves every profile: tests, clippy, benchmarks and the release binary.
ROCKSDB_VERSION := $(shell scripts/rocksdb version)
ROCKSDB_LIB_DIR ?= $(CACHE)/rocksdb-$(ROCKSDB_VERSION)
WITH_ROCKSDB = ROCKSDB_LIB_DIR=$(ROCKSDB_LIB_DIR) ROCKSDB_STATIC=1
VENV = $(CACHE)/python
PEERS = $(CACHE)/peers

# More arguments for bench-compare: COMPARE='--only angzarr,umadb --rounds 1'.
COMPARE ?=
# Servers that tests talk to; a test whose server is not there prints SKIPPED.
SERVERS = $(CACHE)/servers
export NATS_SERVER ?= $(SERVERS)/bin/nats-server

# The whole workspace in one go, always: building one package alone would resolve other features
# for what all of them share, and compile it again.
ALL = --locked --workspace --features angzarr-tests/rocksdb
BUILD_ALL = $(WITH_ROCKSDB) scripts/timed 'built in' $(CARGO) build $(ALL) --all-targets

say = @printf '\n\033[1m==> %s\033[0m\n' "$(1)"

# The steps share cargo's lock and print for a person: one after the other.
.NOTPARALLEL:

.PHONY: help run test build lint ci fmt sim fuzz fuzz-replay bench bench-peers bench-compare bench-memory bench-sealing bench-scale bench-curves bench-reads tools-run tools-test tools-python tools-servers rocksdb \
        test-rust test-doc test-python lint-fmt lint-clippy lint-docs lint-deny

help: ## List the targets
	@echo 'Angzarr, an event database server. Build output goes to $(CACHE)'; echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
	  while IFS=$$'\t' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

run: tools-run ## Build without RocksDB and play the demo (first time: about 3 minutes on 2 cores)
	$(call say,Building angzarr without RocksDB. First time: about 3 minutes on 2 cores; later: seconds.)
	@scripts/timed 'built in' $(CARGO) build --locked -p angzarr-server --bin angzarr --no-default-features
	$(call say,Playing the demo on a scratch folder; nothing of it stays on your disk.)
	@$(CARGO_TARGET_DIR)/debug/angzarr demo

test: ## Install what the tests need, build everything with RocksDB, run every test
	$(call say,Every test with RocksDB. First time: about 25 minutes on 2 cores (RocksDB alone 15); later: a few minutes.)
	@$(MAKE) tools-test tools-python tools-servers
	@$(MAKE) --keep-going test-rust test-doc test-python
	$(call say,All tests passed.)

build: rocksdb ## Make the production binary (release, with RocksDB)
	$(call say,Building the production binary. First time: about 10 minutes on 2 cores after RocksDB.)
	@$(WITH_ROCKSDB) scripts/timed 'built in' $(CARGO) build --locked --release -p angzarr-server --bin angzarr
	@echo "The binary: $(CARGO_TARGET_DIR)/release/angzarr"

lint: ## Check formatting, clippy, documentation, links, licences
	@$(MAKE) --keep-going lint-fmt lint-clippy lint-docs lint-deny

ci: ## What the build machine runs: tests and checks, with a summary
	@bash .ci/run

sim: ## Simulate the engine on a failing disk: new seeds for SECONDS=60, or SEED=n again
	@ANGZARR_SIM_SEED=$(SEED) ANGZARR_SIM_SECONDS=$(or $(SECONDS),60) \
	  $(CARGO) test --locked --quiet -p angzarr-engine --no-default-features --lib -- \
	  --exact sim::run::sim --ignored --nocapture

fmt: ## Format the Rust sources
	@$(CARGO) fmt --all

SECONDS ?= 60
TARGET ?=

fuzz: ## Fuzz each target for SECONDS=60, or only TARGET=image (needs cargo-fuzz)
	@SECONDS_EACH=$(SECONDS) TARGET=$(TARGET) scripts/fuzz

fuzz-replay: ## Run the fuzz targets on every input in the tree, on the stable compiler
	@cd fuzz && $(CARGO) test --locked --no-default-features

bench: rocksdb ## Run the criterion benchmarks (benches/README.md says what they mean)
	@$(WITH_ROCKSDB) $(CARGO) bench --locked -p angzarr-benches

bench-peers: rocksdb ## Compare the server with its limit and with PostgreSQL (about 15 minutes)
	@scripts/need postgresql
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-server --bin angzarr
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-benches --features postgres --bins
	@$(CARGO_TARGET_DIR)/release/peers --angzarr $(CARGO_TARGET_DIR)/release/angzarr

bench-compare: rocksdb ## Install every peer and compare with all of them (first time: an hour; later: 40 minutes)
	@scripts/need postgresql
	@scripts/peers $(PEERS)
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-server --bin angzarr
	@cd benches/compare && $(WITH_ROCKSDB) $(CARGO) build --release
	@$(CARGO_TARGET_DIR)/release/angzarr-compare --angzarr $(CARGO_TARGET_DIR)/release/angzarr --peers $(PEERS) $(COMPARE)

bench-memory: rocksdb ## Fill a server with a million aggregates, kill it, open it again (3 GB of disk)
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-server --bin angzarr
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-benches --bin memory
	@$(CARGO_TARGET_DIR)/release/memory --angzarr $(CARGO_TARGET_DIR)/release/angzarr

bench-sealing: rocksdb ## What rewriting segments saves and costs (2 GB of disk, about 3 minutes)
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-benches --bin sealing
	@$(CARGO_TARGET_DIR)/release/sealing

bench-scale: rocksdb ## Fill a store with 10 million aggregates and 50 million events (15 GB of disk)
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-benches --bin scale
	@$(CARGO_TARGET_DIR)/release/scale

bench-curves: rocksdb ## How cost grows: a table and a picture of each curve (about 7 minutes)
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-server --bin angzarr
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-benches --bin curves
	@$(CARGO_TARGET_DIR)/release/curves --angzarr $(CARGO_TARGET_DIR)/release/angzarr

bench-reads: rocksdb ## Reading, subscribers and backups against their limits (about 5 minutes, 8 GB of disk)
	@scripts/need postgresql
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-server --bin angzarr
	@$(WITH_ROCKSDB) $(CARGO) build --locked --release -p angzarr-benches --features postgres --bins
	@$(CARGO_TARGET_DIR)/release/reads --angzarr $(CARGO_TARGET_DIR)/release/angzarr

# ---- what the targets above need -------------------------------------------------------------

tools-run:
	@scripts/need rust cc

tools-test:
	@scripts/need rust cc c++ libclang

tools-python:
	@scripts/need python
	@scripts/venv $(VENV) examples/python/requirements.txt

tools-servers:
	@scripts/need python
	@scripts/venv $(SERVERS) tests/servers.txt

rocksdb: tools-test
	@scripts/rocksdb build $(ROCKSDB_LIB_DIR)

test-rust: rocksdb
	$(call say,Rust tests)
	@$(BUILD_ALL)
	@if command -v cargo-nextest >/dev/null; then \
	  $(WITH_ROCKSDB) $(CARGO) nextest run $(ALL) && \
	  ANGZARR_TEST_STORE=remote $(WITH_ROCKSDB) $(CARGO) nextest run $(ALL) -E 'binary(coordinator)'; \
	else \
	  $(WITH_ROCKSDB) $(CARGO) test $(ALL) --lib --bins --tests --no-fail-fast && \
	  ANGZARR_TEST_STORE=remote $(WITH_ROCKSDB) $(CARGO) test $(ALL) --test coordinator; \
	fi

test-doc: rocksdb
	$(call say,Documentation examples)
	@$(WITH_ROCKSDB) $(CARGO) test $(ALL) --doc

test-python: rocksdb tools-python
	$(call say,The Python example against a real server)
	@$(BUILD_ALL)
	@cd examples/python && ANGZARR=$(CARGO_TARGET_DIR)/debug/angzarr $(VENV)/bin/python -m unittest -v

lint-fmt:
	$(call say,Formatting)
	@$(CARGO) fmt --all --check

lint-clippy: rocksdb
	$(call say,Clippy with RocksDB and without; with OpenTelemetry)
	@$(WITH_ROCKSDB) $(CARGO) clippy $(ALL) --all-targets -- -D warnings
	@$(CARGO) clippy --locked -p angzarr-server --no-default-features -- -D warnings
	@$(CARGO) clippy --locked -p angzarr-server --no-default-features --features otel -- -D warnings

lint-docs: rocksdb
	$(call say,Documentation: rustdoc without warnings; links; named files)
	@$(WITH_ROCKSDB) RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(ALL) --no-deps
	@$(WITH_ROCKSDB) $(CARGO) test $(ALL) --test tidy

lint-deny:
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check licenses bans sources; \
	else echo 'cargo-deny is not installed: licences not checked (cargo install cargo-deny)'; fi
