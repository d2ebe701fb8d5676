"""What most tests of the emulator ask for. Some have an emulator of their own in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio
from emulator_client import TOKEN, aiogram_bot

from dovecote.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiogram


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(tokens=[TOKEN]) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def bot(emulator: Emulator) -> AsyncIterator[aiogram.Bot]:
    async with aiogram_bot(emulator) as bot:
        yield bot
