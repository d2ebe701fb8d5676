"""Serving the emulator: in the running event loop for tests, or as a process of its own.

uvicorn's HTTP protocol is used without uvicorn's server, whose start and stop belong to a whole process: it takes over
signals and needs up to three tenths of a second to end. The protocol's access log stays off whatever the process logs:
its lines would carry the bots' tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Self

from uvicorn.config import Config
from uvicorn.server import ServerState

from dovecote.emulator.application import Application
from dovecote.emulator.connection import Connection, Connections
from dovecote.emulator.events import Raw
from dovecote.emulator.limits import NO_LIMITS
from dovecote.emulator.records import DEFAULT_CAPACITY
from dovecote.emulator.refusal import Refusal
from dovecote.emulator.user import User
from dovecote.emulator.world import Clock, World
from dovecote.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from dovecote.emulator.events import AnyEvent, Happened
    from dovecote.emulator.limits import Limits
    from dovecote.emulator.recipients import Recipient
    from dovecote.emulator.records import Record
    from dovecote.emulator.script import Rule
    from dovecote.emulator.traffic import BotTraffic
    from dovecote.emulator.uploads import Uploaded

DEFAULT_PORT = 8081
KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 5.0


class Emulator:
    """A Bot API server on this machine, in the running event loop.

    `port` 0 takes a free one. `tokens` limits which bots there are (None: every well-formed token is a bot). At most
    `capacity` records and their messages are kept. `seed` makes dice, poll ids and faults by rate repeatable. `limits`
    are off unless they are given (Limits.telegram() has them all); connections live for `connection_age` of the clock's
    seconds (None: for ever). With a folder as `local` it is a local Bot API server: it takes uploads of 2000 MB, and
    getFile puts a file of any size into that folder and answers its path there. Entering it, or
    `start`, raises InvalidConfiguration when the address cannot be had.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens: Iterable[str] | None = None,
        capacity: int = DEFAULT_CAPACITY,
        clock: Clock | None = None,
        seed: int | None = None,
        limits: Limits | None = None,
        connection_age: float | None = None,
        local: str | os.PathLike[str] | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._clock = clock or Clock()
        self._seed = seed
        self._local = None if local is None else Path(local)
        self._application = Application(
            tokens=tokens,
            capacity=capacity,
            clock=self._clock,
            world=self._world,
            seed=seed,
            limits=limits or NO_LIMITS,
            connections=Connections(connection_age),
            is_local=local is not None,
        )
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    def _world(self) -> World:
        return World(self._clock, Random(self._seed), local=self._local)  # noqa: S311 - dice, not secrets

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises InvalidConfiguration when the address cannot be had."""
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        config = Config(
            self._application,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        config.load()
        # Past uvicorn's own wrapping: with a root logger at its trace level it would log every path.
        config.loaded_app = self._application
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(config, self._state, {}, loop, ages=self._application.ages),
            sock=listener,
            backlog=config.backlog,
        )

    async def stop(self) -> None:
        """Stop listening, cut every connection, and wait until nothing of this is left in the loop."""
        if self._server is None:
            return
        self._server.close()
        await self._application.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        async with asyncio.timeout(STOP_SECONDS):
            while self._state.connections or self._state.tasks:
                tasks = list(self._state.tasks)
                await (asyncio.wait(tasks) if tasks else asyncio.sleep(0))
            await self._server.wait_closed()
        self._server = None

    @property
    def url(self) -> str:
        """Where it is, as `http://host:port`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def requests(self) -> Sequence[Record]:
        """Every request in order. The list is live: look at it again after more have come."""
        return self._application.journal.records

    @property
    def accepted(self) -> Sequence[Record]:
        """The requests that Telegram would have acted on, in order. The list is live."""
        return self._application.journal.accepted

    def counts(self) -> dict[str, int]:
        """Requests, accepted and refused since the last reset, and how many records are kept."""
        return self._application.journal.counts()

    def traffic(self) -> Mapping[int, BotTraffic]:
        """What each bot made of its limits, by the bot's id. It is live until the next reset."""
        return self._application.journal.traffic

    @property
    def uploads(self) -> Mapping[str, Uploaded]:
        """What was uploaded, by its SHA-256 in hexadecimal digits. It is live until the next reset."""
        return self._application.uploads.by_sha256

    def receive_file(
        self,
        bot_id: int,
        content: bytes = b"",
        *,
        kind: str = "document",
        name: str | None = None,
        size: int | None = None,
    ) -> str:
        """Let somebody send a file to a bot, and answer its file_id, good until the next reset.

        A large one may be given by its `size` in bytes alone. Raises ValueError for what cannot be.
        """
        received = self._application.life.receive_file(bot_id, kind=kind, content=content, size=size, name=name)
        return str(received["file_id"])

    def user(
        self,
        number: int,
        *,
        first_name: str | None = None,
        last_name: str | None = None,
        username: str | None = None,
        language_code: str | None = None,
        is_premium: bool | None = None,
    ) -> User:
        """Somebody, by id, who can write to bots, press buttons, block. Names that are given here are kept."""
        names = {
            "first_name": first_name,
            "last_name": last_name,
            "username": username,
            "language_code": language_code,
            "is_premium": is_premium,
        }
        given = {name: value for name, value in names.items() if value is not None}
        if number <= 0:
            raise ValueError(f"user {number}: a user's id is positive.")
        if given:
            self._application.life.describe(number, **given)
        return User(self._application.life, number)

    def group(self, number: int, title: str, *, username: str | None = None, is_forum: bool = False) -> None:
        """Give a group or a supergroup a title, and what else it is known by. Raises ValueError for a private chat."""
        if number >= 0:
            raise ValueError(f"chat {number}: a group's id is negative.")
        names: dict[str, Any] = {"title": title}
        if username is not None:
            names["username"] = username
        if is_forum:
            names["is_forum"] = True
        self._application.life.describe(number, **names)

    def happen(self, *happenings: AnyEvent) -> list[Happened]:
        """Let people do things, in order (dovecote.emulator.events). Raises ValueError for what cannot be."""
        return [self._application.life.happen(event) for event in happenings]

    def update(self, update: Mapping[str, Any], *, bot: int | None = None) -> Happened:
        """Give a bot any update, as the Bot API writes it and without its update_id: `{"shipping_query": {...}}`."""
        return self._application.life.happen(Raw(update=update, bot=bot))

    def messages(
        self, chat: int | str, *, bot: int | None = None, business: int | None = None, receiver: int | None = None
    ) -> list[dict[str, Any]]:
        """The messages that are in a chat now, the bot's and people's, in order, as the Bot API writes them.

        With `business`, in the chat of the business account of the user with that id; with `receiver`, the ephemeral
        ones of a group that this user alone sees.
        """
        return self._application.life.messages(bot, chat, business, receiver)

    def give_stars(self, amount: int, *, bot: int | None = None) -> int:
        """Give a bot Stars, which it pays for gifts with; answers how many it has. Raises ValueError."""
        return self._application.life.give_stars(bot, amount)

    def updates(self, *, bot: int | None = None) -> list[dict[str, Any]]:
        """The updates that wait for a bot: neither confirmed by getUpdates nor taken by its webhook."""
        return self._application.life.updates(bot)

    def script(self, *rules: Rule) -> None:
        """Add scripted answers."""
        self._application.script.add(rules)

    @property
    def limits(self) -> Limits:
        """The limits in force. Setting them begins with full buckets and no wait."""
        return self._application.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._application.limits = limits

    @property
    def connection_age(self) -> float | None:
        """How many of the clock's seconds a connection lives, None for ever. Those that are open obey it too."""
        return self._application.ages.settings.age

    @connection_age.setter
    def connection_age(self, age: float | None) -> None:
        self._application.ages.settings = Connections(age)

    def recipients(self, *recipients: Recipient) -> None:
        """Set the states of recipients. Raises ValueError for an @name that cannot be one; nothing has changed then."""
        try:
            self._application.put_recipients(recipients)
        except Refusal as refusal:
            raise ValueError(f"{refusal.description}: use letters, digits and underscores after the @.") from None

    def revoke(self, *tokens: int | str) -> None:
        """Answer 401 to these tokens, or to all of a bot's by its id. Raises InvalidDocument for what is neither."""
        self._application.tokens.revoke(*tokens)

    def restore(self, *tokens: int | str) -> None:
        """Take them again; a new token becomes valid as well. Raises InvalidDocument for what is neither."""
        self._application.tokens.restore(*tokens)

    def reset(self) -> None:
        """Forget every record, message, rule and state; message ids begin again, limits and tokens are as given."""
        self._application.reset()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off: an answer is two writes, and would wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise InvalidConfiguration(
            [f"port {port} of {host} cannot be had ({error}): choose another with --port, or 0 for a free one."]
        ) from None
    listener.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return listener


def run_emulator(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    tokens: Iterable[str] | None = None,
    capacity: int = DEFAULT_CAPACITY,
    clock: Clock | None = None,
    seed: int | None = None,
    limits: Limits | None = None,
    connection_age: float | None = None,
    local: str | os.PathLike[str] | None = None,
    on_ready: Callable[[str], None] | None = None,
    until_input_ends: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM, in an event loop of its own; the emulator's own settings are Emulator's.

    `on_ready` is called with the URL once it listens. With `until_input_ends` it also ends when standard input does,
    so that it never outlives a parent that was killed. Raises InvalidConfiguration when the address cannot be had.
    """
    emulator = Emulator(
        host=host,
        port=port,
        tokens=tokens,
        capacity=capacity,
        clock=clock,
        seed=seed,
        limits=limits,
        connection_age=connection_age,
        local=local,
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(emulator, on_ready, until_input_ends=until_input_ends))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - it does not exist on Windows

    return uvloop.new_event_loop


async def _serve(emulator: Emulator, on_ready: Callable[[str], None] | None, *, until_input_ends: bool) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    # Millions of records live long and form no cycles: the collector would walk them all, again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1_000)
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there KeyboardInterrupt ends the runner
            loop.add_signal_handler(number, over.set)
    async with emulator:
        if until_input_ends:
            loop.add_reader(sys.stdin.fileno(), _read_input, over)
        if on_ready is not None:
            on_ready(emulator.url)
        await over.wait()
        if until_input_ends:
            loop.remove_reader(sys.stdin.fileno())


def _read_input(over: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        over.set()
