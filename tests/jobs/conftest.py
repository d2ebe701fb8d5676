"""Jobs run on SQLite and on PostgreSQL, on a fresh migrated database each, with one bot; nothing is left of others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import job_functions
import pytest
import pytest_asyncio
from deliveries import fresh_outbox

from dovecote.app import Dovecote
from dovecote.config import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    yield from fresh_outbox(request, tmp_path)


@pytest_asyncio.fixture
async def url(migrated_url: str) -> AsyncIterator[str]:
    """The same, with a bot."""
    job_functions.CALLS.clear()
    job_functions.FAIL.clear()
    job_functions.GATE = asyncio.Event()
    async with Dovecote(migrated_url, settings=Settings()) as dovecote:
        await dovecote.add_bot("shop", token_variable="TOKEN", pace=None, private_limit=None, group_limit=None)
    yield migrated_url
