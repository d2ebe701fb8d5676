"""The way over from APScheduler's own job store: its pickled jobs, once, by a command that was told to trust them.

To read a pickle is to run whatever it says. Nothing but `dovecote job import` calls this, and only after its operator
has said that whoever could write to that Redis may run code here. The old entries stay where they are.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dovecote.errors import InvalidJob, LeaseStoreUnavailable, MissingExtra
from dovecote.integrations.apscheduler.definitions import definition_state
from dovecote.integrations.apscheduler.redis_copy import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.ports import JobStore


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one entry: `problem` is None for a job that was taken over."""

    id: str
    function: str | None
    next_run_at: datetime | None
    problem: str | None


async def entries(url: str, jobs_key: str) -> dict[str, bytes]:
    """What stands there, unread. Raises LeaseStoreUnavailable, MissingExtra."""
    try:
        from redis.asyncio import Redis  # noqa: PLC0415 (an extra)
        from redis.exceptions import RedisError  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise MissingExtra("redis", "Reading a job store in Redis") from error
    try:
        client: Any = Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=5.0)
    except ValueError as error:
        raise LeaseStoreUnavailable(f"that is no URL of Redis: write redis://HOST:PORT/NUMBER ({error}).") from error
    try:
        found: Mapping[bytes, bytes] = await client.hgetall(jobs_key)
    except (RedisError, OSError, TimeoutError) as error:
        raise LeaseStoreUnavailable(in_words(error)) from error
    finally:
        await client.aclose()
    return {key.decode(errors="backslashreplace"): value for key, value in found.items()}


async def take_over(raw: Mapping[str, bytes], jobs: JobStore) -> list[Imported]:
    """Unpickle these, which RUNS what they say, and keep as JSON what can be kept so; by id.

    A job whose id is known already is left as it is. Raises StoreUnavailable, NotMigrated.
    """
    done: list[Imported] = []
    for job_id, value in sorted(raw.items()):
        reference: str | None = None
        next_run_at: datetime | None = None
        try:
            reference, definition, next_run_at = _read(value)
        except InvalidJob as error:
            done.append(Imported(job_id, None, None, str(error)))
            continue
        added = await jobs.add(job_id, definition, next_run_at)
        problem = None if added is not None else "there is a job of that id already"
        done.append(Imported(job_id, reference, next_run_at, problem))
    return done


def _read(value: bytes) -> tuple[str, str, datetime | None]:
    try:
        state = pickle.loads(value)  # noqa: S301 (its operator has been told what this does)
        reference = str(state["func"])
        next_run_at: datetime | None = state["next_run_time"]
        definition = definition_state(reference, state)
    except InvalidJob:
        raise
    except Exception as error:
        raise InvalidJob(f"it cannot be read: {type(error).__name__}: {error}") from error
    return reference, definition, None if next_run_at is None else next_run_at.astimezone(UTC)
