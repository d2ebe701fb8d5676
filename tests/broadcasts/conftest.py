"""Broadcasts that are delivered: an outbox of each kind, and an emulator of the Bot API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from deliveries import Delivery, delivery, fresh_outbox

from dovecote.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database: SQLite, unless the test's parameter says which."""
    request.param = getattr(request, "param", "sqlite")
    yield from fresh_outbox(request, tmp_path)


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def shop(outbox_url: str, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Delivery]:
    """An outbox with a bot that has no limits, whose Bot API is the emulator."""
    async with delivery(outbox_url, emulator.url, files=tmp_path / "files") as parts:
        yield parts
