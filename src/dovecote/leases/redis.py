"""The lease in Redis or Valkey: `ports.LeaseStore` as one key that expires by the server's own clock.

Each step is one script, so that to compare and to set is one thing. The value is "INSTANCE TOKEN". The key carries the
outbox's identity: two outboxes may share a Redis and each has a leader.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from dovecote.errors import LeaseStoreUnavailable, MissingExtra, StoreUnavailable
from dovecote.model import DELIVERIES
from dovecote.redaction import redact

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError, ResponseError
except ModuleNotFoundError as _error:
    raise MissingExtra("redis", "Electing a leader by Redis or Valkey") from _error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

DATABASE_NUMBER: Final = 1
"""Where a URL names no number: 0 is everybody's."""

# Of two acquisitions of one instance the newer stands, in whatever order they arrive. A key that never expires was not
# set here, and would leave everybody without a leader for good.
ACQUIRE: Final = """
local held = redis.call('GET', KEYS[1])
if held and redis.call('PTTL', KEYS[1]) ~= -1 then
    local instance, token = string.match(held, '^(%S+) (%d+)$')
    if instance ~= ARGV[1] or tonumber(token) >= tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1
"""
RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
RELEASE: Final = """
local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local instance, token = string.match(held, '^(%S+) (%d+)$')
if instance ~= ARGV[1] or tonumber(token) > tonumber(ARGV[2]) then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisLease:
    """`ports.LeaseStore` in the Redis or Valkey of `url`; `rediss://` for TLS.

    `identity` answers the outbox's own; it is asked once, and raises StoreUnavailable or NotMigrated. Every request is
    given up after `timeout`, connecting included, and none is repeated: the elector decides about that.
    """

    kind = "redis"

    def __init__(
        self, url: str, *, identity: Callable[[], Awaitable[str]], timeout: timedelta, election: str = DELIVERIES
    ) -> None:
        self._election = election
        self._timeout = timeout.total_seconds()
        self._identity = identity
        self._key: str | None = None
        self._redis: Redis = Redis.from_url(
            url,
            db=DATABASE_NUMBER,
            # Not the client's own bound: it writes with asyncio.wait_for, which in Python 3.11 may swallow a
            # cancellation.
            socket_timeout=None,
            socket_connect_timeout=self._timeout,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            client_name="dovecote",
        )
        options = self._redis.connection_pool.connection_kwargs
        # Never the URL, which may hold a password.
        self._place = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options['db']}"

    def __repr__(self) -> str:
        return f"RedisLease({self._place!r})"

    async def acquire(self, instance: str, token: int, lease: timedelta) -> bool:
        """See `ports.LeaseStore.acquire`."""
        return bool(await self._script(ACQUIRE, instance, token, _milliseconds(lease)))

    async def renew(self, instance: str, token: int, lease: timedelta) -> bool:
        """See `ports.LeaseStore.renew`."""
        return bool(await self._script(RENEW, instance, token, _milliseconds(lease)))

    async def release(self, instance: str, token: int) -> bool:
        """See `ports.LeaseStore.release`."""
        return bool(await self._script(RELEASE, instance, token))

    async def holder(self) -> str | None:
        """See `ports.LeaseStore.holder`."""
        key = await self._named()
        held = await self._answer(self._redis.get(key))
        return None if held is None else str(held).partition(" ")[0]

    async def close(self) -> None:
        """See `ports.LeaseStore.close`."""
        await self._redis.aclose()

    async def _script(self, script: str, *arguments: str | int) -> Any:
        key = await self._named()
        return await self._answer(self._redis.eval(script, 1, key, *map(str, arguments)))

    async def _named(self) -> str:
        if self._key is None:
            try:
                async with asyncio.timeout(self._timeout):
                    self._key = f"dovecote:{{{await self._identity()}}}:{self._election}"
            except TimeoutError as error:
                raise StoreUnavailable(f"the database has not answered within {self._timeout:g} s") from error
        return self._key

    async def _answer(self, request: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await request
        except TimeoutError as error:
            raise LeaseStoreUnavailable(
                f"Redis at {self._place} has not answered within {self._timeout:g} s"
            ) from error
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise LeaseStoreUnavailable(f"Redis at {self._place} refuses the lease: {_words(error)}") from error
            raise LeaseStoreUnavailable(
                f"Redis at {self._place} has something else under {self._key} ({_words(error)}): delete that key, or"
                " name a database number of its own in redis.url"
            ) from error
        except (RedisError, OSError) as error:
            raise LeaseStoreUnavailable(f"Redis at {self._place} cannot be used just now: {_words(error)}") from error


def _words(error: Exception) -> str:
    """What the client or the server says, in one line."""
    return redact((str(error).splitlines() or [""])[0].strip()) or type(error).__name__


def _milliseconds(lease: timedelta) -> int:
    return max(1, round(lease.total_seconds() * 1000))
