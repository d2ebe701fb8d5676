"""Every failure at debug level, and then a search for the token: in logs, exceptions, metrics, the database, the CLI.

The server is hostile: each of its answers repeats the line of the request, and the token is in that line. What is
searched is what comes before any redaction as well: the records of the log as they were made, and the chains of every
exception. At the end secrets are planted in each of these places, and the search has to find all of them.
"""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from deliveries import Delivery, until
from pyreqwest.client import ClientBuilder
from pyreqwest.logging import flush_logs
from scripted_socket import Connection, ScriptedServer, closed_port

from dovecote.app import Dovecote
from dovecote.channels.telegram import TelegramChannel
from dovecote.cli.main import main
from dovecote.config import Settings
from dovecote.errors import DovecoteError, StoreUnavailable
from dovecote.model import Notification, State
from dovecote.observability.logs import LogHandler, configure_logging
from dovecote.vault import generate_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

SECRET = "AAnobodyMayEverReadThisHalfOfAToken"
PASSWORD = "nobody-may-read-this-password"
# A half of it would do for an attacker who has the other one.
NEEDLES = (SECRET, SECRET[:12], SECRET[-12:], PASSWORD)

BAD, FORBIDDEN = "Bad Request: ", "Forbidden: "
# Every row of the table of answers: code, description, parameters.
ANSWERS: list[tuple[int, str, dict[str, object]]] = [
    (429, "Too Many Requests: retry after 1", {"retry_after": 1}),
    (500, "Internal Server Error: restart", {}),
    (500, "Internal Server Error: Request aborted", {}),
    (500, "Internal Server Error: sent message was immediately deleted", {}),
    (502, "Bad Gateway", {}),
    (401, "Unauthorized", {}),
    (404, "Not Found", {}),
    (421, "Misdirected Request", {}),
    (400, "Logged out", {}),
    (420, "FROZEN_METHOD_INVALID", {}),
    (404, "Not Found: method not found", {}),
    (400, BAD + "group chat was upgraded to a supergroup chat", {"migrate_to_chat_id": -1_000_000_000_777}),
    (403, FORBIDDEN + "bot was blocked by the user", {}),
    (403, FORBIDDEN + "user is deactivated", {}),
    (403, FORBIDDEN + "bot can't initiate conversation with a user", {}),
    (403, FORBIDDEN + "bot can't send messages to bots", {}),
    (403, FORBIDDEN + "bot was kicked from the group chat", {}),
    (403, FORBIDDEN + "bot is not a member of the channel chat", {}),
    (403, FORBIDDEN + "the group chat was deleted", {}),
    (400, BAD + "chat not found", {}),
    (400, BAD + "PEER_ID_INVALID", {}),
    (400, BAD + "not enough rights to send text messages", {}),
    (400, BAD + "need administrator rights in the channel chat", {}),
    (400, BAD + "CHAT_WRITE_FORBIDDEN", {}),
    (400, BAD + "message thread not found", {}),
    (400, BAD + "TOPIC_CLOSED", {}),
    (400, BAD + "message to be replied not found", {}),
    (400, BAD + "message is not modified", {}),
    (400, BAD + "message to delete not found", {}),
    (400, BAD + "can't parse entities", {}),
    (400, BAD + "wrong file identifier", {}),
    (400, BAD + "failed to get HTTP URL content", {}),
    (400, BAD + "wrong type of the web page content", {}),
    (413, "Request Entity Too Large", {}),
    (400, BAD + "something that nobody has foreseen", {}),
]
BROKEN = ["stall", "reset", "finish", "truncated", "a page", "no HTTP", "without end", "redirect"]
FIRST_BOT = 7_000_001
QUICK = {"first": "10ms", "longest": "20ms", "attempts": 2, "unknown_attempts": 2}


async def hostile(connection: Connection) -> None:
    """Answer as the text of the message says, and repeat the line of the request, which holds the token."""
    while (request := await connection.request()) is not None:
        wish, line = request.json()["text"], request.line
        if wish not in BROKEN:
            code, description, parameters = ANSWERS[int(wish)]
            # As the reason's end, so that it is classified as what it is.
            echo = description if code in {404, 401, 421} else f"{description} {line}"
            body = {"ok": False, "error_code": code, "description": echo, "parameters": parameters, "url": line}
            connection.answer(body, status=code)
            continue
        head = f"HTTP/1.1 200 OK\r\nX-Url: {line}\r\n"
        match wish:
            case "stall":
                await asyncio.Event().wait()
            case "reset":
                connection.reset()
            case "truncated":
                connection.raw(f'{head}Content-Length: 4000\r\n\r\n{{"ok":true,"url":"{line}"'.encode())
            case "a page":
                page = f"<html>{line}</html>"
                connection.raw(f"HTTP/1.1 502 Bad\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode())
            case "no HTTP":
                connection.raw(f"{line}\r\n\r\n".encode())
            case "without end":
                connection.raw(f"{head}Content-Length: 99999999999\r\n\r\n{line}".encode())
            case "redirect":
                connection.raw(
                    f"HTTP/1.1 302 Found\r\nLocation: {line.split()[1]}\r\nContent-Length: 0\r\n\r\n".encode()
                )
            case _:
                pass
        connection.finish()
        return


class Heard(logging.Handler):
    """Every record as it was made, with the whole chain of its exception."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        chain = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.texts.append(f"{record.name} {record.getMessage()} {record.__dict__!r} {chain}")


@dataclass
class Search:
    """Where a secret could be, as text."""

    heard: Heard = field(default_factory=Heard)
    written: dict[str, io.StringIO] = field(default_factory=lambda: {"console": io.StringIO(), "json": io.StringIO()})
    exceptions: list[BaseException] = field(default_factory=list)
    objects: list[object] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    async def attempt(self, doing: Awaitable[Any]) -> None:
        """Do what fails, and keep how."""
        try:
            await doing
        except Exception as error:  # noqa: BLE001 (whatever it is, it is searched)
            self.exceptions.append(error)

    async def leaks(self, parts: Delivery) -> set[str]:
        """The places that hold any part of a secret."""
        flush_logs()
        tables = parts.dovecote.database.tables.metadata.tables
        rows = [await parts.rows(name.rpartition(".")[2].removeprefix("dovecote_")) for name in tables]
        chains = [
            f"{text} {error!r} {error.args!r} {error.__dict__!r}"
            for error in self.exceptions
            for text in ["".join(traceback.format_exception(error))]
        ]
        places = {
            "log records": "\n".join(self.heard.texts),
            "written logs": "\n".join(stream.getvalue() for stream in self.written.values()),
            "exceptions": "\n".join(chains),
            "reprs": "\n".join(map(repr, self.objects)),
            "metrics": parts.dovecote.metrics.exposition()[0].decode(),
            "database": repr(rows),
            "command line": "\n".join(self.printed),
        }
        assert all(places.values()), f"nothing to search in: {[name for name, text in places.items() if not text]}"
        return {name for name, text in places.items() if any(needle in text for needle in NEEDLES)}


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Iterator[Search]:
    """Listens at debug level, to the Rust side of the client as well."""
    search = Search()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    ClientBuilder().connection_verbose(enable=True).build()
    for format_, stream in search.written.items():
        configure_logging(format=format_, level="debug", stream=stream)  # type: ignore[arg-type]
        (handler,) = [one for one in root.handlers if isinstance(one, LogHandler) and one not in before]
        # The next call would take it away; both are listened to.
        root.removeHandler(handler)
        root.addHandler(_Kept(handler))
    root.addHandler(search.heard)
    monkeypatch.setenv("NO_COLOR", "1")
    yield search
    for added in [one for one in root.handlers if one not in before]:
        root.removeHandler(added)
    root.setLevel(level)


class _Kept(logging.Handler):
    """Another handler under a class of its own."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler

    def emit(self, record: logging.LogRecord) -> None:
        self._handler.handle(record)


@asynccontextmanager
async def campaign(url: str, base_url: str, keys: list[str], **worker: Any) -> AsyncIterator[Delivery]:
    parts = Delivery(url, base_url, timeout=0.4, retry=QUICK, worker={"poll_interval": "50ms", **worker}, keys=keys)
    try:
        yield parts
    finally:
        await parts.dovecote.close()


async def wrong_answers(url: str, keys: list[str], search: Search) -> int:
    """A bot and a notification for each answer and each broken connection; answers how many there were."""
    wishes = [*map(str, range(len(ANSWERS))), *BROKEN]
    async with ScriptedServer(hostile) as server, campaign(url, server.base_url, keys) as parts:
        for number, wish in enumerate(wishes):
            await parts.bot(f"bot-{number}", f"{FIRST_BOT + number}:{SECRET}")
            for chat in (-number - 1, number + 1):
                await parts.enqueue(Notification(bot=f"bot-{number}", chat_id=chat, text=wish))
        async with parts.working() as worker:
            await until(lambda: everything_is_tried(parts, 2 * len(wishes)), bound=60)
            search.objects += [parts, worker, parts.dovecote.sender, parts.settings, vars(parts.settings)]
        search.objects += [parts.dovecote._channel, *await parts.dovecote.bots()]
        assert len({request.json()["text"] for request in server.requests}) == len(wishes)
    return 2 * len(wishes)


async def everything_is_tried(parts: Delivery, count: int) -> bool:
    records = [await parts.dovecote.notification(id_) for id_ in range(1, count + 1)]
    return all(record.attempts or record.settled_at for record in records)


async def never_sent(url: str, keys: list[str], search: Search) -> None:
    """Refused, no such name, no TLS, no connection free; and what is cut off while it is under way."""
    for chat, base_url in ((5001, f"http://127.0.0.1:{closed_port()}"), (5002, "http://nowhere.invalid")):
        async with campaign(url, base_url, keys) as parts:
            (id_,) = await parts.enqueue(Notification(bot="bot-12", chat_id=chat, text="never sent"))
            await search.attempt(parts.dovecote.process_notifications_batch())
            assert (await parts.dovecote.notification(id_)).attempts

    async def speak_plainly(connection: Connection) -> None:
        await connection.request()
        await asyncio.Event().wait()

    async with ScriptedServer(speak_plainly) as server, campaign(url, server.base_url, keys) as parts:
        for base, connections in ((f"https://{server.address}", 8), (server.base_url, 1)):
            channel = TelegramChannel(
                base,
                max_connections=connections,
                pool_timeout=timedelta(milliseconds=50),
                connect_timeout=timedelta(milliseconds=200),
            )
            await cut_off(parts, channel, search)


async def cut_off(parts: Delivery, channel: TelegramChannel, search: Search) -> None:
    """Send three at a time through a channel, and stop in the middle."""
    await parts.backlog(3, bot="bot-13", first=6001)
    worker = parts.worker_with(channel, timeout=0.4, drain_deadline=timedelta(milliseconds=100))
    async with parts.working(worker):
        await until(lambda: bool(worker._outbox.marked or not worker._held))
    search.objects += [channel, worker]
    await channel.close()


async def no_token(url: str, search: Search) -> None:
    """A token that is sealed with another key, and one whose variable is not set."""
    async with campaign(url, "http://127.0.0.1:9", [generate_key()]) as parts:
        await parts.dovecote.add_bot("unset", token_variable="DOVECOTE_TOKEN_THAT_IS_NOT_SET", pace=None)
        await parts.enqueue(Notification(bot="unset", chat_id=1, text="no token"))
        await search.attempt(parts.dovecote.check())
        await search.attempt(parts.dovecote.process_notifications_batch())
        await search.attempt(parts.bot("unset", f"{FIRST_BOT}:{SECRET}"))
        for wrong in (f"{SECRET}", f"x{FIRST_BOT}:{SECRET}", f"{FIRST_BOT}:{SECRET}/"):
            await search.attempt(parts.dovecote.add_bot("wrong name", token=wrong))


async def no_database(search: Search) -> None:
    """A server that is away, whose URL holds a password, and a file that is none."""
    for url in (f"postgresql://shop:{PASSWORD}@127.0.0.1:{closed_port()}/x", "sqlite:////nowhere/at/all.db"):
        await work_without(Dovecote(url, settings=Settings.model_validate({"database": {"url": url}})), search)


async def work_without(dovecote: Dovecote, search: Search) -> None:
    """Call everything that needs the database, and let a worker bear its absence."""
    store, worker = dovecote.store, dovecote.worker()
    calls: list[Callable[[], Awaitable[Any]]] = [
        dovecote.check,
        dovecote.bots,
        dovecote.stats,
        dovecote.migrate,
        dovecote.process_notifications_batch,
        lambda: store.cycle([], claim=1, lease=timedelta(seconds=1)),
    ]
    for call in calls:
        await search.attempt(call())
    running = asyncio.create_task(worker.run())
    await until(lambda: worker._is_away)
    worker.stop()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    search.objects += [dovecote, store, dovecote.database, worker]
    await dovecote.close()


async def command_line(url: str, keys: list[str], count: int, search: Search, capture: Any) -> None:
    """What an operator reads of all this, and every refusal with its traceback."""
    commands = [
        ["bot", "list"], ["bot", "list", "--json"], ["bot", "show", "bot-5"], ["bot", "show", "bot-5", "--json"],
        ["stats"], ["stats", "--json"], ["dead", "list", "--limit", "1000"], ["dead", "list", "--json"],
        ["unknown", "list"], ["unknown", "list", "--json"], ["recipient", "list", "--bot", "bot-12"],
        ["config", "check"], ["bot", "show", "nobody"], ["bot", "add", f"{FIRST_BOT}:{SECRET}"],
        ["bot", "token", "bot-5", "--token", f"{FIRST_BOT}:{SECRET}"], ["worker", "--http-port", "99999"],
        *(["notification", "show", str(id_), *json_] for id_ in range(1, count + 1) for json_ in ([], ["--json"])),
    ]  # fmt: skip
    for command in commands:
        await asyncio.to_thread(main, ["--debug", *command])
    away = f"postgresql://shop:{PASSWORD}@127.0.0.1:{closed_port()}/x"
    for command in (["stats"], ["worker"], ["migrate"], ["init", "--database", away]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOVECOTE_DATABASE_URL", away)
            await asyncio.to_thread(main, ["--debug", *command])
    del url, keys
    output, errors = capture.readouterr()
    search.printed += [output, errors]


async def test_no_failure_shows_a_token_or_a_password_anywhere(
    outbox_url: str,
    search: Search,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = [generate_key()]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOVECOTE_DATABASE_URL", outbox_url)
    monkeypatch.setenv("DOVECOTE_ENCRYPTION_KEYS", keys[0])
    count = await wrong_answers(outbox_url, keys, search)
    await never_sent(outbox_url, keys, search)
    await no_token(outbox_url, search)
    await no_database(search)
    await command_line(outbox_url, keys, count, search, capsys)

    async with campaign(outbox_url, "http://127.0.0.1:9", keys) as parts:
        states = {record.state for record in [await parts.dovecote.notification(id_) for id_ in range(1, count + 1)]}
        reasons = {bot.stopped_reason is None for bot in await parts.dovecote.bots()}
        search.objects += [await parts.dovecote.notification(id_) for id_ in range(1, count + 1)]
        search.objects += [*await parts.dovecote.dead_letters(limit=1000), *await parts.dovecote.unknowns(limit=1000)]
        leaks = await search.leaks(parts)

        # All of it has happened.
        assert {State.DEAD, State.UNKNOWN, State.DELIVERED} <= states
        assert reasons == {True, False}
        assert {type(error) for error in search.exceptions} >= {StoreUnavailable}
        assert all(isinstance(error, DovecoteError | ValueError) for error in search.exceptions), search.exceptions
        assert leaks == set()

        # And it would have been found.
        logging.getLogger("dovecote.planted").debug("a secret: %s", SECRET)
        search.exceptions.append(ValueError("planted"))
        search.exceptions[-1].__cause__ = KeyError(SECRET)
        search.objects.append({"token": SECRET})
        await parts.enqueue(Notification(bot="unset", chat_id=77, text=SECRET))
        parts.dovecote.metrics.settled([])
        await parts.dovecote.add_bot(SECRET, token_variable="PLANTED", pace=None)
        await plant_in_metrics(parts)
        await asyncio.to_thread(main, ["notification", "show", str(await newest(parts))])
        search.printed += capsys.readouterr()
        assert await search.leaks(parts) == {
            "log records", "written logs", "exceptions", "reprs", "metrics", "database", "command line",
        }  # fmt: skip


async def newest(parts: Delivery) -> int:
    return max(int(row[0]) for row in await parts.rows("notification"))


async def plant_in_metrics(parts: Delivery) -> None:
    """Deliver something for a bot whose name is the secret: bots' names are labels."""
    await parts.enqueue(Notification(bot=SECRET, chat_id=78, text="planted"))
    async with parts.working():
        await until(lambda: SECRET in parts.dovecote.metrics.exposition()[0].decode())
