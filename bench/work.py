"""What every measured process shares: the messages, the client, the stopwatch, and how it answers.

A measured process is `python -m bench.NAME JSON`: it reads its arguments as one JSON object and writes its result so.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import uvloop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pyreqwest.client import Client

TOKEN = "123456789:AAbench_made_up_token_of_35_chars_aa"
BOT = "bench"
FIRST_CHAT = 100_000_001


def chat_of(number: int) -> int:
    """The private chat of message `number`; each has its own, as in a broadcast."""
    return FIRST_CHAT + number


def text_of(number: int) -> str:
    """The text of message `number`, about as long as a notification is."""
    return f"Your order {number} is on its way and will be with you tomorrow before noon."


def body_of(number: int) -> bytes:
    """Message `number` as the JSON body of sendMessage."""
    return orjson.dumps({"chat_id": chat_of(number), "text": text_of(number)})


def http_client(connections: int) -> Client:
    """The client of Dovecote's channel, set up as there, with no more than `connections` requests at a time."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - not every measured process has a client

    builder = ClientBuilder().default_headers({"Content-Type": "application/json"}).http1_only()
    builder = builder.follow_redirects(enable=False).referer(enable=False).no_proxy()
    builder = builder.gzip(enable=False).brotli(enable=False).zstd(enable=False).deflate(enable=False)
    return builder.max_connections(connections).pool_max_idle_per_host(connections).build()


async def send(client: Client, url: str, body: bytes) -> None:
    """Post one message and read the answer. Raises RuntimeError unless the Bot API accepted it."""
    response = await client.post(url).body_bytes(body).build().send()
    answer = orjson.loads(memoryview(await response.bytes()))
    if answer["ok"] is not True or not isinstance(answer["result"]["message_id"], int):
        raise RuntimeError(f"the peer answered {answer}")


def method_url(peer: str) -> str:
    """Where sendMessage stands at `peer`."""
    return f"{peer}/bot{TOKEN}/sendMessage"


@dataclass(slots=True)
class Stopwatch:
    """What a measured stretch took: by the clock, and of this process's time on the processors."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextlib.contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure the body of the `with`."""
    watch = Stopwatch()
    began, began_cpu = time.perf_counter(), time.process_time()
    yield watch
    watch.seconds = time.perf_counter() - began
    watch.cpu_seconds = time.process_time() - began_cpu


def result_of(watch: Stopwatch, notifications: int, **more: Any) -> dict[str, Any]:
    """A measured process's result: rates per second, microseconds of processor per notification, peak memory."""
    return {
        "notifications": notifications,
        "seconds": watch.seconds,
        "rate": notifications / watch.seconds,
        "cpu_us": watch.cpu_seconds / notifications * 1e6,
        "peak_rss_mb": peak_rss_kb() / 1024,
        **more,
    }


def peak_rss_kb() -> int:
    """The most memory that this process has had, in KB: getrusage knows that of whoever started it as well."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured_process(run: Callable[..., Awaitable[dict[str, Any]]]) -> None:
    """Run `run` with the arguments of the command line on uvloop, and write its result."""

    async def main(**arguments: Any) -> dict[str, Any]:
        return await run(**arguments)

    blocking_process(lambda **arguments: uvloop.run(main(**arguments)))


def blocking_process(run: Callable[..., dict[str, Any]]) -> None:
    """Call `run`, which needs no loop, with the arguments of the command line, and write its result."""
    result = run(**json.loads(sys.argv[1]))
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def measured_actions(**actions: Callable[..., Awaitable[dict[str, Any]]]) -> None:
    """The same for a process that can do several things: the argument `action` says which, the others are its own."""

    async def run(action: str, **arguments: Any) -> dict[str, Any]:
        return await actions[action](**arguments)

    measured_process(run)
