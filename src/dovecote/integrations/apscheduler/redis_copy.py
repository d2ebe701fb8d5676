"""The copy in Redis: for whoever looks there, and to tell the leader at once of what another instance has changed.

Nothing that is read from Redis is ever run, or believed: a message is a hint to look into the database. So whoever can
write to Redis can neither let a function be called nor change when a job runs. What stands there and in no database
(planted, or of somebody else) is left where it is and reported.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dovecote.errors import LeaseStoreUnavailable, MissingExtra
from dovecote.model import Stranger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
AUDIT_SECONDS = 30.0
AT_ONCE = 500
MOST_STRANGERS = 100
LONGEST_ID = 500
EVERYTHING = "*"
BOUNDS = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
"""Seconds, where the application has not said otherwise."""
PICKLE = b"\x80"

Entry = tuple[str, float | None]
"""The definition's text, and its next run as a timestamp; None while it is paused."""


def connected(connect_args: Mapping[str, Any], db: int) -> Redis:
    """A client with bounded waits. Raises MissingExtra."""
    try:
        from redis.asyncio import Redis as Client  # noqa: PLC0415 (an extra)
        from redis.asyncio.retry import Retry  # noqa: PLC0415 (an extra)
        from redis.backoff import NoBackoff  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise MissingExtra("redis", "A job store in Redis") from error
    # What fails is tried again by the loop that asked; the client's own way would hold up the end for many seconds.
    once = Retry(NoBackoff(), 0)
    client: Redis = Client(db=db, **{**BOUNDS, "retry": once, **connect_args, "decode_responses": False})
    return client


class RedisCopy:
    """Keeps the copy. `changed` and `moved` only note; `run` does the work, backstage."""

    def __init__(
        self,
        client: Redis,
        *,
        store: str,
        run_times: str,
        leads: Callable[[], bool],
        entries: Callable[[], Mapping[str, Entry]],
        hint: Callable[[Sequence[str] | None], None],
        report: Callable[[Sequence[Stranger]], object],
    ) -> None:
        self._client = client
        self._store, self._run_times = store, run_times
        self._channel, self._mark = f"{store}:changed", f"{store}:copy"
        self._leads = leads
        self._entries = entries
        self._hint = hint
        self._report = report
        self._changes: dict[str, Entry | None] = {}
        self._announced: set[str] = set()
        self._told: set[str] = set()
        self._audited = float("-inf")
        self._whole = False
        self._gone = False
        self._wake = asyncio.Event()
        self.listening = False
        """Whether what others change is told at once."""

    def changed(self, job_id: str, entry: Entry | None) -> None:
        """This process has changed a job, or removed it."""
        self._changes[job_id] = entry
        self._announced.add(job_id)
        self._wake.set()

    def moved(self, entries: Mapping[str, Entry | None]) -> None:
        """The leader has planned: next runs have changed."""
        self._changes.update(entries)
        self._wake.set()

    async def run(self) -> None:
        """Copy, and look whether the copy is still there, for ever."""
        while True:
            try:
                await self._round()
                if self._gone:
                    logger.info("Redis is back: the copy of the jobs is written anew")
                self._gone = False
            except Exception as error:
                if not _is_redis(error):
                    raise
                self._lost(error)
            self._wake.clear()
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _lost(self, error: Exception) -> None:
        # What is not written by now is, when the whole is.
        self._whole = self.listening = False
        self._changes.clear()
        if not self._gone:
            told = LeaseStoreUnavailable(f"Redis cannot be reached: {type(error).__name__}: {error}")
            logger.warning("%s; jobs are kept in the database, and are copied when it is back", told)
        self._gone = True

    async def _round(self) -> None:
        if self._leads() and not (self._whole and await self._client.get(self._mark)):
            await self._write_all()
        await self._write_changes()
        if self._leads() and time.monotonic() - self._audited > AUDIT_SECONDS:
            await self.audit()
            self._audited = time.monotonic()

    async def _write_changes(self) -> None:
        changes, self._changes = self._changes, {}
        if changes:
            await self._write(changes)
        announced, self._announced = self._announced, set()
        if announced:
            await self._client.publish(self._channel, _message(sorted(announced)))

    async def _write_all(self) -> None:
        """Write every job, as at the beginning and after a flush."""
        self._changes.clear()
        await self._write(dict(self._entries()))
        await self._client.set(self._mark, secrets.token_hex(8))
        self._whole = True
        self._audited = float("-inf")

    async def _write(self, changes: Mapping[str, Entry | None]) -> None:
        items = list(changes.items())
        for start in range(0, len(items), AT_ONCE):
            async with self._client.pipeline(transaction=True) as pipe:
                for job_id, entry in items[start : start + AT_ONCE]:
                    if entry is None:
                        pipe.hdel(self._store, job_id)
                        pipe.zrem(self._run_times, job_id)
                        continue
                    definition, score = entry
                    pipe.hset(self._store, job_id, definition)
                    if score is None:
                        pipe.zrem(self._run_times, job_id)
                    else:
                        pipe.zadd(self._run_times, {job_id: score})
                await pipe.execute()

    async def audit(self) -> None:
        """Compare the whole copy: what was altered is written anew, what is of nobody's is reported and left."""
        true, altered, strangers = self._entries(), dict[str, "Entry | None"](), list[Stranger]()
        cursor = 0
        seen: set[str] = set()
        while True:
            answer: Any = await self._client.hscan(self._store, cursor, count=AT_ONCE)
            cursor, found = answer
            for raw_id, raw in found.items():
                job_id = _text(raw_id)
                seen.add(job_id)
                if job_id in true:
                    if _bytes(raw) != true[job_id][0].encode():
                        altered[job_id] = true[job_id]
                elif len(strangers) < MOST_STRANGERS:
                    strangers.append(self._stranger(job_id, _bytes(raw)))
            if cursor == 0:
                break
        altered.update({job_id: entry for job_id, entry in true.items() if job_id not in seen})
        # Judged by what the database says now, not by what it said when the scan began.
        now = self._entries()
        await self._write({job_id: now[job_id] for job_id in altered if job_id in now})
        strangers = [each for each in strangers if each.id not in now]
        for each in strangers:
            if each.id not in self._told:
                logger.warning("%r in %s of Redis is not run: %s", each.id, self._store, each.reason)
        self._told = {each.id for each in strangers}
        self._report(strangers)

    def _stranger(self, job_id: str, raw: bytes) -> Stranger:
        reason = "it stands in no database, so nobody knows who wrote it"
        if raw.startswith(PICKLE):
            reason = "it is a pickle, as APScheduler's own store writes: `dovecote job import` takes over such jobs"
        return Stranger(store=self._store, id=job_id[:LONGEST_ID], reason=reason, seen_at=datetime.now(UTC))

    async def listen(self) -> None:
        """Hear of what others change, for ever."""
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(self._channel)
                    self._hint(None)
                    self.listening = True
                    while True:
                        message = await subscription.get_message(timeout=1.0)
                        if message is not None:
                            self._hint(_ids(message.get("data")))
            except Exception as error:
                if not _is_redis(error):
                    raise
                self.listening = False
                await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Write what is left to write, if Redis is there, and end the connections."""
        try:
            if not self._gone:
                await self._write_changes()
        except Exception as error:
            if not _is_redis(error):
                raise
            self._lost(error)
        await self._client.aclose()


def _is_redis(error: Exception) -> bool:
    from redis.exceptions import RedisError  # noqa: PLC0415 (an extra)

    return isinstance(error, (RedisError, OSError, TimeoutError))


def _message(ids: list[str]) -> str:
    return json.dumps(ids if len(ids) <= AT_ONCE else EVERYTHING)


def _ids(data: object) -> list[str] | None:
    """Whose jobs to look at; None for all. Anybody may have written it."""
    try:
        found = json.loads(_text(data))
    except (ValueError, TypeError):
        return None
    if not isinstance(found, list) or len(found) > AT_ONCE:
        return None
    return [each for each in found if isinstance(each, str)]


def _text(raw: object) -> str:
    return raw.decode(errors="backslashreplace") if isinstance(raw, bytes) else str(raw)


def _bytes(raw: object) -> bytes:
    return raw if isinstance(raw, bytes) else str(raw).encode(errors="surrogateescape")
