"""What python-telegram-bot would send goes into the outbox as it would have sent it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import PNG
from telegram import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    InputMediaPhoto,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
)
from telegram.ext import Defaults, ExtBot

from dovecote import Attachment, InvalidNotification, Notification, Priority
from dovecote.integrations.telegram import Outbox

if TYPE_CHECKING:
    from pathlib import Path

    from deliveries import Delivery

    from dovecote.emulator import Emulator

KEYBOARD = InlineKeyboardMarkup([[InlineKeyboardButton("Open", callback_data="open:17")]])


async def test_a_call_becomes_the_same_call(parts: Delivery) -> None:
    outbox = Outbox(parts.dovecote, "shop")

    made = await outbox.notification(
        lambda bot: bot.send_message(
            42,
            "<b>On its way</b>",
            parse_mode="HTML",
            reply_markup=KEYBOARD,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
            reply_parameters=ReplyParameters(message_id=7, quote="order"),
            entities=[MessageEntity("bold", 0, 2)],
        ),
        key="order-17",
        priority=Priority.URGENT,
    )

    assert made == Notification(
        bot="shop",
        chat_id=42,
        method="sendMessage",
        params={
            "text": "<b>On its way</b>",
            "parse_mode": "HTML",
            "entities": [{"type": "bold", "offset": 0, "length": 2}],
            "reply_markup": {"inline_keyboard": [[{"text": "Open", "callback_data": "open:17"}]]},
            "link_preview_options": {"is_disabled": True},
            "reply_parameters": {"message_id": 7, "quote": "order"},
        },
        key="order-17",
        priority=Priority.URGENT,
    )


async def test_the_applications_defaults_fill_in_what_is_left_out(parts: Delivery) -> None:
    defaults = Defaults(
        parse_mode="HTML", protect_content=True, link_preview_options=LinkPreviewOptions(is_disabled=True)
    )
    client: ExtBot[None] = ExtBot("1:x", defaults=defaults)
    outbox = Outbox(parts.dovecote, "shop", client=client)

    filled = await outbox.notification(lambda bot: bot.send_message(42, "<i>x</i>"))
    said = await outbox.notification(lambda bot: bot.send_message(42, "x", parse_mode=None, protect_content=False))

    assert filled.params == {
        "text": "<i>x</i>",
        "parse_mode": "HTML",
        "protect_content": True,
        "link_preview_options": {"is_disabled": True},
    }
    assert said.params["protect_content"] is False
    assert "parse_mode" not in said.params


async def test_times_are_written_as_telegram_writes_them(parts: Delivery) -> None:
    closes = datetime(2026, 6, 1, 9, tzinfo=UTC)

    poll = await Outbox(parts.dovecote, "shop").notification(
        lambda bot: bot.send_poll(42, "Tea?", ["Yes", "No"], close_date=closes)
    )

    assert poll.params["close_date"] == int(closes.timestamp())
    assert [option["text"] for option in poll.params["options"]] == ["Yes", "No"]


async def test_it_is_written_in_the_handlers_transaction(parts: Delivery, outbox_url: str) -> None:
    outbox = Outbox(parts.dovecote, "shop")
    with closing(sqlite3.connect(outbox_url.removeprefix("sqlite:///"))) as connection:
        await outbox.enqueue(connection, lambda bot: bot.send_message(42, "never"))
        connection.rollback()
        kept = await outbox.enqueue(connection, lambda bot: bot.send_message(42, "kept"), key="k")
        again = await outbox.enqueue(connection, lambda bot: bot.send_message(42, "kept"), key="k")
        connection.commit()

    stats = await parts.dovecote.stats()
    assert (stats.due, again) == (1, kept)
    assert (await parts.dovecote.notification(kept)).params["text"] == "kept"


async def test_files_are_stored_once_attached_and_delivered(
    parts: Delivery, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "tour.pdf").write_bytes(b"%PDF-1.7 the tour")
    outbox = Outbox(parts.dovecote, "shop")
    made = [
        await outbox.notification(lambda bot: bot.send_photo(42, PNG, caption="x")),
        await outbox.notification(lambda bot: bot.send_document(43, tmp_path / "tour.pdf", thumbnail=PNG)),
        await outbox.notification(
            lambda bot: bot.send_media_group(44, [InputMediaPhoto(PNG), InputMediaPhoto(PNG)], caption="The tour")
        ),
        await outbox.notification(lambda bot: bot.send_photo(45, "https://example.com/a.png")),
    ]

    await parts.enqueue(*made)
    await parts.dovecote.worker().run(until_empty=True)

    assert (await parts.dovecote.stats()).delivered == 4
    assert len(await parts.dovecote.files.list()) == 2
    document = made[1].params["document"]
    assert isinstance(document, Attachment)
    assert document.name == "tour.pdf"
    sent = {record.chat_id: record.parameters for record in emulator.accepted}
    assert sent[42]["caption"] == "x"
    assert "thumbnail" in sent[43]
    assert sent[45]["photo"] == "https://example.com/a.png"


async def test_an_open_file_is_read_as_it_is_stored(parts: Delivery, tmp_path: Path) -> None:
    (tmp_path / "tour.pdf").write_bytes(b"%PDF-1.7 the tour")
    outbox = Outbox(parts.dovecote, "shop")

    with (tmp_path / "tour.pdf").open("rb") as file:
        made = await outbox.notification(
            lambda bot: bot.send_document(43, InputFile(file, filename="Order 17.pdf", read_file_handle=False))
        )

    document = made.params["document"]
    assert document.name == "Order 17.pdf"
    assert await parts.dovecote.files.get(document.file.id) == b"%PDF-1.7 the tour"


async def test_a_call_that_sends_nothing_is_refused(parts: Delivery) -> None:
    async def nothing(_bot: Any) -> str:
        return "done"

    with pytest.raises(InvalidNotification, match="it answered 'done' and sent nothing"):
        await Outbox(parts.dovecote, "shop").notification(nothing)


async def test_an_object_behind_a_button_is_refused(parts: Delivery) -> None:
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Open", callback_data=object())]])
    made = await Outbox(parts.dovecote, "shop").notification(
        lambda bot: bot.send_message(42, "hello", reply_markup=keyboard)
    )

    with pytest.raises(InvalidNotification, match=r"callback_data.*cannot be written as JSON"):
        await parts.enqueue(made)
