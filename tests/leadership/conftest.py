"""Every test of a lease store runs over Redis (Valkey), a PostgreSQL row and a SQLite row, fresh ones each time."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from leases import DatabaseArena, LeaseArena, RedisArena
from migrated import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from databases import PostgresDatabases

STORES = ["redis", "sqlite", "postgresql"]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "x.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def lite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite database."""
    shutil.copy(migrated_sqlite, tmp_path / "x.db")
    return f"sqlite:///{tmp_path}/x.db"


@pytest.fixture
def server_url(postgres: PostgresDatabases) -> Iterator[str]:
    """The URL of a fresh, migrated PostgreSQL database."""
    url = postgres.create_database(postgres.template("migrated", migrate))
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database of either kind."""
    url: str = request.getfixturevalue("lite_url" if request.param == "sqlite" else "server_url")
    return url


@pytest_asyncio.fixture(params=STORES)
async def arena(request: pytest.FixtureRequest) -> AsyncIterator[LeaseArena]:
    """One lease, the stores that several instances have of it, and its clock."""
    made: LeaseArena
    if request.param == "redis":
        made = RedisArena(request.getfixturevalue("valkey_url"))
    else:
        made = DatabaseArena(request.getfixturevalue("lite_url" if request.param == "sqlite" else "server_url"))
    await made.prepare()
    yield made
    await made.close()
