# The one door to Holdfast: building, running, testing. `make` alone says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Where everything is built: ./target, unless the environment says otherwise.
export CARGO_TARGET_DIR := $(abspath $(or $(HOLDFAST_TARGET_DIR),$(CARGO_TARGET_DIR),target))
BIN := $(CARGO_TARGET_DIR)/release
TOOLS := .tools/bin

# One profile and one set of crates for running, testing and measuring, so that SurrealDB is built once.
BUILD := cargo build --release --workspace --locked

.PHONY: help up demo test verify fix bench bench-failover bench-scale soak schemas tools build machine clean-data

help: ## Say what there is
	@echo "Holdfast: several identical copies of one SurrealDB database behind NATS."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|' 2>/dev/null \
	  || grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)
	@echo
	@echo "Options go in ARGS: make up ARGS=\"--csps 5 --replication peer\". \`$(BIN)/holdfast --help\` is the manual."

up: tools build ## Run a whole system here until Ctrl-C: NATS, services, a group of three copies
	@exec $(BIN)/holdfast up $(ARGS)

demo: tools build ## Show a session: updates, queries, the primary killed, its return, all copies equal
	@exec deploy/demo $(BIN)/holdfast

test: tools ## Run all tests
	@exec deploy/tools/run-tests $(ARGS)

verify: tools ## Check everything and change nothing: format, lints, schemas, configurations, tests
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings
	$(BUILD)
	$(BIN)/holdfast-schemas-generate --check
	deploy/nats/check
	deploy/nats/check-permissions $(BIN)
	deploy/tools/run-tests

fix: machine ## Mend what can be mended by machine: format, lints, schemas
	cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	@$(MAKE) --no-print-directory schemas

bench: tools build ## Measure: plain SurrealDB beside a group of three copies
	@exec $(BIN)/holdfast-bench $(ARGS)

bench-failover: tools build ## Measure how long clients wait when something is lost (ARGS="--runs N --only CASE")
	@exec $(BIN)/holdfast-bench-failover $(ARGS)

bench-scale: tools build ## Measure what a query costs from one copy to five
	@exec $(BIN)/holdfast-bench-scale $(ARGS)

soak: tools build ## Break everything at random for 30 minutes and check every answer (ARGS="--seed N --minutes N")
	@exec $(BIN)/holdfast-soak $(ARGS)

schemas: build ## Write the JSON Schemas anew from the message types
	$(BIN)/holdfast-schemas-generate

tools: machine ## Get nats-server where there is none on the PATH
	@deploy/tools/get-nats-server $(TOOLS)

build: machine ## Build all programs
	@$(BUILD)

machine: ## Say what this machine lacks, if anything
	@deploy/tools/check-machine $(TOOLS)

clean-data: ## Remove the data that `make up` keeps in ./data
	@if [ -e data/run/up.lock ] && ! flock -n data/run/up.lock true; then \
	  echo "A system runs on ./data: stop it with Ctrl-C where it runs, then try again." >&2; exit 1; fi
	rm -rf data
