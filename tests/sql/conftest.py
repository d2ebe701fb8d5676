"""An outbox on PostgreSQL, and an application that speaks SQL alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from databases import connect
from migrated import migrate
from outboxes import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import psycopg
    from databases import PostgresDatabases


@pytest.fixture
def migrated_postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    url = postgres.create_database(postgres.template("migrated", migrate))
    yield url
    postgres.drop_database(url)


@pytest_asyncio.fixture
async def outbox(migrated_postgres_url: str) -> AsyncIterator[Outbox]:
    """An outbox whose clock stands at `outboxes.START`, with one bot, "shop"."""
    outbox = Outbox(migrated_postgres_url)
    await outbox.stop_clock()
    await outbox.bot()
    yield outbox
    await outbox.close()


@pytest.fixture
def application(outbox: Outbox) -> Iterator[psycopg.Connection]:
    """A connection of an application that knows SQL alone, in autocommit."""
    with connect(outbox.database.url.render_as_string(hide_password=False)) as connection:
        yield connection
