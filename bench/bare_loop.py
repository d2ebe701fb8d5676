"""The bare loop of Dovecote's own HTTP client: no database, nothing kept. What no engine on this client can beat."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.work import body_of, http_client, measured_process, method_url, result_of, send, stopwatch


async def run(peer: str, notifications: int, concurrency: int) -> dict[str, Any]:
    """Send `notifications` messages, `concurrency` at a time."""
    url = method_url(peer)
    numbers = iter(range(notifications))
    async with http_client(concurrency) as client:

        async def sender() -> None:
            for number in numbers:
                await send(client, url, body_of(number))

        with stopwatch() as watch:
            await asyncio.gather(*(sender() for _ in range(concurrency)))
    return result_of(watch, notifications)


if __name__ == "__main__":
    measured_process(run)
