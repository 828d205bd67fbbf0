# The commands that people and CI use. From a fresh checkout they need cargo, make and a C compiler; `make test` installs what
# the tests need beside them.

CARGO ?= cargo
ARGS ?=
# How long each decoder is fuzzed in `make test`; `make fuzz SECONDS=3600` is for a long look.
FUZZ_SECONDS ?= 5
SECONDS ?= 600
TOOLS := target/tools
DENY_VERSION := 0.20.2

.PHONY: help demo test check bench simulate fuzz

help: ## Show these commands
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Run one real job through the whole line on loopback; ARGS=--once ends after checking every step
	$(CARGO) build --release --bins --package sitewarden-hub --package sitewarden-agent --package sitewarden-tests
	target/release/demo $(ARGS)

test: ## Install what the tests need and lack, then run them all
	tests/prerequisites
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace --no-fail-fast
	tests/fuzz/run $(FUZZ_SECONDS)

check: $(TOOLS)/bin/cargo-deny ## Format, lints as errors, documentation, dependency policy, fences between crates
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps
	$(TOOLS)/bin/cargo-deny check bans licenses sources
	$(CARGO) test --package sitewarden-tests --test fences

bench: ## Measure, each figure beside its yardstick from the same run
	$(CARGO) build --release --bins --package sitewarden-hub --package sitewarden-agent --package sitewarden-tests
	target/release/bench $(ARGS)

fuzz: ## Fuzz every decoder of outside bytes, each for SECONDS=600
	tests/fuzz/run $(SECONDS)

simulate: ## The seeded simulation of the sync protocol with many seeds; SITEWARDEN_SEEDS=N, SITEWARDEN_SEED=N replays one
	SITEWARDEN_SEEDS=$${SITEWARDEN_SEEDS:-100000} $(CARGO) test --release --package sitewarden-tests --test simulation

$(TOOLS)/bin/cargo-deny:
	$(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --root $(TOOLS)
