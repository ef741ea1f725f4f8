# make demo        build, serve a made-up maildrop, retrieve and check it
# make test        everything: lint, unit tests, seconds of fuzzing, end to end
# make help        the other targets

FUZZTIME ?= 10m
COVERMIN ?= 90
BENCHTIME ?= 1s
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
ARGS ?=

# The Go of this machine or nothing: a test run downloads no other.
export GOTOOLCHAIN = local

.PHONY: build build-pam demo test install lint unit fuzz fuzz-seconds e2e cover bench bench-lmtp bench-fetch bench-pop3 siege powerloss torture test-ceph man clean help

build: ## build bin/poplin
	CGO_ENABLED=0 go build -trimpath -o bin/poplin ./cmd/poplin

build-pam: ## build bin/poplin with PAM; takes a C compiler and libpam's headers
	CGO_ENABLED=1 go build -trimpath -tags pam -o bin/poplin ./cmd/poplin

demo: build ## build and run `poplin demo $(ARGS)`; ARGS=--once ends after the check
	bin/poplin demo $(ARGS)

test: ## lint, unit tests, seconds of fuzzing, end to end; installs what is missing
	$(MAKE) install
	$(MAKE) lint
	$(MAKE) unit
	$(MAKE) fuzz-seconds
	$(MAKE) e2e

install: ## install the Debian packages that the tests need (as root; else says so)
	.ci/install

lint: ## go vet, gofmt, staticcheck, on both modules
	go vet ./...
	cd e2e && go vet ./...
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w is needed on: $$unformatted"; exit 1; }
	$(STATICCHECK) ./...
	cd e2e && $(STATICCHECK) ./...

unit: ## unit tests, with the race detector where there is a C compiler
	.ci/gotest $$(.ci/race) -shuffle=on -timeout=10m ./...
	[ -z "$$(.ci/race)" ] || .ci/gotest -run=Oracle ./maildrop/maildir

fuzz: ## every fuzz target for FUZZTIME each (10m)
	.ci/fuzz $(FUZZTIME)

fuzz-seconds:
	.ci/fuzz 2s

e2e: install ## real clients against poplin serve, pop3client against real servers
	.ci/e2e

cover: ## coverage of the library packages; fails below COVERMIN (90) percent
	.ci/cover $(COVERMIN)

bench: ## every benchmark
	go test -run='^$$' -bench=. -benchmem -benchtime=$(BENCHTIME) ./...

bench-lmtp: ## deliveries a second, beside Dovecot's lmtpd; some seven minutes, as root
	go run ./bench/lmtp $(ARGS)

bench-fetch: ## retrieval by POP3, beside mpop, fetchmail and getmail6; half an hour
	go run ./bench/fetch $(ARGS)

bench-pop3: ## polls, messages and idle connections, beside Dovecot's; some five minutes, as root
	go run ./bench/pop3 $(ARGS)

siege: ## attack a server in every way that hostile and slow clients know, some minutes
	go run ./bench/siege $(ARGS)

powerloss: ## have the power fail under deliveries on an ext4, some minutes, as root
	PATH=$$PATH:/usr/sbin go run ./bench/powerloss $(ARGS)

torture: ## kill a server 10,000 times under deliveries and sessions, some 40 minutes; ARGS="-kills 500", or ARGS=-bucket: two over an object store
	go run ./bench/torture $(ARGS)

test-ceph: ## kill pieces of a Ceph and of Poplin over it, some ten minutes, as root; ARGS="-kills 7", ARGS=-figures measures
	.ci/install-ceph
	go run ./bench/ceph $(ARGS)

man: build ## write the manual pages, docs/man, anew from the program
	rm -f docs/man/*.[1-9]
	bin/poplin man --dir docs/man

clean: ## remove what was built and what demos left
	rm -rf bin .demo .state

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile
