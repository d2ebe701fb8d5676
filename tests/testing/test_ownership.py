"""Whose database a test takes: never one that is in use, and it is given back as it was."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from dovecote import Dovecote, Notification
from dovecote.config import Settings, Telegram
from dovecote.stores.clock import real_microseconds
from dovecote.testing import BlockingOutbox, DatabaseInUse, Harness

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.parametrize("dovecote_database_url", ["sqlite", "postgresql"], indirect=True)
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def url(dovecote_database_url: str | None, tmp_path: Path) -> str:
    """An empty database on either."""
    return dovecote_database_url or f"sqlite:///{tmp_path / 'x.db'}"


async def enqueue(dovecote: Dovecote) -> int:
    async with dovecote.transaction() as transaction:
        return await dovecote.enqueue(transaction, Notification(bot="shop", chat_id=42, text="hello"))


async def in_use(url: str) -> None:
    async with Dovecote(url) as dovecote:
        await dovecote.migrate()
        await dovecote.add_bot("shop", token_variable="TOKEN")
        await enqueue(dovecote)


async def due(url: str) -> int:
    async with Dovecote(url) as dovecote:
        return (await dovecote.stats()).due


def test_an_outbox_in_use_is_refused_and_left_alone(url: str) -> None:
    asyncio.run(in_use(url))

    with pytest.raises(DatabaseInUse, match="dovecote_database_url"), Harness(url, start=PAST):
        pytest.fail("it was taken")

    assert asyncio.run(due(url)) == 1
    assert datetime.now(UTC) - asyncio.run(enqueued_at(url)) < timedelta(minutes=10)


def test_one_that_was_a_tests_before_is_empty_again_and_its_bot_keeps_its_id(url: str) -> None:
    with Harness(url, start=PAST) as harness:
        outbox = BlockingOutbox(harness)
        first = outbox.bot()
        asyncio.run(enqueue(harness.dovecote))
        outbox.faults.too_many_requests(retry_after=3600)
        outbox.deliver()
        ours = harness.dovecote.database

    with Harness(url, start=PAST) as harness:
        outbox = BlockingOutbox(harness)
        assert outbox.deliver() == []
        assert outbox.bot().id == first.id
        asyncio.run(enqueue(harness.dovecote))
        outbox.deliver()
        outbox.assert_sent(42, "hello", times=1)
    assert ours.url == harness.dovecote.database.url


def test_afterwards_the_time_is_the_worlds_again(url: str) -> None:
    with Harness(url, start=PAST) as harness:
        BlockingOutbox(harness).bot()
        during = asyncio.run(enqueued_at(url))
    after = asyncio.run(enqueued_at(url))

    assert during == PAST
    assert datetime.now(UTC) - after < timedelta(minutes=10)
    assert abs(real_microseconds() / 1_000_000 - datetime.now(UTC).timestamp()) < 600


def test_given_settings_are_kept_but_for_the_database_and_the_server(url: str) -> None:
    given = Settings(telegram=Telegram(largest_upload=7, base_url="https://api.telegram.org"))

    with Harness(url, settings=given) as harness:
        assert harness.dovecote.settings.telegram.largest_upload == 7
        assert harness.dovecote.settings.telegram.base_url == harness.emulator.url
        assert BlockingOutbox(harness).bot().name == "shop"
    assert given.telegram.base_url == "https://api.telegram.org"


async def enqueued_at(url: str) -> datetime:
    async with Dovecote(url) as dovecote:
        return (await dovecote.notification(await enqueue(dovecote))).enqueued_at
