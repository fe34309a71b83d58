SHELL := bash
.SHELLFLAGS := -euo pipefail -c

FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 300

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: dev
dev: ## Runs the service with its emulators on this machine; ARGS="…" are passed on, such as --replicas=3
	@$(if $(findstring --replicas,$(ARGS)),command -v valkey-server redis-server >/dev/null || export PATH="$$(scripts/tools path valkey)";) \
	cargo run --locked --features dev -- dev $(ARGS)

.PHONY: check
check: ## Format, lints, unit and integration tests, documentation of the service
	@scripts/check

.PHONY: test
test: ## Tests the service, documentation and static files: 7 min cold, 2 warm. Needs Rust, a C compiler, Python 3.11, git, curl
	@scripts/test quick

.PHONY: test-all
test-all: ## Tests every artefact with its real peer: 45 min cold, 35 warm; SUITES="chart interop" picks. Also needs Go, Node, Java, C++, Terraform, apt, root for two
	@scripts/test all $(SUITES)

.PHONY: test-aws
test-aws: ## Applies, uses, upgrades and destroys a throw-away environment in the AWS account SHOUTBACK_AWS_ACCOUNT; costs money
	@scripts/aws/suite all

.PHONY: fuzz
fuzz: ## Fuzzes each target of fuzz/ for FUZZ_SECONDS (60)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz

.PHONY: soak
soak: ## Runs the service under load and faults for SOAK_SECONDS (300); ARGS="…" are passed on
	@SOAK_SECONDS=$(SOAK_SECONDS) scripts/soak $(ARGS)

.PHONY: bench
bench: ## Compares the CPU time of a request with other programs, for docs/performance.md; ARGS="…" are passed on
	@scripts/bench $(ARGS)

.PHONY: instructions
instructions: ## Records the instructions and allocations of the hot path in benches/parts/instructions.json, with which a suite compares
	@scripts/instructions --write

.PHONY: observe
observe: ## Runs the service under load and faults with Prometheus and its alerts; ARGS="…" are passed on
	@scripts/observe $(ARGS)

.PHONY: dashboards
dashboards: ## Writes the JSON of Grafana's dashboards
	python3 observability/grafana/source

.PHONY: slo
slo: ## Writes rules, alarms and tables from the objectives in observability/slo
	python3 observability/slo

.PHONY: drill
drill: ## Injects one fault into a running service and asks for the diagnosis; ARGS="…" are passed on
	@scripts/drill $(ARGS)

.PHONY: image
image: ## Builds the container image, as shoutback:COMMIT and shoutback; ARGS="…" are passed on to docker, podman or buildah
	@scripts/image $(ARGS)

.PHONY: pipeline-dry-run
pipeline-dry-run: ## Runs a release from merge to production on this machine, with Argo CD; ARGS=--approve approves without asking
	@scripts/pipeline-dry-run $(ARGS)

.PHONY: coverage
coverage: ## Prints the line coverage of each part of the source by the service's tests
	@scripts/coverage

.PHONY: prose
prose: ## Checks terms by the rules of docs/style; ARGS="FILE…" picks files, ARGS=--counts counts findings
	@scripts/prose $(ARGS)

.PHONY: mutants
mutants: ## Mutation testing: prints changes of the source that no test detects; MODULES="quota auth" picks, ARGS="…" are passed on
	@scripts/mutants $(ARGS) $(MODULES)

.PHONY: secrets
secrets: ## Scans the history for secrets
	@scripts/secrets

.PHONY: audit
audit: ## Scans the lock files for known vulnerabilities; needs a network
	@scripts/audit

.PHONY: fmt
fmt: ## Formats the code
	cargo fmt --all

.PHONY: clean-tools
clean-tools: ## Removes tools and builds of the suites outside the checkout
	[[ ! -d "$${XDG_CACHE_HOME:-$$HOME/.cache}/shoutback" ]] || chmod -R u+w "$${XDG_CACHE_HOME:-$$HOME/.cache}/shoutback"
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/shoutback"
