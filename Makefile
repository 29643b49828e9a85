# Sluice: build, run and check. `make help` lists the targets.

SHELL       := /bin/bash -o pipefail
# Where Debian keeps servers; not every shell of root looks there.
export PATH := $(PATH):/usr/sbin:/sbin
GO          ?= go
FUZZTIME    ?= 60s
DATA        ?= ./data
ARGS        ?=
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS     := -s -w -X main.version=$(VERSION)
EVENTS_PKG  := github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs
LINT_PKG    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
UNIT_PKGS    = $$($(GO) list ./... | grep -v -e '^sluice/test' -e '^sluice/bench')

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: DATA=$(DATA) ARGS= (more words for sluice run), FUZZTIME=$(FUZZTIME), VERSION=$(VERSION)"

.PHONY: run
run: setup-run build ## install what is missing, build, start one node with its data in ./data
	@scripts/run.sh "$(DATA)" $(ARGS)

.PHONY: build
build: bin/sluice bin/sluice-events ## build bin/sluice and bin/sluice-events

# The Go tool knows best what changed; it is asked every time.
.PHONY: bin/sluice
bin/sluice:
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/sluice

bin/sluice-events: eventengine/go.mod eventengine/go.sum
	@mkdir -p bin
	cd eventengine && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../$@ $(EVENTS_PKG)
	@touch $@

bin/golangci-lint: tools/go.mod tools/go.sum
	@mkdir -p bin
	cd tools && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../$@ $(LINT_PKG)
	@touch $@

.PHONY: test
test: setup-test ## everything: set-up, lint, unit tests with -race, fuzz targets, end to end
	@scripts/steps.sh build lint unit fuzz e2e

.PHONY: unit
unit: build ## unit tests of all packages with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $(UNIT_PKGS)

.PHONY: e2e
e2e: build ## end to end with real programs: Squid, clamd, nginx, vsftpd, Chromium, c-icap-client
	$(GO) test -count=1 -timeout 20m ./test/...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (60s), four at a time
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: build ## measure against c-icap and Squid
	bench/run.sh

.PHONY: lint
lint: bin/golangci-lint ## gofmt, go vet, golangci-lint
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	  if [ -n "$$bad" ]; then echo "not formatted; run gofmt -w on:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	bin/golangci-lint run ./...

.PHONY: setup-run
setup-run:
	@scripts/setup.sh run

.PHONY: setup-test
setup-test:
	@scripts/setup.sh test

.PHONY: clean
clean: ## remove bin/ (data/ stays)
	rm -rf bin
