"""Every test of enqueue runs over every kind of connection, on a fresh migrated database each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from applications import KINDS, LIKE_OTHERS, SYNC, SYNC_KINDS, through
from campaigns import campaign
from migrated import migrate
from outboxes import Outbox

from dovecote.stores.enqueue import Enqueuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from applications import Application, Opener
    from databases import PostgresDatabases


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "x.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def migrated_sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated database."""
    shutil.copy(migrated_sqlite, tmp_path / "outbox.db")
    return f"sqlite:///{tmp_path}/outbox.db"


@pytest.fixture
def migrated_postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    url = postgres.create_database(postgres.template("migrated", migrate))
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=campaign([*KINDS, *SYNC_KINDS], always={*KINDS, *SYNC_KINDS} - LIKE_OTHERS))
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of connection."""
    name: str = request.param
    return name


@pytest.fixture
def opener(kind: str) -> Opener:
    """Opens connections of the kind."""
    return KINDS[kind.removesuffix(SYNC)]


@pytest_asyncio.fixture
async def outbox(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Outbox]:
    """An outbox in the kind's database, whose clock stands at `outboxes.START`, with one bot, "shop"."""
    outbox = Outbox(request.getfixturevalue(f"migrated_{'sqlite' if kind.startswith('sqlite') else 'postgres'}_url"))
    await outbox.stop_clock()
    await outbox.bot()
    yield outbox
    await outbox.close()


@pytest.fixture
def enqueuer(outbox: Outbox, kind: str) -> Enqueuer:
    """Writes into the outbox, by its clock."""
    return through(kind, Enqueuer(outbox.database, clock=outbox._microseconds))


@pytest_asyncio.fixture
async def application(outbox: Outbox, opener: Opener) -> AsyncIterator[Application]:
    """An application with a connection of the kind, in a transaction."""
    async with opener(url_of(outbox)) as application:
        yield application


def url_of(outbox: Outbox) -> str:
    """With its password."""
    return outbox.database.url.render_as_string(hide_password=False)
