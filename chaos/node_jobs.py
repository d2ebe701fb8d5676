"""What the jobs of a campaign do, where every scheduler instance finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovecote import Notification

if TYPE_CHECKING:
    from dovecote.integrations.apscheduler import JobUnit


async def fire(chat: int, uow: JobUnit) -> None:
    """One notification for each fire time, which it says."""
    await uow.enqueue(Notification(bot="shop", chat_id=chat, text=f"{uow.job_id} {uow.fire_time.timestamp():.3f}"))
