"""A running service collects: the loop is one of the leader's, and goes with the settings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from migrated import migrate

from dovecote import Dovecote, Service, UnknownFile
from dovecote.config import Settings

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_service_collects_what_nobody_needs_as_its_leader(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/x.db"
    migrate(database)
    settings = Settings.model_validate(
        {
            "database": {"url": database},
            "files": {"grace": "1ms", "collect_interval": "50ms"},
            "leadership": {"lease": "2s", "renew_interval": "500ms", "poll_interval": "100ms"},
        }
    )
    async with Dovecote(settings=settings) as dovecote:
        kept = await dovecote.files.put(b"kept", keep=True)
        unneeded = await dovecote.files.put(b"unneeded")
        service = Service(dovecote, http=False)
        running = asyncio.create_task(service.run())

        async with asyncio.timeout(30):
            while len(await dovecote.files.list()) > 1:  # noqa: ASYNC110 - the loop tells nobody
                await asyncio.sleep(0.02)
        assert "files" in service.loops
        service.stop()
        await asyncio.wait_for(running, 30)

        assert await dovecote.files.get(kept.id) == b"kept"
        with pytest.raises(UnknownFile):
            await dovecote.files.info(unneeded.id)
