"""Functions that the tests' jobs call, importable by every process; what they do is noted in `CALLS`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dovecote.integrations.apscheduler import retried
from dovecote.model import Notification

if TYPE_CHECKING:
    from dovecote.integrations.apscheduler import JobUnit

CALLS: list[Any] = []
FAIL: list[Exception] = []
GATE = asyncio.Event()


async def note(*args: Any, **kwargs: Any) -> str:
    """Note what it was called with; raise what FAIL holds."""
    CALLS.append((args, kwargs))
    if FAIL:
        raise FAIL.pop()
    return "noted"


def note_in_thread(*args: Any) -> None:
    CALLS.append((args, {}))
    if FAIL:
        raise FAIL.pop()


async def wait_at_the_gate(name: str) -> None:
    CALLS.append(name)
    await GATE.wait()


@retried(attempts=3, first=timedelta(milliseconds=1), longest=timedelta(milliseconds=1))
async def note_until_it_succeeds(*args: Any) -> None:
    CALLS.append(args)
    if FAIL:
        raise FAIL.pop()


@retried(attempts=3, first=timedelta(milliseconds=1), longest=timedelta(milliseconds=1))
async def digest(uow: JobUnit, chat: int = 7) -> None:
    """Enqueue one notification, then raise what FAIL holds."""
    CALLS.append((uow.job_id, uow.fire_time, uow.attempt))
    await uow.enqueue(Notification(bot="shop", chat_id=chat, text=f"{uow.job_id} {uow.fire_time.isoformat()}"))
    if FAIL:
        raise FAIL.pop()


async def unit_in_the_middle(first: int, uow: Any, last: int, *, named: str = "") -> None:
    CALLS.append((first, uow.attempt, last, named))


async def unit_by_name(value: int, *, uow: Any) -> None:
    CALLS.append((value, uow.attempt))


def unit_without_await(uow: Any) -> None:
    CALLS.append(uow)


class Report:
    """A class whose methods somebody may want to schedule."""

    async def daily(self) -> None:
        CALLS.append("daily")

    @classmethod
    async def weekly(cls) -> None:
        CALLS.append(cls.__name__)

    def __call__(self) -> None:
        CALLS.append("called")
