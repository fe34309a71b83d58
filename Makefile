SHELL := bash
.SHELLFLAGS := -euo pipefail -c

FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 300

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: dev
dev: ## Runs the service with its emulators on this machine; ARGS="…" are passed on
	cargo run --locked --features dev -- dev $(ARGS)

.PHONY: check
check: ## Format, lints, unit and integration tests, documentation of the service
	@scripts/check

.PHONY: test
test: ## Tests the service, documents and static files: 7 min cold, 2 warm. Needs Rust, a C compiler, Python 3.11, git, curl
	@scripts/test quick

.PHONY: test-all
test-all: ## Tests every artefact with its real peer: 45 min cold, 35 warm; SUITES="chart interop" picks. Also needs Go, Node, Java, C++, Terraform, apt, root for two
	@scripts/test all $(SUITES)

.PHONY: fuzz
fuzz: ## Fuzzes each target of fuzz/ for FUZZ_SECONDS (60)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz

.PHONY: soak
soak: ## Runs the service under load and faults for SOAK_SECONDS (300); ARGS="…" are passed on
	@SOAK_SECONDS=$(SOAK_SECONDS) scripts/soak $(ARGS)

.PHONY: bench
bench: ## Measures what a request costs beside what it costs others, for docs/performance.md; ARGS="…" are passed on
	@scripts/bench $(ARGS)

.PHONY: instructions
instructions: ## Keeps the instructions and allocations of the hot path in benches/parts/instructions.json, which a suite compares with
	@scripts/instructions --write

.PHONY: observe
observe: ## Runs the service under load and faults with Prometheus and the alerts to look at; ARGS="…" are passed on
	@scripts/observe $(ARGS)

.PHONY: dashboards
dashboards: ## Writes the JSON of Grafana's dashboards
	python3 observability/grafana/source

.PHONY: drill
drill: ## Breaks one thing of a running service and asks what it is; ARGS="…" are passed on
	@scripts/drill $(ARGS)

.PHONY: image
image: ## Builds the container image, as shoutback:COMMIT and shoutback; ARGS="…" are passed on to docker, podman or buildah
	@scripts/image $(ARGS)

.PHONY: pipeline-dry-run
pipeline-dry-run: ## Walks a release from merge to production on this machine; ARGS=--approve approves what a reviewer would be asked
	@scripts/pipeline-dry-run $(ARGS)

.PHONY: coverage
coverage: ## Prints how much of each part of the source the service's tests run
	@scripts/coverage

.PHONY: prose
prose: ## Prints words and phrases that docs/style replaces by the field's; ARGS="FILE…" picks files, ARGS=--counts counts
	@scripts/prose $(ARGS)

.PHONY: mutants
mutants: ## Tests the tests: changes the source bit by bit and prints what no test notices; MODULES="quota auth" picks, ARGS="…" are passed on
	@scripts/mutants $(ARGS) $(MODULES)

.PHONY: secrets
secrets: ## Looks for secrets in the history
	@scripts/secrets

.PHONY: audit
audit: ## Looks for known vulnerabilities in what the lock files name; needs a network
	@scripts/audit

.PHONY: fmt
fmt: ## Formats the code
	cargo fmt --all

.PHONY: clean-tools
clean-tools: ## Removes what the suites have installed and built outside the checkout
	[[ ! -d "$${XDG_CACHE_HOME:-$$HOME/.cache}/shoutback" ]] || chmod -R u+w "$${XDG_CACHE_HOME:-$$HOME/.cache}/shoutback"
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/shoutback"
