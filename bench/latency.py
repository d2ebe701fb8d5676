"""How long a worker takes from an application's commit to the request: an idle one, and one at half of its load.

This process is the application and the Bot API in one, so both instants are read from one clock by one loop: the
commit's return, and the arrival of the request's last byte at a socket. The worker is a process of its own. At half
load another process enqueues all the time, a hundred transactions a second, half of what the worker has delivered just
before to the same Bot API from a backlog.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import Any

import asyncpg

from bench.dovecote_run import dovecote_at, notification
from bench.processes import answer_of, started
from bench.work import measured_actions

# Long enough for a worker to be idle again, and not in step with any interval of its own.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.020, 0.050
WARM_UP = 50
ARRIVAL_SECONDS = 10.0
DRAIN_SECONDS = 600.0
TRANSACTIONS_PER_SECOND = 100
FIRST_OF_LOAD = 10_000_000
FIRST_OF_PROBES = 100_000_000

ANSWER_BODY = b'{"ok":true,"result":{"message_id":1,"date":1767225600,"chat":{"id":1,"type":"private"},"text":"."}}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER_BODY)
) + ANSWER_BODY
REQUEST = re.compile(rb"\r\ncontent-length: (\d+)\r\n(?:.*?\r\n)?\r\n", re.DOTALL | re.IGNORECASE)
NUMBER = re.compile(rb"Your order (\d+) is")


class _BotApi(asyncio.Protocol):
    """Answers at once; writes down when each message arrived, in nanoseconds of the monotonic clock."""

    def __init__(self, arrivals: dict[int, int], arrived: asyncio.Event) -> None:
        self.arrivals = arrivals
        self.arrived = arrived
        self.received = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.received += data
        while (head := REQUEST.search(self.received)) and len(self.received) >= head.end() + int(head[1]):
            end = head.end() + int(head[1])
            number = NUMBER.search(self.received, head.end(), end)
            self.received = self.received[end:]
            self.transport.write(ANSWER)
            if number is not None:
                self.arrivals.setdefault(int(number[1]), now)
                self.arrived.set()


class Probes:
    """Commits notifications one after another and notes when each was committed and when it arrived."""

    def __init__(self, url: str, port: int) -> None:
        self._url = url
        self._port = port
        self.arrivals: dict[int, int] = {}
        self._arrived = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Be the Bot API from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _BotApi(self.arrivals, self._arrived), "127.0.0.1", self._port)

    async def until_arrived(self, numbers: range, seconds: float) -> None:
        """Wait until these have arrived. Raises TimeoutError after so many seconds."""
        async with asyncio.timeout(seconds):
            for number in numbers:
                while number not in self.arrivals:
                    self._arrived.clear()
                    await self._arrived.wait()

    async def take(self, first: int, samples: int) -> dict[str, Any]:
        """Commit so many, with numbers from `first`; answers milliseconds from commit to request."""
        committed: dict[int, int] = {}
        pauses = random.Random(1)
        numbers = range(first, first + WARM_UP + samples)
        connection = await asyncpg.connect(self._url)
        async with dovecote_at(self._url) as dovecote:
            for number in numbers:
                async with connection.transaction():
                    await dovecote.enqueue(connection, notification(number))
                committed[number] = time.monotonic_ns()
                if number == first:  # the worker may not have begun yet
                    await self.until_arrived(range(number, number + 1), DRAIN_SECONDS)
                await asyncio.sleep(pauses.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
            await self.until_arrived(numbers, ARRIVAL_SECONDS)
        await connection.close()
        took = sorted((self.arrivals[number] - committed[number]) / 1e6 for number in numbers[WARM_UP:])
        return {
            "samples": samples,
            "commit_to_request_p50_ms": _quantile(took, 0.50),
            "commit_to_request_p99_ms": _quantile(took, 0.99),
            "commit_to_request_max_ms": took[-1],
        }

    def close(self) -> None:
        """Be the Bot API no longer."""
        if self._server is not None:
            self._server.close()


async def idle(url: str, port: int, samples: int) -> dict[str, Any]:
    """What an idle worker takes."""
    probes = Probes(url, port)
    await probes.listen()
    answer = await probes.take(0, samples)
    probes.close()
    return answer


async def half_load(url: str, port: int, samples: int, waiting: int) -> dict[str, Any]:
    """What a worker takes at half of its load: first it delivers the `waiting` ones, which tells what it can do."""
    probes = Probes(url, port)
    await probes.listen()
    await probes.until_arrived(range(waiting), DRAIN_SECONDS)
    at = sorted(probes.arrivals.values())
    begin = waiting // 10
    capacity = (waiting - begin - 1) / ((at[-1] - at[begin]) / 1e9)
    half = capacity / 2
    batch = max(1, round(half / TRANSACTIONS_PER_SECOND))
    with started("dovecote_run", action="load", url=url, per_second=half, first=FIRST_OF_LOAD, batch=batch) as loading:
        await probes.until_arrived(range(FIRST_OF_LOAD, FIRST_OF_LOAD + 1), DRAIN_SECONDS)
        answer = await probes.take(FIRST_OF_PROBES, samples)
        loading.terminate()
        loaded = await asyncio.to_thread(answer_of, loading)
    await probes.until_arrived(range(FIRST_OF_LOAD, FIRST_OF_LOAD + loaded["enqueued"]), DRAIN_SECONDS)
    probes.close()
    return {
        **answer,
        "capacity_per_second": capacity,
        "load_per_second": loaded["enqueued"] / loaded["seconds"],
    }


def _quantile(ordered: list[float], share: float) -> float:
    """The smallest of `ordered` that at least `share` of them do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    measured_actions(idle=idle, half_load=half_load)
