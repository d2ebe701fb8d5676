"""A client's connection: uvicorn's, and the ways in which Telegram's end without notice.

With an age set, a connection is cut when it has lived so long, whether or not it is busy, as Telegram's own are.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dovecote.emulator.documents import STRICT

if TYPE_CHECKING:
    from pydantic import ConfigDict
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from dovecote.emulator.world import Clock

TELEGRAM_AGE = 40.0
SHORTEST_TIMER = 0.01
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Connections:
    """How long a connection lives, in the emulator's seconds; None: for ever."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    age: float | None = TELEGRAM_AGE

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.age is not None and not self.age > 0:
            raise ValueError(f"age {self.age}: use more than 0 seconds, or null for no end.")


class Ages:
    """The age in force, and the connections that it is for."""

    def __init__(self, clock: Clock, connections: Connections) -> None:
        self.clock = clock
        self._settings = connections
        self._alive: set[Connection] = set()

    @property
    def settings(self) -> Connections:
        """How long a connection lives."""
        return self._settings

    @settings.setter
    def settings(self, settings: Connections) -> None:
        self._settings = settings
        for connection in self._alive:
            connection.arm()

    def __bool__(self) -> bool:
        return self._settings.age is not None

    def left(self, connection: Connection) -> float | None:
        """How many of the emulator's seconds the connection may still live, None for no end."""
        age = self._settings.age
        return None if age is None else connection.since + age - self.clock.monotonic()

    def add(self, connection: Connection) -> None:
        """A connection has been made."""
        self._alive.add(connection)

    def remove(self, connection: Connection) -> None:
        """It has ended."""
        self._alive.discard(connection)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, which also hands the application itself: some answers are a closed connection."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        *,
        ages: Ages,
    ) -> None:
        super().__init__(config, state, app_state, loop)
        self.access_log = False
        self.requests = 0
        self.since = ages.clock.monotonic()
        self._ages = ages
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to age."""
        super().connection_made(transport)
        self._ages.add(self)
        self.arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Age no more."""
        super().connection_lost(exc)
        self._ages.remove(self)
        if self._end is not None:
            self._end.cancel()

    def on_message_begin(self) -> None:
        """Count the request, and let the application know its connection."""
        super().on_message_begin()
        self.requests += 1
        self.scope["state"]["connection"] = self

    def arm(self) -> None:
        """Wait for the end that the settings in force give the connection."""
        if self._end is not None:
            self._end.cancel()
        left = self._ages.left(self)
        if left is None:
            self._end = None
            return
        self._end = self.loop.call_later(max(left / self._ages.clock.scale, SHORTEST_TIMER), self._old)

    def _old(self) -> None:
        left = self._ages.left(self)
        if left is None:
            return
        if left > 0:
            # The clock is not the loop's, and may be behind it.
            self.arm()
        elif self._is_busy:
            self.reset()
        else:
            self.close()

    @property
    def _is_busy(self) -> bool:
        # uvicorn's type says that there always is one, but before the first request there is none.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    @property
    def is_over(self) -> bool:
        """Whether it has outlived its age, by the clock, though nothing has closed it yet."""
        left = self._ages.left(self)
        return left is not None and left <= 0

    def close(self) -> None:
        """End it in order, with what has been written."""
        self.transport.close()

    def reset(self) -> None:
        """End it with a reset (RST)."""
        connected: socket.socket = self.transport.get_extra_info("socket")
        # Not to linger means to reset.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    async def written(self) -> None:
        """Wait until the system has taken what was written, which a reset would otherwise throw away."""
        while self.transport.get_write_buffer_size() and not self.transport.is_closing():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
