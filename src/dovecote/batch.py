"""One batch by hand, for those who call from a loop or a cron job of their own: claim, send, commit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovecote.model import Dead, Delivered, Failed, Unknown

if TYPE_CHECKING:
    from datetime import timedelta

    from dovecote.model import ClaimedNotification, Outcome
    from dovecote.sender import Sender
    from dovecote.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """How many were claimed, and what came of them. `waiting` were given back untried or told to wait."""

    claimed: int = 0
    delivered: int = 0
    failed: int = 0
    unknown: int = 0
    dead: int = 0
    waiting: int = 0


async def process_batch(
    uow: UnitOfWork, sender: Sender, *, batch_size: int, concurrency: int, lease: timedelta
) -> BatchSummary:
    """Claim up to `batch_size`, send each in its slot, and record all outcomes in one commit."""
    lease_ends_at = sender.monotonic() + lease.total_seconds()
    counts = dict.fromkeys(("delivered", "failed", "unknown", "dead", "waiting"), 0)
    room = asyncio.Semaphore(concurrency)

    async def deliver(claimed: ClaimedNotification) -> None:
        await asyncio.sleep(claimed.send_in)
        async with room:
            outcome, took = await sender.send(claimed, lease_ends_at)
        counts[_name(outcome)] += 1
        uow.outbox.mark(claimed.id, outcome, took)

    async with uow:
        claimed = await uow.outbox.claim_pending(limit=batch_size)
        await asyncio.gather(*map(deliver, claimed))
        if claimed:
            await uow.commit()
    return BatchSummary(claimed=len(claimed), **counts)


def _name(outcome: Outcome) -> str:
    match outcome:
        case Delivered():
            return "delivered"
        case Failed():
            return "failed"
        case Unknown():
            return "unknown"
        case Dead():
            return "dead"
        case _:
            return "waiting"
