"""Comparing the two paths: by hand-written sequences, and by a table and the emulator."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from dovecote import InvalidConfiguration, Notification, TelegramUnavailable
from dovecote.moving import Comparison, Delivery, OldTable, compare
from dovecote.moving.shadow import check_emulator, compared

if TYPE_CHECKING:
    from old_outbox import OldOutbox

    from dovecote import Dovecote
    from dovecote.testing import Outbox

on_both = pytest.mark.parametrize("dovecote_database_url", ["sqlite", "postgresql"], indirect=True)
START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def dovecote_start() -> datetime:
    return START


def message(chat: int, text: str) -> Delivery:
    return Delivery(str(chat), "sendMessage", text)


A, B, C, OTHER = message(1, "a"), message(1, "b"), message(1, "c"), message(2, "a")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [], Comparison(0, [], [], [])),
        ([A, OTHER, B], [OTHER, A, B], Comparison(3, [], [], [])),
        ([A, B], [B, A], Comparison(2, [], [], ["1"])),
        ([A, B, C], [A, C], Comparison(2, [B], [], [])),
        ([A], [A, A], Comparison(1, [], [A], [])),
        ([A, A], [A], Comparison(1, [A], [], [])),
        ([A, B], [OTHER], Comparison(0, [A, B], [OTHER], [])),
        ([B, A, C], [A, C, OTHER], Comparison(2, [B], [OTHER], [])),
    ],
)
def test_two_sequences(old: list[Delivery], new: list[Delivery], expected: Comparison) -> None:
    found = compared(old, new)

    assert found == expected
    assert found.agrees == (sorted(old) == sorted(new) and not expected.reordered)


def test_many_chats_are_compared_in_a_moment() -> None:
    sent = [message(chat, "a") for chat in range(20_000)]
    begun = time.process_time()

    found = compared(sent, sent)

    assert found == Comparison(20_000, [], [], [])
    assert time.process_time() - begun < 5


OLD = OldTable.model_validate(
    {
        "bot": "shop",
        "table": "old_outbox",
        "columns": {"id": "id", "chat_id": "chat", "text": "body", "params": "payload"},
        "waiting": {"where": "state = 'new'", "afterwards": "keep"},
        "sent": {"where": "state = 'sent'", "sent_at": "send_at"},
    }
)


@on_both
async def test_what_the_table_says_and_what_arrived(dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox) -> None:
    markup = {"inline_keyboard": [[{"text": "Track", "url": "https://shop.example/1"}]]}
    payload = '{"reply_markup": {"inline_keyboard": [[{"url": "https://shop.example/1", "text": "Track"}]]}}'
    await old_outbox.put(1, state="sent", payload=payload)
    await old_outbox.put(2, 3, 5, state="sent")
    await old_outbox.put(4)
    for id_ in (1, 2, 3, 5):
        at = START + timedelta(hours=id_ if id_ != 5 else -1)
        await old_outbox.sql(
            "UPDATE old_outbox SET send_at = :at WHERE id = :id",
            id=id_,
            at=at if dovecote.database.is_postgresql else at.isoformat(),
        )
    async with dovecote.transaction() as transaction:
        notes = [
            Notification(bot="shop", chat_id=42, text="text 1", params={"reply_markup": markup}),
            Notification(bot="shop", chat_id=42, text="text 3"),
            Notification(bot="shop", chat_id=43, text="text 2"),
        ]
        await dovecote.enqueue(transaction, notes)
    await outbox.deliver()

    found = await compare(dovecote, OLD, since=START)

    assert found.same == 2
    assert [(each.chat, each.params) for each in found.missing] == [("42", '{"text": "text 2"}')]
    assert [(each.chat, each.params) for each in found.extra] == [("43", '{"text": "text 2"}')]
    assert found.reordered == []
    assert len((await compare(dovecote, OLD)).missing) == 2
    assert (await compare(dovecote, OLD, since=START + timedelta(days=1))).agrees


async def test_without_what_was_sent_there_is_nothing_to_compare(dovecote: Dovecote, old_outbox: OldOutbox) -> None:
    del old_outbox
    with pytest.raises(InvalidConfiguration, match="sent: "):
        await compare(dovecote, OLD.model_copy(update={"sent": None}))


class Elsewhere(BaseHTTPRequestHandler):
    """A Bot API server that is no emulator."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_only_an_emulator_is_an_emulator() -> None:
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            with pytest.raises(InvalidConfiguration, match="is no emulator, so what is sent there is real"):
                asyncio.run(check_emulator(url))
        finally:
            server.shutdown()
            thread.join()
    with pytest.raises(TelegramUnavailable, match="nobody answers at"):
        asyncio.run(check_emulator(url))
