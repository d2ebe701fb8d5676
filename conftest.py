"""What every test can ask for, and what runs the documents' code. At the root, for README.md is here.

DOVECOTE_TEST_POSTGRES   the URL of a PostgreSQL server to use in place of the wheel's; its user creates databases
DOVECOTE_TEST_VALKEY     the URL of a Redis or Valkey to use in place of the wheel's; its database 1 is emptied
DOVECOTE_TEST_CHAOS      1 for the whole campaigns of faults (`make chaos`); without it a part of each runs
DOVECOTE_TEST_ELECTIONS  how many elections are simulated; 200 unless told
DOVECOTE_TEST_RUNS       how many runs the simulation of schedules makes, 300 where it is not set
DOVECOTE_TEST_SEED       the seed of a run that is to be repeated; a failing test prints its own
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from databases import PostgresDatabases
from documents import collector
from servers import PostgresServer
from valkey_servers import GivenValkey, ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# A run in the background may have been started with interrupts ignored, and the programs under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["pytester"]
# The blocks of docs/testing.md are files of tests: tests/testing/test_documented.py runs them.
pytest_collect_file = collector(
    Path(__file__).parent, "README.md", "docs/*.md", "docs/*/*.md", excludes=("docs/testing.md",)
)

SEED = os.environ.get("DOVECOTE_TEST_SEED") or str(random.SystemRandom().getrandbits(32))

# No deadline: on a busy machine it would judge the machine. In CI the examples are the same in every run, so that red
# means the change and not the luck of the draw; everywhere else they are new each time, which is how faults are found.
hypothesis.settings.register_profile("local", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


# What takes longest begins first, or one of several workers would still be at it when the others have nothing left.
LONGEST = (
    "tests/stores/test_state_machine.py",
    "tests/faults/test_schedulers.py",
    "tests/jobs/test_processes.py",
    "tests/stores/test_postgresql_plans.py",
    "tests/faults/test_workers_killed.py",
    "tests/judged/test_campaign.py",
    "tests/worker/test_true_rate.py",
    "tests/attachments/test_turns.py",
    "tests/leadership/test_election_processes.py",
    "tests/cli/test_cli_demo.py",
    "tests/examples/test_examples.py",
    "tests/worker/test_memory.py",
    "tests/django_app/test_example.py",
    "tests/worker/test_wrong_clocks.py",
    "tests/test_servers.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and leave the rest of the campaigns to `make chaos`."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))
    if os.environ.get("DOVECOTE_TEST_CHAOS") == "1":
        return
    rest = [item for item in items if item.get_closest_marker("chaos") is not None]
    if rest:
        config.hook.pytest_deselected(items=rest)
        items[:] = [item for item in items if item.get_closest_marker("chaos") is None]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with a failure how to draw the same numbers again."""
    report = yield
    if report.failed and "seed" in getattr(item, "fixturenames", ()):
        report.sections.append(("seed", f"repeat with DOVECOTE_TEST_SEED={SEED}"))
    return report


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of this test's own: the same again for the same DOVECOTE_TEST_SEED, whatever else runs."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabases]:
    """PostgreSQL 18, or the server that DOVECOTE_TEST_POSTGRES names. Shared: not to be stopped by a test."""
    if given := os.environ.get("DOVECOTE_TEST_POSTGRES"):
        databases = PostgresDatabases(given)
        yield databases
        databases.drop_templates()
    else:
        with PostgresServer(18) as server:
            yield server


@pytest.fixture(scope="session")
def postgres17() -> Iterator[PostgresServer]:
    """PostgreSQL 17. Shared: not to be stopped by a test."""
    with PostgresServer(17) as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL 18 of the test's own, running: to be killed, frozen, restarted."""
    with PostgresServer(18) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def postgres17_url(postgres17: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database on PostgreSQL 17."""
    url = postgres17.create_database()
    yield url
    postgres17.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path}/x.db"


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer | GivenValkey]:
    """Valkey, or the server that DOVECOTE_TEST_VALKEY names. Shared: not to be stopped by a test."""
    if given := os.environ.get("DOVECOTE_TEST_VALKEY"):
        yield GivenValkey(given)
    else:
        with ValkeyServer() as server:
            yield server


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey of the test's own, running: to be killed, frozen, restarted."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey_url(valkey: ValkeyServer | GivenValkey) -> str:
    """The URL of an empty database, number 1."""
    valkey.flush()
    return valkey.url
