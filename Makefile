# make run and make test are all that is needed to start with; both want Go and
# make, and no C compiler. make help lists the rest.

GO      ?= go
PREFIX  ?= /usr
BINDIR  ?= $(PREFIX)/bin
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
SAMPLEDIR ?= $(PREFIX)/share/consul/samples
DESTDIR ?=

SAMPLES := $(wildcard configs/samples/consul.d/*.hcl)

BUILD   := build
# Paths of this machine have no place in the binary; without the flag the build
# shares what go test has compiled already.
TRIMPATH ?= -trimpath
BINARY  := $(BUILD)/consul
# 40 MB is what the project promises for the stripped binary.
MAXSIZE := 40000000

# The date is that of the commit, so that one commit gives one binary.
REVISION   := $(shell git rev-parse HEAD 2>/dev/null)
BUILDDATE  := $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
VERSIONPKG := consul.internal/internal/version
LDFLAGS := -s -w $(if $(REVISION),-X $(VERSIONPKG).Revision=$(REVISION) -X $(VERSIONPKG).BuildDate=$(BUILDDATE))

# Everything but make race works without cgo.
export CGO_ENABLED ?= 0

FUZZTIME  ?= 30s
BENCH     ?= .
BENCHTIME ?= 1s
BENCHCOUNT ?= 6
REF       ?= HEAD

.PHONY: help build man demo packages test-packages run docs test test-docs test-cluster torture test-large test-hostile interop interop-prometheus interop-keys interop-dns interop-metrics interop-ui conformance race cover fuzz bench bench-dns bench-compare vulnerabilities lint fix check install uninstall clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the stripped, static binary build/consul
	$(GO) build $(TRIMPATH) -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/consul

run: build ## start an agent with the sample services until Ctrl-C
	@scripts/run.sh $(BINARY) $(BUILD)/run

demo: build ## run two datacenters on loopback until Ctrl-C, and ask a name across (SERVERS in each, default 3)
	@scripts/demo.sh $(BINARY) $(BUILD)/demo

packages: build ## make build/packages/*.deb and *.rpm (VERSION, ARCH)
	GO=$(GO) scripts/packages.sh $(BINARY) $(BUILD)

test-packages: build ## install, run, upgrade and purge the package in a Debian root (root; debootstrap fetches some 100 MB)
	GO=$(GO) scripts/test-packages.sh $(BINARY) $(BUILD)

man: build ## write manual pages and completions for shells into build/manual
	$(BINARY) manual $(BUILD)/manual

docs: ## write the reference pages in docs/reference and the tables of docs/metrics.md out of the code
	$(GO) test -count=1 -run '^TestReference$$' ./cmd/consul ./internal/metrics -args -write

test: ## run all tests; the documents' commands and the recorded cases print their counts at the end
	$(GO) test -timeout 20m -skip '^Test(RecordedBehaviour|Pages)$$' ./...
	@$(MAKE) --no-print-directory test-docs
	@$(MAKE) --no-print-directory conformance

test-docs: ## run the commands of README.md and docs/*.md in namespaces (root); says what was skipped
	$(GO) test -count=1 -v -parallel 6 -run '^Test(Pages|ParsedOnly)$$' ./internal/doctest

interop: interop-prometheus interop-metrics interop-keys interop-dns interop-ui ## run all of other people's programs against the agent (root; minutes)

interop-prometheus: ## run the service discovery of the real Prometheus against the agent (a module of its own)
	cd internal/interop/prometheus && $(GO) test -count=1 ./...

interop-metrics: ## have Debian's promtool judge alerts and metrics, and its Prometheus scrape and discover (root; installs it on Debian; RUN=regexp)
	@GO=$(GO) scripts/interop-metrics.sh '$(RUN)'

interop-keys: ## run Patroni, python-consul, npm's consul and libkv's election against the agent (root for installing them)
	@GO=$(GO) scripts/interop-keys.sh

interop-dns: ## run dig, drill, kdig, getent, dnsmasq, unbound, BIND, NSD and Knot against the agent (root; installs them on Debian; RUN=regexp)
	@GO=$(GO) scripts/interop-dns.sh '$(RUN)'

interop-ui: ## open the web pages in headless Chromium against two datacenters (root; installs it on Debian); screenshots in build/ui
	@GO=$(GO) scripts/interop-ui.sh

conformance: ## run the recorded cases against real agents (ARGS=-all for those of later parts too)
	$(GO) test -count=1 -v -run '^TestRecordedBehaviour$$' ./internal/conformance $(if $(ARGS),-args $(ARGS))

test-cluster: ## run a cluster of real processes under faults (root; FULL=1 for the long form, RUN=regexp)
	@GO=$(GO) RUN='$(RUN)' scripts/test-cluster.sh $(FULL)

# Twice that long: three servers, then five. make test-cluster has a short form of it.
torture: ## work on keys, locks and the catalog under random faults for DURATION (default 10m), judged by porcupine (root)
	@GO=$(GO) RUN='^TestTorture$$' TORTURE=$(or $(DURATION),10m) scripts/test-cluster.sh

test-hostile: ## besiege a real agent with slow and idle clients, floods, large requests and random names (10,000 connections; some minutes)
	$(GO) test -count=1 -v -timeout 30m -run '^Test(Hostile|NameFlood)$$' ./daemon -args -hostile.full

# Fake time: it takes as long as the processor needs.
test-large: ## put MEMBERS (default 1000) agents into one pool that loses packets for ten virtual minutes (hours, some GiB)
	$(GO) test -count=1 -v -timeout 24h -run '^TestLargePool$$' ./daemon -args -cluster.large=$(or $(MEMBERS),1000)

race: ## run all tests with the race detector, in the agents too (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 40m -skip '^Test(RecordedBehaviour|Pages)$$' ./...
	CGO_ENABLED=1 $(GO) test -race -count=1 -v -run '^TestRecordedBehaviour$$' ./internal/conformance -args -raced

cover: ## write build/cover.html and print the coverage of each package
	@mkdir -p $(BUILD)
	$(GO) test -skip '^Test(RecordedBehaviour|Pages)$$' -coverpkg=./... -coverprofile=$(BUILD)/cover.out ./...
	$(GO) tool cover -html=$(BUILD)/cover.out -o $(BUILD)/cover.html
	$(GO) tool cover -func=$(BUILD)/cover.out | tail -1

fuzz: ## run every fuzz target for FUZZTIME (default 30s)
	GO=$(GO) scripts/fuzz.sh $(FUZZTIME)

bench: ## run the benchmarks (BENCH=regexp, BENCHTIME, BENCHCOUNT)
	@mkdir -p $(BUILD)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) ./... | tee $(BUILD)/bench.txt

bench-dns: build ## measure DNS beside NSD and a bare echo: CPU, latency, floods (root for installing NSD; ROUNDS, NAMES, PARTS)
	GO=$(GO) scripts/bench-dns.sh $(BINARY)

bench-compare: ## compare the benchmarks of REF (default HEAD) with the working tree
	GO=$(GO) BENCH='$(BENCH)' BENCHTIME=$(BENCHTIME) BENCHCOUNT=$(BENCHCOUNT) scripts/bench-compare.sh $(REF)

vulnerabilities: ## compare what the binary is made of with Go's database of vulnerabilities (network; VULNDB=url of a copy)
	@GO=$(GO) scripts/vulnerabilities.sh

lint: ## gofmt, go vet, staticcheck
	@out="$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go' 2>/dev/null || find . -name '*.go'))"; \
	if [ -n "$$out" ]; then echo "not formatted (make fix):"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fix: ## format and modernise the code
	$(GO) fix ./...
	gofmt -w $$(git ls-files -co --exclude-standard '*.go' 2>/dev/null || find . -name '*.go')

check: lint build ## lint, floors and ceilings, modules, the binary's promises
	$(GO) test -count=1 ./internal/archtest
	$(GO) mod verify
	GO=$(GO) scripts/check-modules.sh
	scripts/check-binary.sh $(BINARY) $(MAXSIZE)

# Existing configuration is never overwritten: a new version of it is put beside
# it as *.new where it differs.
install: build ## put binary, units, users, directories and samples in place (DESTDIR, PREFIX)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(TMPFILESDIR) $(DESTDIR)$(SAMPLEDIR)
	install -d -m 0750 $(DESTDIR)$(SYSCONFDIR)/consul.d
	install -m 0755 $(BINARY) $(DESTDIR)$(BINDIR)/consul
	for u in consul.service consul@.service; do \
		sed 's#/usr/bin/consul#$(BINDIR)/consul#' systemd/$$u > $(BUILD)/$$u && \
		install -m 0644 $(BUILD)/$$u $(DESTDIR)$(UNITDIR)/$$u || exit 1; done
	install -m 0644 systemd/consul.sysusers $(DESTDIR)$(SYSUSERSDIR)/consul.conf
	install -m 0644 systemd/consul.tmpfiles $(DESTDIR)$(TMPFILESDIR)/consul.conf
	install -m 0644 $(SAMPLES) $(DESTDIR)$(SAMPLEDIR)/
	scripts/install-config.sh configs/samples/consul.d/agent.hcl $(DESTDIR)$(SYSCONFDIR)/consul.d/agent.hcl
	@if [ -z "$(DESTDIR)" ]; then scripts/after-install.sh; fi

uninstall: ## remove what install put in place; data and configuration stay
	rm -f $(DESTDIR)$(BINDIR)/consul $(DESTDIR)$(UNITDIR)/consul.service $(DESTDIR)$(UNITDIR)/consul@.service
	rm -f $(DESTDIR)$(SYSUSERSDIR)/consul.conf $(DESTDIR)$(TMPFILESDIR)/consul.conf
	rm -f $(addprefix $(DESTDIR)$(SAMPLEDIR)/,$(notdir $(SAMPLES)))
	-rmdir $(DESTDIR)$(SAMPLEDIR) $(DESTDIR)$(PREFIX)/share/consul 2>/dev/null
	@echo "kept: $(DESTDIR)$(SYSCONFDIR)/consul.d and $(DESTDIR)/var/lib/consul"

clean: ## remove build/
	rm -rf $(BUILD)
