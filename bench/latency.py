"""How long an idle worker takes from an application's commit to the request.

This process is the application and the Bot API in one, so both instants are read from one clock by one loop: the
commit's return, and the arrival of the request's last byte at a socket. The worker is a process of its own.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import Any

import asyncpg

from bench.dovecote_run import dovecote_at, notification
from bench.work import measured_process

# Long enough for a worker to be idle again, and not in step with any interval of its own.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.020, 0.050
WARM_UP = 50
ARRIVAL_SECONDS = 10.0

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


async def run(url: str, port: int, samples: int) -> dict[str, Any]:
    """Commit `samples` notifications one after another; answers milliseconds from commit to request."""
    arrivals: dict[int, int] = {}
    committed: dict[int, int] = {}
    arrived = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(lambda: _BotApi(arrivals, arrived), "127.0.0.1", port)
    pauses = random.Random(1)
    connection = await asyncpg.connect(url)
    async with dovecote_at(url) as dovecote:
        for number in range(WARM_UP + samples):
            async with connection.transaction():
                await dovecote.enqueue(connection, notification(number))
            committed[number] = time.monotonic_ns()
            await asyncio.sleep(pauses.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
        async with asyncio.timeout(ARRIVAL_SECONDS):
            while len(arrivals) < len(committed):
                arrived.clear()
                await arrived.wait()
    await connection.close()
    server.close()
    took = sorted((arrivals[number] - committed[number]) / 1e6 for number in range(WARM_UP, WARM_UP + samples))
    return {
        "samples": samples,
        "commit_to_request_p50_ms": _quantile(took, 0.50),
        "commit_to_request_p99_ms": _quantile(took, 0.99),
        "commit_to_request_max_ms": took[-1],
    }


def _quantile(ordered: list[float], share: float) -> float:
    """The smallest of `ordered` that at least `share` of them do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    measured_process(run)
