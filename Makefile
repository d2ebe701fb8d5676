# Two commands matter to a newcomer: `make demo` and `make test`. Each does all of its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes

# Each of the many processes that the tests start would compile the whole program anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test chaos check format bench lock clean

demo: $(VENV)/runtime.stamp
	$(BIN)/dovecote demo

# By scope: a document's blocks build on each other, and so stay on one worker. Three workers on two cores, since what
# waits for processes that were killed or frozen needs none. conftest.py says what begins first.
test: check
	$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

# The campaigns of faults, whole: real processes that are killed, frozen and cut off. `make test` runs a part of each.
# Then two campaigns from new seeds, before a judge of their own; see docs/chaos.md.
CHAOS_MINUTES ?= 5
chaos: $(VENV)/dev.stamp
	DOVECOTE_TEST_CHAOS=1 DOVECOTE_TEST_ELECTIONS=5000 DOVECOTE_TEST_RUNS=5000 DOVECOTE_TEST_EXAMPLES=10 \
		$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder \
		chaos tests/faults tests/jobs tests/leadership tests/schedules tests/storage tests/files tests/attachments tests/stores \
		tests/enqueue tests/worker tests/judged tests/doors
	$(BIN)/python -m chaos --database sqlite --minutes $(CHAOS_MINUTES)
	$(BIN)/python -m chaos --database postgresql --minutes $(CHAOS_MINUTES)

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_sizes.py

format: $(VENV)/dev.stamp
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Everything takes about two hours: BENCH="--only delivery,latency" is a part of it, BENCH=--help tells the parts.
BENCH ?=
bench: $(VENV)/bench.stamp
	$(BIN)/python -m bench $(BENCH)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is %s: name another with PYTHON=..." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# The project itself is installed as a link to src/, built by the locked hatchling.
$(VENV)/runtime.stamp: locks/runtime.txt pyproject.toml | $(BIN)/python
	$(PIP) -r locks/runtime.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: locks/dev.txt $(VENV)/runtime.stamp
	$(PIP) -r locks/dev.txt
	@touch $@

$(VENV)/bench.stamp: locks/bench.txt $(VENV)/dev.stamp
	$(PIP) -r locks/bench.txt
	@touch $@

# Needs uv; run by whoever changes a dependency.
UV ?= uv
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
EXTRAS := --extra apscheduler --extra postgres --extra redis --extra s3
lock:
	$(COMPILE) pyproject.toml $(EXTRAS) --group build --group dev -o locks/dev.txt
	$(COMPILE) pyproject.toml $(EXTRAS) --group build -c locks/dev.txt -o locks/runtime.txt
	$(COMPILE) pyproject.toml $(EXTRAS) --group build --group bench -c locks/dev.txt -o locks/bench.txt
	for peer in locks/peers/*.in; do \
		case "$$peer" in */oban.in) python=3.12 ;; *) python=3.11 ;; esac; \
		$(subst 3.11,$$python,$(COMPILE)) "$$peer" -c locks/bench.txt -o "$${peer%.in}.txt" || exit 1; \
	done

clean:
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
