"""Whole bots, as they are written, run against the emulator: by polling and by a webhook."""

from __future__ import annotations

import asyncio
import contextlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiogram
import orjson
import pytest
from aiogram import F, types
from aiogram.filters import CommandStart
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web
from emulator_client import PNG, TOKEN, aiogram_bot, until
from pyreqwest.client import ClientBuilder
from telegram.ext import ApplicationBuilder, CallbackQueryHandler, CommandHandler, MessageHandler, filters

from dovecote.emulator import Emulator, EmulatorProcess, ScaledClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import telegram
    from telegram.ext import ContextTypes

KEYBOARD = types.InlineKeyboardMarkup(inline_keyboard=[[types.InlineKeyboardButton(text="Yes", callback_data="yes")]])
SECRET = "a-secret_of_35"


def texts(emulator: Emulator, chat: int = 42) -> list[str]:
    """What the bot has in the chat."""
    return [message["text"] for message in emulator.messages(chat) if message["from"]["is_bot"] and "text" in message]


def dispatcher() -> aiogram.Dispatcher:
    """A bot that greets, asks, keeps photos, and counts who leaves."""
    bot = aiogram.Dispatcher(left=[])

    @bot.message(CommandStart(deep_link=True))
    async def start(message: types.Message, command: Any) -> None:
        await message.answer(f"Hello from {command.args}", reply_markup=KEYBOARD)

    @bot.callback_query(F.data == "yes")
    async def yes(query: types.CallbackQuery) -> None:
        assert isinstance(query.message, types.Message)
        await query.answer("Thanks")
        await query.message.edit_text("You said yes")

    @bot.message(F.photo)
    async def photo(message: types.Message, bot: aiogram.Bot) -> None:
        assert message.photo is not None
        content = BytesIO()
        await bot.download(message.photo[-1], content)
        await message.reply(f"{len(content.getvalue())} bytes")

    @bot.my_chat_member()
    async def gone(update: types.ChatMemberUpdated, left: list[tuple[int, str]]) -> None:
        left.append((update.chat.id, update.new_chat_member.status))

    return bot


@contextlib.asynccontextmanager
async def polled(emulator: Emulator, bot: aiogram.Dispatcher) -> AsyncIterator[None]:
    """The bot, fetching its updates."""
    async with aiogram_bot(emulator) as client:
        polling = asyncio.create_task(bot.start_polling(client, handle_signals=False, close_bot_session=False))
        try:
            yield
        finally:
            await until(bot._running_lock.locked)
            await bot.stop_polling()
            await polling


@contextlib.asynccontextmanager
async def served(emulator: Emulator, bot: aiogram.Dispatcher) -> AsyncIterator[None]:
    """The bot, with a webhook, answering in the webhook's own reply where it can."""
    async with aiogram_bot(emulator) as client:
        application = web.Application()
        SimpleRequestHandler(bot, client, handle_in_background=False, secret_token=SECRET).register(
            application, "/hook"
        )
        setup_application(application, bot, bot=client)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            await client.set_webhook(f"http://127.0.0.1:{port}/hook", secret_token=SECRET)
            yield
            await client.delete_webhook()
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("how", [polled, served])
async def test_a_bot_of_aiogram(how: Any) -> None:
    bot = dispatcher()
    async with Emulator(tokens=[TOKEN]) as emulator, how(emulator, bot):
        ada = emulator.user(42, first_name="Ada")
        ada.writes("/start shop")
        await until(lambda: texts(emulator) == ["Hello from shop"])
        asked = emulator.messages(42)[-1]["message_id"]
        ada.presses(asked, button="Yes")
        await until(lambda: texts(emulator) == ["You said yes"])
        ada.sends("photo", PNG)
        await until(lambda: texts(emulator)[1:] == [f"{len(PNG)} bytes"])
        ada.blocks()
        await until(lambda: bot["left"] == [(42, "kicked")])

        (answer,) = [record for record in emulator.accepted if record.method == "answerCallbackQuery"]
        assert answer.parameters["text"] == "Thanks"
        await until(lambda: emulator.updates() == [] or how is polled)


async def test_a_method_in_the_webhooks_reply_is_called() -> None:
    bot = aiogram.Dispatcher()

    @bot.message()
    async def echo(message: types.Message) -> Any:
        return message.answer(f"You wrote {message.text}")

    async with Emulator(tokens=[TOKEN]) as emulator, served(emulator, bot):
        emulator.user(42).writes("hello")

        await until(lambda: texts(emulator) == ["You wrote hello"])


class Receiver:
    """A webhook that answers as it is told, and keeps what came."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.retry_after: int | None = None
        self.came: list[tuple[str | None, dict[str, Any]]] = []

    async def receive(self, request: web.Request) -> web.Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
        self.came.append((secret, orjson.loads(await request.read())))
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, headers=headers)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_post("/hook", self.receive)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        finally:
            await runner.cleanup()


class TestWebhooks:
    async def test_a_refused_update_is_posted_again_and_those_of_its_chat_wait(self) -> None:
        receiver = Receiver(500, 503, 200)
        async with (
            Emulator(tokens=[TOKEN], clock=ScaledClock(1000)) as emulator,
            aiogram_bot(emulator) as bot,
            receiver.listening() as url,
        ):
            emulator.user(42).writes("first")
            emulator.user(42).writes("second")
            await bot.set_webhook(url, secret_token=SECRET, max_connections=3)
            await until(lambda: emulator.updates() == [])
            info = await bot.get_webhook_info()

        assert [update["message"]["text"] for _, update in receiver.came] == ["first", "first", "first", "second"]
        assert {secret for secret, _ in receiver.came} == {SECRET}
        assert (info.url, info.max_connections, info.pending_update_count) == (url, 3, 0)
        assert info.last_error_message == "Wrong response from the webhook: 503 Service Unavailable"

    async def test_a_retry_after_is_waited_for(self) -> None:
        receiver = Receiver(429)
        async with (
            Emulator(tokens=[TOKEN]) as emulator,
            aiogram_bot(emulator) as bot,
            receiver.listening() as url,
        ):
            receiver.retry_after = 3000
            await bot.set_webhook(url)
            emulator.user(42).writes("waits")
            inbox = emulator._application._world.inboxes[4242]
            await until(lambda: inbox.last_error)
            emulator.user(43).writes("does not wait for another chat")
            await until(lambda: len(emulator.updates()) == 1)

        assert [update["message"]["from"]["id"] for _, update in receiver.came] == [42, 43]

    async def test_a_connection_that_is_cut_is_a_failure(self) -> None:
        async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        async with server, Emulator(tokens=[TOKEN]) as emulator, aiogram_bot(emulator) as bot:
            await bot.set_webhook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            emulator.user(42).writes("hello")
            inbox = emulator._application._world.inboxes[4242]
            await until(lambda: inbox.last_error)

            assert (await bot.get_webhook_info()).last_error_message == "Webhook connection closed"

    async def test_a_reset_ends_a_webhook(self) -> None:
        receiver = Receiver()
        async with (
            Emulator(tokens=[TOKEN]) as emulator,
            aiogram_bot(emulator) as bot,
            receiver.listening() as url,
        ):
            await bot.set_webhook(url)
            emulator.reset()
            emulator.user(42).writes("hello")

            assert (await bot.get_webhook_info()).url == ""
            assert len(await bot.get_updates()) == 1
        assert receiver.came == []

    async def test_nobody_there(self) -> None:
        async with Emulator(tokens=[TOKEN]) as emulator, aiogram_bot(emulator) as bot:
            async with Receiver().listening() as url:
                pass
            emulator.user(42).writes("hello")
            await bot.set_webhook(url)
            inbox = emulator._application._world.inboxes[4242]
            await until(lambda: inbox.last_error)

            assert (await bot.get_webhook_info()).last_error_message == "Connection refused"
            assert (await bot.get_webhook_info()).pending_update_count == 1
            await bot.delete_webhook(drop_pending_updates=True)
            assert (await bot.get_webhook_info()).pending_update_count == 0

    async def test_polling_and_a_webhook_exclude_each_other(self) -> None:
        async with Emulator(tokens=[TOKEN]) as emulator, aiogram_bot(emulator) as bot, Receiver().listening() as url:
            inbox = emulator._application._world.inboxes[4242]
            poll = asyncio.create_task(bot.get_updates(timeout=50))
            await until(lambda: inbox._poll is not None)
            await bot.set_webhook(url)

            with pytest.raises(aiogram.exceptions.TelegramConflictError, match="terminated by setWebhook request"):
                await poll
            with pytest.raises(aiogram.exceptions.TelegramConflictError, match="can't use getUpdates method while"):
                await bot.get_updates()

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"url": "ftp://a.example"}, "invalid webhook URL specified"),
            ({"url": "https://"}, "invalid webhook URL specified"),
            ({"url": "https://a.example:99999"}, "invalid webhook URL specified"),
            ({"url": "https://a.example/a hook"}, "invalid webhook URL specified"),
            ({"url": "https://a.example", "secret_token": "x" * 257}, "secret token is too long"),
            ({"url": "https://a.example", "secret_token": "a b"}, "secret token contains unallowed characters"),
        ],
    )
    async def test_refusals(self, parameters: dict[str, str], words: str) -> None:
        async with Emulator(tokens=[TOKEN]) as emulator, aiogram_bot(emulator) as bot:
            with pytest.raises(aiogram.exceptions.TelegramBadRequest, match=words):
                await bot.set_webhook(**parameters)  # type: ignore[arg-type]  # texts alone


async def test_a_bot_of_python_telegram_bot_against_a_process() -> None:
    """The emulator in a process of its own, people's doings by its control API."""

    async def start(update: telegram.Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        await update.message.reply_text("Hello", reply_markup=KEYBOARD.model_dump(exclude_none=True))  # type: ignore[arg-type]

    async def press(update: telegram.Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.callback_query is not None
        await update.callback_query.answer()
        await update.callback_query.edit_message_text("Done")

    async def document(update: telegram.Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        assert update.message.document is not None
        content = await (await update.message.document.get_file()).download_as_bytearray()
        await update.message.reply_text(content.decode())

    with EmulatorProcess() as process:
        builder = ApplicationBuilder().token(TOKEN).base_url(f"{process.url}/bot")
        application = builder.base_file_url(f"{process.url}/file/bot").build()
        application.add_handler(CommandHandler("start", start))
        application.add_handler(CallbackQueryHandler(press))
        application.add_handler(MessageHandler(filters.Document.ALL, document))
        async with ClientBuilder().build() as http, application:
            await application.start()
            assert application.updater is not None
            await application.updater.start_polling()

            async def happen(**event: Any) -> None:
                call = http.post(f"{process.url}/emulator/updates").body_json({"user": 42, **event})
                answer = await call.build().send()
                assert answer.status == 200, await answer.text()

            async def said(wanted: list[str]) -> None:
                async with asyncio.timeout(5):
                    while True:
                        answer = await http.get(f"{process.url}/emulator/messages?chat=42").build().send()
                        messages = (await answer.json())["messages"]
                        if [one.get("text") for one in messages if one["from"]["is_bot"]] == wanted:
                            return

            await happen(event="message", text="/start")
            await said(["Hello"])
            await happen(event="press", message_id=2, data="yes")
            await said(["Done"])
            file = (
                await http.post(f"{process.url}/emulator/files?bot=4242&name=a.txt").body_bytes(b"kept").build().send()
            )
            file_id = (await file.json())["file_id"]
            await happen(event="message", media="document", file_id=file_id)
            await said(["Done", "kept"])

            await application.updater.stop()
            await application.stop()
