"""What aiogram would send goes into the outbox as aiogram would have sent it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiogram
import pytest
from aiogram.client.default import DefaultBotProperties
from aiogram.methods import EditMessageText, SendDocument, SendMediaGroup, SendMessage, SendPhoto, SendPoll
from aiogram.types import (
    BufferedInputFile,
    FSInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    Message,
    MessageEntity,
    ReplyParameters,
    URLInputFile,
)
from aiogram.utils.formatting import Bold, Text
from aiogram.utils.media_group import MediaGroupBuilder
from emulator_client import PNG
from framework_bots import message

from dovecote import Attachment, InvalidNotification, Notification, Priority
from dovecote.integrations.aiogram import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from deliveries import Delivery

    from dovecote.emulator import Emulator

KEYBOARD = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="Open", callback_data="open:17")]])
HOUSE = DefaultBotProperties(
    parse_mode="HTML", link_preview_is_disabled=True, protect_content=True, allow_sending_without_reply=True
)


@pytest.fixture
async def client() -> AsyncIterator[aiogram.Bot]:
    async with aiogram.Bot("1:x", default=HOUSE).context() as client:
        yield client


async def test_a_method_object_becomes_the_same_call(parts: Delivery) -> None:
    outbox = Outbox(parts.dovecote, "shop")

    made = await outbox.notification(
        SendMessage(
            chat_id=42,
            text="<b>On its way</b>",
            parse_mode="HTML",
            reply_markup=KEYBOARD,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
            reply_parameters=ReplyParameters(message_id=7, quote="order"),
        ),
        key="order-17",
        priority=Priority.URGENT,
        labels=["orders"],
    )

    assert made == Notification(
        bot="shop",
        chat_id=42,
        method="sendMessage",
        params={
            "text": "<b>On its way</b>",
            "parse_mode": "HTML",
            "reply_markup": {"inline_keyboard": [[{"text": "Open", "callback_data": "open:17"}]]},
            "link_preview_options": {"is_disabled": True},
            "reply_parameters": {"message_id": 7, "quote": "order"},
        },
        key="order-17",
        priority=Priority.URGENT,
        labels=["orders"],
    )


async def test_default_properties_of_the_bot_fill_in_what_is_left_out(parts: Delivery, client: aiogram.Bot) -> None:
    outbox = Outbox(parts.dovecote, "shop", client=client)
    reply = ReplyParameters(message_id=7)

    filled = await outbox.notification(SendMessage(chat_id=42, text="<i>x</i>", reply_parameters=reply))
    said = await outbox.notification(SendMessage(chat_id=42, text="x", parse_mode=None, protect_content=False))

    assert filled.params == {
        "text": "<i>x</i>",
        "parse_mode": "HTML",
        "protect_content": True,
        "link_preview_options": {"is_disabled": True},
        "disable_web_page_preview": True,
        "reply_parameters": {"message_id": 7, "allow_sending_without_reply": True, "quote_parse_mode": "HTML"},
    }
    assert "parse_mode" not in said.params
    assert said.params["protect_content"] is False


async def test_what_a_message_builds_needs_no_chat_and_no_client(parts: Delivery, client: aiogram.Bot) -> None:
    heard = Message.model_validate(message(text="hello")["message"]).as_(client)
    answer = heard.answer(**Text("Hello, ", Bold("Ada")).as_kwargs())

    made = await Outbox(parts.dovecote, "shop").notification(answer)

    assert made.chat_id == 42
    assert made.params["entities"] == [{"type": "bold", "offset": 7, "length": 3}]
    assert made.params["protect_content"] is True
    assert "parse_mode" not in made.params


async def test_times_are_written_as_telegram_writes_them(parts: Delivery) -> None:
    closes = datetime(2026, 6, 1, 9, tzinfo=UTC)
    entities = [MessageEntity(type="bold", offset=0, length=3)]

    poll = await Outbox(parts.dovecote, "shop").notification(
        SendPoll(chat_id=42, question="Tea?", options=["Yes", "No"], close_date=closes, question_entities=entities),
        due_at=closes - timedelta(hours=1),
    )

    assert poll.params["close_date"] == str(int(closes.timestamp()))
    assert poll.params["options"] == ["Yes", "No"]
    assert poll.due_at == closes - timedelta(hours=1)


async def test_it_is_written_in_the_handlers_transaction(parts: Delivery, outbox_url: str) -> None:
    outbox = Outbox(parts.dovecote, "shop")
    path = outbox_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        await outbox.enqueue(connection, SendMessage(chat_id=42, text="never"))
        connection.rollback()
        kept = await outbox.enqueue(connection, SendMessage(chat_id=42, text="kept"), key="k")
        again = await outbox.enqueue(connection, SendMessage(chat_id=42, text="kept"), key="k")
        connection.commit()

    stats = await parts.dovecote.stats()
    assert (stats.due, again) == (1, kept)
    assert (await parts.dovecote.notification(kept)).params["text"] == "kept"


async def test_files_are_stored_once_attached_and_delivered(
    parts: Delivery, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "tour.pdf").write_bytes(b"%PDF-1.7 the tour")
    group = MediaGroupBuilder(caption="The tour")
    group.add_photo(BufferedInputFile(PNG, "a.png"))
    group.add_photo(BufferedInputFile(PNG, "b.png"))
    calls: list[Any] = [
        SendPhoto(chat_id=42, photo=BufferedInputFile(PNG, "a.png"), caption="x"),
        SendDocument(
            chat_id=43, document=FSInputFile(tmp_path / "tour.pdf"), thumbnail=BufferedInputFile(PNG, "t.png")
        ),
        SendMediaGroup(chat_id=44, media=[*group.build()]),
        SendPhoto(chat_id=45, photo="https://example.com/a.png"),
    ]
    outbox = Outbox(parts.dovecote, "shop")

    await parts.enqueue(*[await outbox.notification(call) for call in calls])
    await parts.dovecote.worker().run(until_empty=True)

    assert (await parts.dovecote.stats()).delivered == 4
    assert len(await parts.dovecote.files.list()) == 2
    sent = {record.chat_id: record.parameters for record in emulator.accepted}
    assert sent[42]["caption"] == "x"
    assert "thumbnail" in sent[43]
    assert sent[45]["photo"] == "https://example.com/a.png"


async def test_an_attachment_bears_the_name_that_it_was_given(parts: Delivery) -> None:
    made = await Outbox(parts.dovecote, "shop").notification(
        SendDocument(chat_id=42, document=BufferedInputFile(b"%PDF-1.7", "Order 17.pdf"))
    )

    attachment = made.params["document"]
    assert isinstance(attachment, Attachment)
    assert attachment.name == "Order 17.pdf"


async def test_a_file_of_an_url_is_fetched_when_it_is_enqueued(parts: Delivery) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {HTTPStatus.OK.value} OK\r\nContent-Length: {len(PNG)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + PNG)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiogram.Bot("1:x") as client:
        made = await Outbox(parts.dovecote, "shop", client=client).notification(
            SendPhoto(chat_id=42, photo=URLInputFile(f"http://127.0.0.1:{port}/a.png", filename="a.png"))
        )

    file = made.params["photo"].file
    assert await parts.dovecote.files.get(file.id) == PNG


async def test_a_file_of_an_url_without_a_client_says_what_to_give(parts: Delivery) -> None:
    with pytest.raises(InvalidNotification, match=r"file: http://127.0.0.1:9/a.png is fetched .* client=bot"):
        await Outbox(parts.dovecote, "shop").notification(
            SendPhoto(chat_id=42, photo=URLInputFile("http://127.0.0.1:9/a.png"))
        )


async def test_edits_go_the_same_way(parts: Delivery) -> None:
    made = await Outbox(parts.dovecote, "shop").notification(
        EditMessageText(chat_id=42, message_id=5, text="Arrived", reply_markup=KEYBOARD)
    )

    assert (made.method, made.chat_id, made.params["message_id"]) == ("editMessageText", 42, 5)


async def test_what_is_no_method_object_is_refused(parts: Delivery) -> None:
    strange: Any = "hello"
    with pytest.raises(InvalidNotification, match=r"'hello' is no method object of aiogram's: pass SendMessage"):
        await Outbox(parts.dovecote, "shop").notification(strange)
