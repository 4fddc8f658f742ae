# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
PORT ?= 5006
DEMO ?= data/uploads
LIBRARY ?= data/library
BIN := .venv/bin

.PHONY: setup demo test test-long lint bench lock docs clean

setup: .venv/.done

# uv if the package index has it (three times as fast), else plain pip. Both check every file
# against the hashes in requirements.lock; uv itself is checked against requirements-build.lock.
.venv/.done: requirements.lock requirements-build.lock pyproject.toml demo/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pano needs Python 3.11 or newer; to choose one: PYTHON=python3.12 make $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	if $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.lock; then \
	    $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock && \
	    $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . -e ./demo; \
	else \
	    $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	    $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e ./demo; \
	fi
	touch .venv/.done

# Uploads are generated once. The dashboard is available while ingest is still running, and the
# simulated cameras keep uploading; Ctrl-C stops everything.
demo: setup
	@$(BIN)/pano demo $(DEMO) --live --library $(LIBRARY) --port $(PORT)

# One process more than the two cores: a third of the time the tests wait for a server or a browser.
test: setup .venv/.browser node_modules/.done
	$(BIN)/python -m pytest -n 3 -m "not long"

test-long: setup .venv/.browser
	$(BIN)/python -m pytest -n 2 -m long

# The tests use Debian's browser; Playwright must not download its own.
.venv/.browser:
	@command -v chromium >/dev/null || { \
	    echo "The tests use a real browser. Missing Debian package: chromium"; \
	    echo "Install it with: sudo apt-get install chromium"; exit 1; }
	@touch .venv/.browser

# The types of the JavaScript are checked, and its logic is tested, with Node.js.
node_modules/.done: package.json package-lock.json
	@command -v npm >/dev/null && command -v node >/dev/null || { \
	    echo "The tests of the page's JavaScript need Node.js. Missing Debian packages: nodejs npm"; \
	    echo "Install them with: sudo apt-get install nodejs npm"; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch node_modules/.done

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	for one in benchmarks/*.py; do case $$one in *trees.py|*processes.py|*against.py) ;; *) echo "== $$one"; $(BIN)/python $$one || exit 1;; esac; done

# Without the extra `demo`: pano-demo comes from its folder, and needs nothing more.
lock:
	$(BIN)/uv pip compile pyproject.toml --group dev --extra receive --extra notebook --universal --fork-strategy fewest --generate-hashes \
	    --no-header --no-annotate --quiet -o requirements.lock
	echo "uv==$$($(BIN)/uv --version | cut -d ' ' -f 2)" | $(BIN)/uv pip compile - --universal --generate-hashes \
	    --no-header --no-annotate --quiet -o requirements-build.lock

docs: setup
	$(BIN)/python tools/make_docs.py
	$(BIN)/python tools/make_notices.py

clean:
	rm -rf .venv node_modules build dist demo/dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
