"""A worker for the faults' tests, in a process of its own: leases of seconds, and a text that kills its sender.

Its one argument is JSON: `url`, `base_url`, `keys`, and the numbers `lease`, `timeout`, `batch_size`, `concurrency`
(times in seconds). It ends in order on SIGTERM, and then prints as JSON how many leases it found lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from deliveries import Delivery
from worker_processes import DEADLY, KILLED

from dovecote.channels.telegram import TelegramChannel
from dovecote.observability.logs import configure_logging

if TYPE_CHECKING:
    from dovecote.model import ClaimedNotification, Cycle, Outcome


class Mortal(TelegramChannel):
    """A channel that does not survive one certain text; others are in flight when it dies."""

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        if DEADLY in claimed.params:
            await asyncio.sleep(0.05)
            os._exit(KILLED)
        return await super().send(claimed, token, timeout=timeout)


async def work(given: dict[str, Any]) -> None:
    parts = Delivery(given["url"], given["base_url"], keys=given["keys"])
    channel = Mortal(given["base_url"])
    worker = parts.worker_with(
        channel,
        timeout=given["timeout"],
        lease=timedelta(seconds=given["lease"]),
        batch_size=given["batch_size"],
        concurrency=given["concurrency"],
        poll_interval=timedelta(milliseconds=100),
        longest_outage_pause=timedelta(milliseconds=500),
    )
    lost: list[int] = []
    observe = parts.dovecote.metrics.cycle_done

    def cycle_done(seconds: float, cycle: Cycle) -> None:
        lost.extend(cycle.lost)
        observe(seconds, cycle)

    parts.dovecote.metrics.cycle_done = cycle_done  # type: ignore[method-assign]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    try:
        await worker.run()
    finally:
        await channel.close()
        await parts.dovecote.close()
    sys.stdout.write(json.dumps({"lost": len(lost)}) + "\n")


if __name__ == "__main__":
    configure_logging(format="json")
    asyncio.run(work(json.loads(sys.argv[1])))
