"""Every test of a store runs on SQLite and on two versions of PostgreSQL, on a fresh migrated database each.

On the older version every test run does the migrations, the plans and what else names it; `make chaos` does all.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from migrated import migrate
from outboxes import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from databases import PostgresDatabases

DATABASES = ["sqlite", "postgresql-18", pytest.param("postgresql-17", marks=pytest.mark.chaos)]
SERVERS = {"postgresql-18": "postgres", "postgresql-17": "postgres17"}


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "x.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=DATABASES)
def outbox_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "x.db")
        yield f"sqlite:///{tmp_path}/x.db"
        return
    server: PostgresDatabases = request.getfixturevalue(SERVERS[request.param])
    url = server.create_database(server.template("migrated", migrate))
    yield url
    server.drop_database(url)


@pytest_asyncio.fixture
async def outbox(outbox_database: str) -> AsyncIterator[Outbox]:
    """An outbox whose clock stands at `outboxes.START`, with one bot, "shop", that has no limits."""
    outbox = Outbox(outbox_database)
    await outbox.stop_clock()
    await outbox.bot()
    yield outbox
    await outbox.close()
