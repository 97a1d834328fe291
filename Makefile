# make search: the main job. make zero-shot: characters by their names. make test: the tests. make check: lint, format, spelling, types. make slow: the long tests. make docs: the site. make reference: its reference pages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Four processes on two cores: a test of Ray mostly waits.
PROCESSES := -n 4 --dist loadscope --no-loadscope-reorder
NOW := $(shell date +%Y%m%d-%H%M%S)
RUN ?= digits-$(NOW)
GLYPHS ?= glyphs-$(NOW)

.PHONY: search zero-shot test coverage slow check docs reference format benchmarks studies clean

search: $(VENV)/installed
	$(BIN)/archsieve search examples/digits.toml --name $(RUN)

zero-shot: $(VENV)/installed
	$(BIN)/archsieve search examples/glyphs.toml --name $(GLYPHS)

test: $(VENV)/installed-test
	$(BIN)/pytest $(PROCESSES)

coverage: $(VENV)/installed-test
	$(BIN)/pytest $(PROCESSES) --cov=archsieve --cov-report=term --cov-fail-under=90

slow: $(VENV)/installed-test
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[browser]'
	$(BIN)/pytest -m slow

check: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	rm -rf build/lib build/wheel build/types # a module that was moved stays in build/lib
	$(BIN)/pip wheel -q --no-deps --wheel-dir build/wheel .
	$(BIN)/pip install -q --no-deps --target build/types build/wheel/*.whl
	MYPYPATH=build/types $(BIN)/mypy -p archsieve

docs: $(VENV)/installed-docs
	rm -rf build/docs .cache
	$(BIN)/zensical build --clean --strict
	@! grep -rnE '<(script|link|img)[^>]+(src|href)="(https?:)?//' build/docs --include='*.html' # nothing from elsewhere

reference: $(VENV)/installed
	$(BIN)/python docs/reference_pages.py

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: $(VENV)/installed-test
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[benchmarks]'
	$(BIN)/python benchmarks/run_all.py

studies: $(VENV)/installed
	$(BIN)/python examples/studies.py

clean:
	rm -rf build *.egg-info

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("archsieve needs Python 3.11 or newer, but this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# The ordinary packages from the index, torch's CUDA builds included (they run on a CPU): about 5 GB, once.
$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing archsieve and what it needs; the first time takes a few minutes"
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@
