"""Bots of both frameworks on a fresh SQLite outbox, and the emulator over real HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from deliveries import Delivery, fresh_outbox
from framework_bots import FRAMEWORKS

from dovecote.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from framework_bots import FrameworkBot


@pytest.fixture
def outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database: SQLite, for what is tested here is the same on both."""
    request.param = "sqlite"
    yield from fresh_outbox(request, tmp_path)


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator of the test's own."""
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def parts(outbox_url: str, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Delivery]:
    """A Dovecote with files and the bot "shop", which has no pace."""
    parts = Delivery(outbox_url, emulator.url, files=tmp_path / "files")
    await parts.bot()
    # On a busy machine even a good database may take its time.
    parts.dovecote.direct._patience = 60
    yield parts
    await parts.dovecote.close()


@pytest_asyncio.fixture(params=FRAMEWORKS)
async def bot(
    request: pytest.FixtureRequest, parts: Delivery, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FrameworkBot]:
    """A bot of one framework."""
    # Without it python-telegram-bot warns that its number of seconds will be a timedelta.
    monkeypatch.setenv("PTB_TIMEDELTA", "true")
    bot: FrameworkBot = FRAMEWORKS[request.param](parts.dovecote, emulator)
    await bot.start()
    yield bot
    await bot.stop()
