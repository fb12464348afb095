# Two commands matter:
#
#   make lab    installs what is missing, builds fleet and an image, runs `fleet up`
#   make test   installs what is missing, then runs every test, the real lab included
#
# Both may be run again at any time. `make` alone lists the targets.

CARGO  = scripts/cargo
WITHIN = scripts/within

# The image that the lab's machines are made of.
IMAGE = debian-12

# Each driver's own tests, and the fast ones; not the lab, which boots machines.
# The libvirt driver is a program that links libvirt; `make setup-test` gets its headers.
NATIVE = --features fleet-libvirt/native

DRIVER_TESTS = $(sort $(basename $(notdir $(wildcard drivers/*/tests/*.rs) \
	$(patsubst %/main.rs,%,$(wildcard drivers/*/tests/*/main.rs)))))
FAST_TESTS   = --lib --bins --test fast $(addprefix --test ,$(DRIVER_TESTS))

.NOTPARALLEL:
.PHONY: help lab test setup setup-test install uninstall down \
	fmt lint test-fast test-lab bless clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

lab: setup install ## Bring up the fleet of machines.toml, from nothing
	@scripts/lab $(IMAGE)

test: setup-test lint test-fast test-lab ## Run every test, the real lab included
	@printf '\nAll tests passed.\n'

setup: ## Install what `make lab` needs and this computer lacks
	@scripts/setup

setup-test: ## The same for `make test`
	@scripts/setup --test

install: ## Build fleet and put it into a folder of the PATH (PREFIX=…)
	@scripts/install

uninstall: ## Remove the installed fleet
	@scripts/install --remove

down: ## Remove the lab's machines
	@fleet=$$(scripts/install --where) && "$$fleet" down

fmt: ## Format the code
	$(CARGO) fmt --all

lint: ## Check format, lints, scripts and the list of packages
	$(CARGO) fmt --all --check
	$(WITHIN) 1800 $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(WITHIN) 1800 $(CARGO) clippy --locked --workspace --all-targets $(NATIVE) -- -D warnings
	shellcheck scripts/* tests/lab/private-libvirtd .ci/run
	scripts/check-packages

test-fast: ## Run the tests that boot no machine
	$(WITHIN) 1800 $(CARGO) test --locked --workspace $(NATIVE) $(FAST_TESTS)
	$(WITHIN) 600 $(CARGO) test --locked --workspace --doc

test-lab: ## Run the tests on real machines
	$(WITHIN) 1800 $(CARGO) build --locked --workspace $(NATIVE) --bins
	$(WITHIN) 2400 $(CARGO) test --locked --workspace $(NATIVE) --test lab -- --nocapture --test-threads=1

bless: ## Rewrite the expected texts in tests/golden
	FLEET_BLESS=1 INSTA_UPDATE=always $(CARGO) test --locked --workspace $(FAST_TESTS)

clean: ## Remove what the build made
	$(CARGO) clean
