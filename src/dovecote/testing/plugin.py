"""The pytest plugin: fixtures for the tests of an application. pytest finds it by itself.

No fixture is a coroutine, so the tests may be of any kind. What a fixture needs is imported when it is asked for:
this module is loaded in every run of pytest, also in those that have nothing to do with Dovecote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from dovecote.app import Dovecote
    from dovecote.config import Settings
    from dovecote.emulator import Emulator
    from dovecote.testing.clock import ManualClock
    from dovecote.testing.harness import Harness
    from dovecote.testing.outbox import BlockingOutbox, Outbox


@pytest.fixture
def dovecote_database_url() -> str | None:
    """The URL of a database for tests alone; None is a SQLite file of the test's own. To be overridden."""
    return None


@pytest.fixture
def dovecote_start() -> datetime | None:
    """What the clock begins at, an aware datetime; None is the present second. To be overridden."""
    return None


@pytest.fixture
def dovecote_settings() -> Settings | None:
    """Settings for all but the database and the Bot API server; None is the defaults. To be overridden."""
    return None


@pytest.fixture
def dovecote_harness(
    dovecote_database_url: str | None, dovecote_start: datetime | None, dovecote_settings: Settings | None
) -> Iterator[Harness]:
    """All of it: what the other fixtures are parts of."""
    from dovecote.testing.harness import Harness  # noqa: PLC0415 (see the head)

    with Harness(dovecote_database_url, start=dovecote_start, settings=dovecote_settings) as harness:
        yield harness


@pytest.fixture
def outbox(dovecote_harness: Harness) -> Outbox:
    """For a test that is a coroutine: deliver, and look at what was sent."""
    from dovecote.testing.outbox import Outbox  # noqa: PLC0415 (see the head)

    return Outbox(dovecote_harness)


@pytest.fixture
def blocking_outbox(dovecote_harness: Harness) -> BlockingOutbox:
    """For a test that is a plain function: deliver, and look at what was sent."""
    from dovecote.testing.outbox import BlockingOutbox  # noqa: PLC0415 (see the head)

    return BlockingOutbox(dovecote_harness)


@pytest.fixture
def dovecote(dovecote_harness: Harness) -> Dovecote:
    """A Dovecote on a database of the test's own, for the application to enqueue with."""
    return dovecote_harness.dovecote


@pytest.fixture
def dovecote_clock(dovecote_harness: Harness) -> ManualClock:
    """The time, which stands still until it is moved."""
    return dovecote_harness.clock


@pytest.fixture
def dovecote_emulator(dovecote_harness: Harness) -> Emulator:
    """The Bot API server, listening on a port of this machine."""
    return dovecote_harness.emulator
