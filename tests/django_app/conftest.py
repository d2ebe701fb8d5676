"""A Django project with an outbox in one of its databases; the users and sessions of its admin are in memory."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest
from django_world import Project, database_of, set_up
from migrated import migrate
from outboxes import Outbox

set_up()  # Before the modules of the tests, which import what needs it.

from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import override_settings  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from databases import PostgresDatabases


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "x.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "shop.db")
        yield f"sqlite:///{tmp_path}/shop.db"
    else:
        postgres: PostgresDatabases = request.getfixturevalue("postgres")
        url = postgres.create_database(postgres.template("migrated", migrate))
        yield url
        postgres.drop_database(url)


@pytest.fixture
def project(database: str) -> Iterator[Project]:
    """A project whose outbox has the bot "shop"."""
    outbox = Outbox(database)
    asyncio.run(outbox.bot())
    with database_of(database) as (alias, _), override_settings(DOVECOTE={"using": alias}):
        yield Project(alias, outbox)
        connections[alias].close()
    asyncio.run(outbox.close())


@pytest.fixture(scope="session")
def users() -> None:
    """The tables of users and sessions, in the memory of this thread."""
    call_command("migrate", verbosity=0)
