# Every target does its own set-up and can be repeated.
PYTHON ?= python3
BIN := .venv/bin
BUILD_INPUTS := pyproject.toml constraints.txt setup.py sam_core/built_library.py sam_core/decoding/native/sources.py sam_core/masks/rle_library.py $(wildcard sam_core/decoding/native/*.c sam_core/decoding/native/*.h sam_core/masks/*.c)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
# pip compiles on one core, this on all. Where PYTHONDONTWRITEBYTECODE is set, as in many container images, each Ray
# process would otherwise compile all its imports again. Some packages contain templates that are not Python: -qq and
# "|| true" ignore their errors, -W the warnings that Python 3.14 has of them.
COMPILE := $(BIN)/python -W ignore::SyntaxWarning -m compileall -qq -j 0 .venv/lib sam_label sam_core pipeline jobs tests || true
SOURCES := sam_label sam_core pipeline jobs tests setup.py

.PHONY: demo test chromium check fix bench bench-embeddings bench-reading chaos parity wheel clean

demo: .venv/installed
	$(BIN)/sam-label run jobs/demo/photos demo-output --config jobs/demo/demo.toml
	$(BIN)/sam-label preview demo-output

# Half of the tests wait (for Ray, for servers, for heartbeats), so two at a time keep two cores busy, with one
# torch thread each. Three at a time are no faster. Files run in order, so the long ones, in chaos/, start first.
test: .venv/installed-dev chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The browser that the report's page is tested in, Debian's own.
chromium:
	@command -v chromium > /dev/null || { \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; } \
	    || { echo "the tests need the package chromium: sudo apt-get install chromium" >&2; exit 1; }; \
	  echo "installing chromium"; \
	  apt-get install -y -qq --no-install-recommends chromium > /dev/null 2>&1 \
	    || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium > /dev/null; } \
	    || { echo "chromium cannot be installed: try apt-get install chromium" >&2; exit 1; }; \
	}

check: .venv/installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

fix: .venv/installed-dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/python -m jobs.options.option_table > docs/options.md
	$(BIN)/python -m sam_label.api_page > docs/api.md

# Measures the figures that the README promises. It takes an hour; 200 random kills are a third of it.
chaos: .venv/installed-dev
	$(BIN)/python tests/chaos/figures.py

# Checks every point of the default grid on every photo; `make test` skips most points that give no mask.
parity: .venv/installed-dev
	EVERY_NTH_POINT=1 $(BIN)/python -m pytest tests/parity/test_golden.py

# Builds an sdist and one wheel for each platform, for every Python version; zig cross-compiles.
wheel: .venv/installed-dev
	for platform in linux-x86_64 linux-aarch64 macosx-11.0-arm64; do \
		_PYTHON_HOST_PLATFORM=$$platform $(BIN)/python -m build --no-isolation --outdir dist . || exit 1; \
	done
	cp constraints.txt dist/

bench: .venv/installed-dev
	$(BIN)/python tests/bench/bench_generator.py

bench-embeddings: .venv/installed-dev
	$(BIN)/python tests/bench/bench_embeddings.py

bench-reading: .venv/installed-dev
	$(BIN)/python tests/bench/bench_reading.py

clean:
	rm -rf .venv build dist demo-output *.egg-info sam_core/decoding/native/*.so sam_core/masks/*.so

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { echo "sam-label needs Python 3.11 to 3.14, as Ray does; name one with: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "this Python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

.venv/installed: .venv/created $(BUILD_INPUTS)
	@echo "installing into .venv: some minutes the first time"
	$(PIP_INSTALL) -e .
	@$(COMPILE)
	@touch $@

.venv/installed-dev: .venv/created $(BUILD_INPUTS)
	$(PIP_INSTALL) -e '.[dev]'
	@$(COMPILE)
	@touch .venv/installed $@
