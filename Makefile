# make run and make test are all there is to set up: Go, Node and make are
# what a machine needs before. Everything else is fetched by their own tools.

GO      ?= go
NPM     ?= npm
BIN     := bin/echotwin
AIR     := github.com/air-verse/air@v1.67.4
LINT    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
UI_SRC  := $(shell find web/src web/public web/*.html web/*.ts web/*.json realtime/units.json -type f 2>/dev/null)

.PHONY: run dev build test test-go test-ui test-browser bench soak lint clean

run: build ## Build everything and start the server with the demo line.
	./$(BIN)

build: web/dist/app.html ## Build the UI and the binary, bin/echotwin.
	$(GO) build -trimpath -o $(BIN) ./cmd/echotwin

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && $(NPM) ci --no-audit --no-fund

web/dist/app.html: web/node_modules/.package-lock.json $(UI_SRC)
	cd web && $(NPM) run build

dev: web/node_modules/.package-lock.json ## Hot reload: Go by air, the UI by Vite (open the address that Vite prints).
	@trap 'kill 0' EXIT INT TERM; \
	(cd web && $(NPM) run dev) & \
	$(GO) run $(AIR) -c .air.toml

test: test-go test-ui test-browser ## Everything: Go with -race, the UI's unit tests, the browser.

test-go: # vet -race looks at the same code, and test needs what it compiles
	$(GO) vet -race ./...
	$(GO) test -race -timeout 20m ./...

test-ui: web/node_modules/.package-lock.json
	cd web && $(NPM) run check && $(NPM) test

test-browser: build
	cd web && ECHOTWIN_BIN=$(CURDIR)/$(BIN) $(NPM) run test:browser

bench: build ## The budgets of the design, as ratios against a floor measured in the same run.
	cd web && $(NPM) run budget
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 40m -p 1 ./realtime/hub ./cmd/echotwin
	$(GO) test -run '^$$' -bench Apply ./realtime/twin

soak: ## Kill the server a hundred times under load and count what was acknowledged (KILLS=1000 for longer, SEED=… to replay).
	ECHOTWIN_SOAK_KILLS=$(or $(KILLS),100) ECHOTWIN_SOAK_SEED=$(SEED) $(GO) test -v -count 1 -timeout 6h -run '^TestSoak' ./cmd/echotwin

lint: web/node_modules/.package-lock.json
	$(GO) run $(LINT) run ./...
	cd web && $(NPM) run check

clean:
	rm -rf bin web/node_modules web/dist/*
