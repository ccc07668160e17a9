# The two commands of the README are `go run ./cmd/mixtral certify` and `make test`. `make help` lists the rest.

GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
FUZZTIME ?=
SOAK     ?= 5m
REPORTS  ?= $(shell mktemp -d)
export CGO_ENABLED ?= 0

# Whatever is compiled here is compiled once: with the same flags by tests, and by the programs that tests build. GOGC
# is the compiler's, vet's and staticcheck's own: they collect garbage a sixteenth as often, which takes a fifth of
# their time. Tests do not see it.
LAZY  := GOGC=1600 GOMEMLIMIT=2GiB
FLAGS := $(shell $(GO) env GOFLAGS)
export GOFLAGS := $(FLAGS) $(if $(findstring -toolexec,$(FLAGS)),,-trimpath '-toolexec=env $(LAZY)')

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: ## bin/mixtral
	$(GO) build -trimpath -o bin/mixtral ./cmd/mixtral

.PHONY: release
release: ## dist/: binaries, image, bills of materials, verify.html, checksums, provenance; RELEASE_KEY=FILE signs them
	sh scripts/release.sh dist

.PHONY: image
image: ## dist/: the container image for linux/amd64 and linux/arm64 alone, without Docker
	PLATFORMS="linux/amd64 linux/arm64" sh scripts/release.sh dist

.PHONY: release-test
release-test: ## what is in dist/: binaries started, the image read back and started, digests and signatures verified
	cd test && MIXTRAL_DIST="$(abspath dist)" $(GO) test -count 1 -v ./release

.PHONY: verify-page
verify-page: ## verify.html: one file that verifies reports in a browser
	$(GO) run ./cmd/verify-page -o verify.html -version "$$($(GO) run ./cmd/mixtral version | cut -d ' ' -f 2)"

.PHONY: reproduce
reproduce: ## the release built twice, in two places: the same bytes; and tested as release-test does
	sh scripts/reproduce.sh

.PHONY: vuln
vuln: ## known vulnerabilities in what the programs call, by a pinned database; first proves that it finds one
	cd tools/vulndb && $(GO) vet ./... && $(GO) test -count 1 ./...
	sh scripts/vuln.sh ./cmd/...

.PHONY: vuln-update
vuln-update: ## pins the newest copy of the database of vulnerabilities
	cd tools/vulndb && $(GO) get golang.org/x/vulndb@latest && $(GO) mod download golang.org/x/vulndb

.PHONY: test
test: ## everything a change must pass; says how long each part took
	@MAKE="$(MAKE)" GO="$(GO)" sh scripts/timed.sh "deps / compile" \
		"10 lint / 5 arm64 / 5 race / timed unit+client e2e"

.PHONY: deps
deps: ## what the tests need from Debian's packages (root or CI); says what is missing elsewhere
	@sh scripts/deps.sh

# Nobody debugs what is compiled here. Without the tables for that it takes a tenth less time, and linking a fifth.
# (GOFLAGS may have such flags of its own.)
BARE := $(if $(findstring -gcflags,$(FLAGS)),,'-gcflags=all=-dwarf=false') \
	$(if $(findstring -ldflags,$(FLAGS)),,-ldflags=-w)
test compile lint arm64 unit timed client e2e: export GOFLAGS += $(BARE)

# The go command compiles a package as often as it is asked at the same time, so this comes before what runs side by
# side.
.PHONY: compile
compile: ## what lint, timed, unit and client all need, once
	$(GO) build ./...

.PHONY: lint
lint: ## format, vet, staticcheck, import ranks
	@files=$$(git ls-files '*.go') && test -n "$$files" || { echo "gofmt: git names no files of Go"; exit 1; }; \
		out=$$(gofmt -l $$files) && test -z "$$out" || { echo "gofmt: failed: $$out"; exit 1; }
	$(GO) vet ./...
	$(LAZY) $(TOOL) staticcheck ./...
	$(GO) test -count 1 $(LONG) ./internal/house ./deploy

# Not from the cache are tests of what the go command does not see: the machine's processor (TIERS), what other
# programs read (house, deploy). lint has vetted everything, so the tests need not vet again. Many tests wait more than
# they compute: three packages at once, and four tests of each, keep two cores busy. What a test waits for has a limit
# of its own; that of a package (10 minutes without LONG) is for machines that do much else.
LONG  := -timeout 30m
TEST  := $(GO) test -vet=off $(LONG)
TIMED := ./certify/... ./internal/certify/faults
TIERS := ./internal/infer/kernel ./internal/infer/moe

# The engine checks its books after every step.
MODULE  = $(shell $(GO) list -m)
CHECKED = '-ldflags=-w -X=$(MODULE)/internal/infer/engine.invariants=on'

.PHONY: unit
unit: ## all tests but timed, with invariants checked at every step; kernel and moe on every tier of this machine
	packages=$$(sh scripts/packages.sh without $(TIMED) $(TIERS) ./internal/house ./deploy) && \
		$(TEST) -p 3 -parallel 4 $(CHECKED) $$packages
	$(TEST) -count 1 $(TIERS)

.PHONY: timed
timed: ## tests that measure time: one package after the other, beside nothing of the same priority
	$(TEST) -p 1 -parallel 4 $(TIMED) # runs that wait nine tenths of their time

# Other people's modules are compiled without the optimiser, in half the time, and watched all the same.
RACE   = CGO_ENABLED=1 $(TEST) -race -short '-gcflags=all=-N -l -dwarf=false' -gcflags=std=-dwarf=false \
	-gcflags=$(MODULE)/...=-dwarf=false -ldflags=-w

.PHONY: race
race: ## the packages where goroutines meet, under the race detector (needs a C compiler)
	$(RACE) -p 3 ./certify/... # whole runs, which wait: make test has done them before the tests of unit begin
	$(RACE) -p 3 . ./internal/infer/engine ./internal/infer/kvcache ./internal/serve/... \
		./internal/base/telemetry ./internal/base/store/... ./internal/model/hub ./internal/certify/evidence \
		./internal/certify/loadgen ./internal/certify/probe ./internal/infer/sample ./internal/model/convert
	$(RACE) -run 'Crew|Tier' ./internal/infer/kernel # the rest has no goroutines

# What is released for arm64 has right types there; compiling all of it would take ten times as long and find no more.
.PHONY: arm64
arm64: ## types are right on arm64; kernel and moe pass on emulated processors with and without its extensions
	cd tools && $(GO) run ./typecheck -C .. linux/arm64 darwin/arm64
	@GO="$(GO)" sh scripts/arm64.sh vet
	@GO="$(GO)" sh scripts/arm64.sh test

.PHONY: fuzz
fuzz: ## search new cases with every property test and fuzz target for FUZZTIME (5s) each (unit has the committed ones)
	@FUZZTIME=$(or $(FUZZTIME),5s) sh scripts/fuzz.sh

.PHONY: fuzz-long
fuzz-long: ## an hour (FUZZTIME) shared by all fuzz targets; says what each reaches, FUZZKEEP=-keep keeps what is new
	cd tools && $(GO) run ./fuzz -root .. -time $(or $(FUZZTIME),1h) $(FUZZKEEP)

# First comes what a machine may be unable to do.
.PHONY: soak
soak: deps ## a run on emulated arm64; load, a run's page, a chat for SOAK each; chaos for two minutes; kills; fuzz
	@GO="$(GO)" sh scripts/arm64.sh certify
	MIXTRAL_SEARCH=1s MIXTRAL_SOAK=$(SOAK) $(GO) test $(CHECKED) -run 'TestSoak$$' -timeout 0 -count 1 -v \
		./internal/serve/service # nothing may grow
	MIXTRAL_SEARCH=1s MIXTRAL_CHAOS=1m $(GO) test $(CHECKED) -run 'TestChaos$$' -count 1 -v ./internal/serve/service
	cd test && MIXTRAL_SOAK=$(SOAK) $(GO) test -run 'TestSoak$$|TestStreamingIsSmooth$$' -p 1 -timeout 0 -count 1 -v \
		./runs ./console
	cd test && MIXTRAL_SEARCH=1s MIXTRAL_CHAOS=1m $(GO) test -run 'Chaos$$' -count 1 -v ./faults
	$(MAKE) kills KILLS=5
	$(MAKE) fuzz

# Not from the cache: these tests build the programs, and read files of other modules, which the go command does not
# see. The largest packages of other people's, which only these tests use, are compiled without the optimiser: half the
# time. vet comes last: by then lint's has looked at most of what they import.
LIGHT := $(foreach module,github.com/openai/... k8s.io/... sigs.k8s.io/... github.com/google/gnostic-models/... \
	github.com/chromedp/...,-gcflags='$(module)=-N -l -dwarf=false')

.PHONY: client
client: ## other people's clients (with Node those in JavaScript) and tools, Kubernetes' types; the tests of our tools
	cd test && GOWORK=off $(GO) list -deps -test ./... >/dev/null # test/go.mod names everything without the workspace
	cd test && $(TEST) -count 1 -p 3 $(LIGHT) ./...
	cd test && $(GO) vet $(LIGHT) ./...
	cd tools && $(GO) test -count 1 $(LONG) ./...
	cd tools/release && $(GO) vet ./... && $(GO) test -count 1 $(LONG) ./...

# Of both servers only what they do matters, not how fast: without the optimiser they are compiled in half the time.
.PHONY: apiserver
apiserver: ## every manifest and the chart given to Kubernetes' own API server, built from its module (minutes)
	mkdir -p bin/apiserver
	cd test/apiserver && GOWORK=off $(GO) build -trimpath -gcflags='all=-N -l' -ldflags='-s -w' \
		-o ../../bin/apiserver/etcd go.etcd.io/etcd/server/v3
	cd test/apiserver && GOWORK=off $(GO) build -trimpath -gcflags='all=-N -l' -ldflags='-s -w' \
		-o ../../bin/apiserver/ k8s.io/kubernetes/cmd/kube-apiserver
	cd test && MIXTRAL_APISERVER="$(abspath bin/apiserver)" $(GO) test ./deploy -run 'TestAPIServer$$' -v -count 1

.PHONY: clients-all
clients-all: ## all of other people's clients, those too that take minutes to install, and the table of docs/API.md
	cd test && $(GO) test -count 1 -timeout 20m ./clients -run TestClients -all -update

.PHONY: e2e
e2e: build ## a whole certification by the real binary, and its report verified
	sh scripts/e2e.sh bin/mixtral

.PHONY: compare
compare: build ## the same files through llama.cpp, where Node is present
	sh scripts/compare.sh

.PHONY: bench
bench: ## kernels, scheduler, load generator; then the whole engine
	$(GO) test -run '^$$' -bench . -benchtime 200ms ./internal/...

.PHONY: bank
bank: ## the certifier against servers with planted faults and strange ones, 30 seeded runs of each fault (two hours)
	MIXTRAL_BANK=$${MIXTRAL_BANK:-30} MIXTRAL_BANK_HEALTHY=$${MIXTRAL_BANK_HEALTHY:-50} MIXTRAL_BANK_STRANGE=1 \
		$(GO) test ./certify -run 'TestBank$$|Strange' -v -count 1 -timeout 4h

.PHONY: overload
overload: ## ten times the capacity for a while, on a machine that does nothing else (OVERLOAD_SECONDS=15)
	MIXTRAL_OVERLOAD=$${OVERLOAD_SECONDS:-15} $(GO) test ./cmd/mixtral -run 'TestOverload$$' -v -count 1

KILLS ?= 50

.PHONY: kills
kills: ## all programs killed at KILLS random moments each, files cut, full disks: a table of docs/SECURITY.md
	@KILLS=$(KILLS) GO="$(GO)" sh scripts/kills.sh

.PHONY: floods
floods: ## costly frames of HTTP/2, ten seconds of each kind (MIXTRAL_FLOOD): another table of docs/SECURITY.md
	MIXTRAL_FLOOD=$${MIXTRAL_FLOOD:-10s} $(GO) test ./cmd/mixtral -run 'TestHTTP2Floods$$' -v -count 1 -timeout 1h

.PHONY: plan-error
plan-error: build ## how far mixtral plan's predictions are off, on a machine that does nothing else (PLAN_MODELS=…)
	MIXTRAL_PLAN_ERROR=$${PLAN_MODELS:-demo,synth:nano,synth:mid} $(GO) test ./cmd/mixtral -run 'TestPlanError$$' -v \
		-count 1 -timeout 1h -args -update-plan

.PHONY: long
long: ## contexts of 32k tokens: a needle found at any depth, memory as predicted (about two minutes on two free cores)
	MIXTRAL_LONG=1 $(GO) test ./internal/infer/engine -run 'TestNeedle$$|TestMemoryIsAsPredicted$$' -v -count 1 \
		-timeout 1h

.PHONY: demo
demo: ## rebuild the demo model from nothing (half an hour; see models/demo/README.md)
	sh models/demo/rebuild.sh
