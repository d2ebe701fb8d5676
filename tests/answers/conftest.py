"""The whole engine against the emulator, on a fresh migrated SQLite database each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from answering import QUICK, Table
from deliveries import delivery, fresh_outbox

from dovecote.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite"])
def outbox_url(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    yield from fresh_outbox(request, tmp_path)


@pytest_asyncio.fixture
async def table(outbox_url: str) -> AsyncIterator[Table]:
    """A Dovecote whose pauses between tries are short."""
    async with Emulator() as emulator, delivery(outbox_url, emulator.url, retry=QUICK) as parts:
        yield Table(parts, emulator)
