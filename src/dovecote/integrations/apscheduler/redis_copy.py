"""The copy in Redis: for whoever looks there, and to tell the leader at once of what another instance has changed.

Nothing that is read from Redis is ever run, or believed: a message is a hint to look into the database. So whoever can
write to Redis can neither let a function be called nor change when a job runs.

The leader alone writes the copy, as memory has each job at that moment: whoever wrote what it knew a moment ago would
bring back a job that has ended since. Beside each entry stands a digest of what was written, so that an entry of ours
that outlived its job (a leader was lost, or Redis was away) is removed. All else that stands there and in no database
(planted, or of somebody else) is left where it is and reported.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dovecote.errors import LeaseStoreUnavailable, MissingExtra
from dovecote.model import Stranger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

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
    """Keeps the copy. `changed` and `moved` only note; `run` does the work, backstage.

    `term` is the term in which this instance leads; `entries` answers those of these jobs, or of all, that memory has
    and that are not finished; `kept` which of these the database has, None while it cannot be asked.
    """

    def __init__(
        self,
        client: Redis,
        *,
        store: str,
        run_times: str,
        term: Callable[[], int | None],
        entries: Callable[[Iterable[str] | None], Mapping[str, Entry]],
        kept: Callable[[Sequence[str]], Awaitable[set[str] | None]],
        hint: Callable[[Sequence[str] | None], None],
        report: Callable[[Sequence[Stranger]], object],
    ) -> None:
        self._client = client
        self._store, self._run_times = store, run_times
        self._channel, self._mark, self._ours = f"{store}:changed", f"{store}:copy", f"{store}:ours"
        self._term = term
        self._entries = entries
        self._kept = kept
        self._hint = hint
        self._report = report
        self._changes: set[str] = set()
        self._announced: set[str] = set()
        self._told: set[str] = set()
        self._audited = float("-inf")
        self._whole_in: int | None = None
        self._gone = False
        self._wake = asyncio.Event()
        self.listening = False
        """Whether what others change is told at once."""

    def changed(self, job_id: str) -> None:
        """This process has changed a job, or removed it."""
        self._announced.add(job_id)
        self.moved([job_id])

    def moved(self, ids: Iterable[str]) -> None:
        """Memory has these otherwise than before: planned, changed by others, or gone."""
        self._changes.update(ids)
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
        self._whole_in, self.listening = None, False
        self._changes.clear()
        if not self._gone:
            told = LeaseStoreUnavailable(in_words(error))
            logger.warning("%s; jobs are kept in the database, and are copied when it is back", told)
        self._gone = True

    async def _round(self) -> None:
        term = self._term()
        if term is not None and not (term == self._whole_in and await self._client.get(self._mark)):
            await self._write_all(term)
        await self._write_changes()
        if self._term() is not None and time.monotonic() - self._audited > AUDIT_SECONDS:
            await self.audit()
            self._audited = time.monotonic()

    async def _write_changes(self) -> None:
        changes, self._changes = self._changes, set()
        # Whoever leads next begins with the whole.
        if changes and self._term() is not None:
            await self._write(changes)
        announced, self._announced = self._announced, set()
        if announced:
            await self._client.publish(self._channel, _message(sorted(announced)))

    async def _write_all(self, term: int) -> None:
        """Write every job, as at the beginning of a term and after a flush."""
        await self._write(self._entries(None))
        await self._client.set(self._mark, secrets.token_hex(8))
        self._whole_in = term
        self._audited = float("-inf")

    async def _write(self, ids: Iterable[str]) -> None:
        """Let the copy of these be as memory has them now."""
        left = list(ids)
        for start in range(0, len(left), AT_ONCE):
            part = left[start : start + AT_ONCE]
            entries = self._entries(part)
            async with self._client.pipeline(transaction=True) as pipe:
                for job_id in part:
                    if job_id not in entries:
                        pipe.hdel(self._store, job_id)
                        pipe.hdel(self._ours, job_id)
                        pipe.zrem(self._run_times, job_id)
                        continue
                    definition, score = entries[job_id]
                    pipe.hset(self._store, job_id, definition)
                    pipe.hset(self._ours, job_id, _digest(definition.encode()))
                    if score is None:
                        pipe.zrem(self._run_times, job_id)
                    else:
                        pipe.zadd(self._run_times, {job_id: score})
                await pipe.execute()

    async def audit(self) -> None:
        """Compare the whole copy: write what was altered anew, remove what we left, report what is nobody's."""
        true, altered, ours, unknown = self._entries(None), set[str](), list[str](), list[Stranger]()
        seen: set[str] = set()
        async for job_id, raw, digest in self._scan():
            seen.add(job_id)
            if job_id in true:
                if raw != true[job_id][0].encode():
                    altered.add(job_id)
            elif digest == _digest(raw):
                ours.append(job_id)
            elif len(unknown) < MOST_STRANGERS:
                unknown.append(self._stranger(job_id, raw))
        altered.update(true.keys() - seen)
        # Judged by what the database says now: memory may not have heard yet of what has just been added.
        kept = await self._kept([*ours, *(each.id for each in unknown)])
        if kept is None:
            await self._write(altered)
            return
        await self._write([*altered, *(job_id for job_id in ours if job_id not in kept)])
        strangers = [each for each in unknown if each.id not in kept]
        for each in strangers:
            if each.id not in self._told:
                logger.warning("%r in %s of Redis is not run: %s", each.id, self._store, each.reason)
        self._told = {each.id for each in strangers}
        self._report(strangers)

    async def _scan(self) -> AsyncIterator[tuple[str, bytes, object]]:
        """Every entry: its id, what stands there, and the digest of what we wrote there, if we did."""
        cursor = 0
        while True:
            answer: Any = await self._client.hscan(self._store, cursor, count=AT_ONCE)
            cursor, found = answer
            digests: Any = await self._client.hmget(self._ours, list(found)) if found else []
            for (job_id, raw), digest in zip(found.items(), digests, strict=True):
                yield _text(job_id), _bytes(raw), digest
            if cursor == 0:
                return

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


def in_words(error: Exception) -> str:
    """What is wrong with Redis: it is not there, or it refuses what is asked of it."""
    from redis.exceptions import ResponseError  # noqa: PLC0415 (an extra)

    if not isinstance(error, ResponseError):
        return f"Redis cannot be reached: {type(error).__name__}: {error}"
    if str(error).startswith("WRONGTYPE"):
        return (
            f"a key in Redis that has the job store's name is something else's ({error}): delete it, or give the job"
            " store a database number of its own"
        )
    return f"Redis refuses what is asked of it: {error}"


def _is_redis(error: Exception) -> bool:
    from redis.exceptions import RedisError  # noqa: PLC0415 (an extra)

    return isinstance(error, (RedisError, OSError, TimeoutError))


def _digest(written: bytes) -> bytes:
    return hashlib.sha256(written).hexdigest().encode()


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
