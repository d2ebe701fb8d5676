"""Attachments are tested on SQLite and on PostgreSQL, with files in memory and the emulator over real HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from attaching import Attaching, attaching
from deliveries import fresh_outbox

from dovecote.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    yield from fresh_outbox(request, tmp_path)


@pytest.fixture
def postgresql_outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same, on PostgreSQL."""
    request.param = "postgresql"
    yield from fresh_outbox(request, tmp_path)


@pytest_asyncio.fixture
async def parts(outbox_url: str, tmp_path: Path) -> AsyncIterator[Attaching]:
    """A Dovecote with files, and an emulator."""
    async with Emulator() as emulator, attaching(outbox_url, emulator, tmp_path / "files") as parts:
        yield parts
