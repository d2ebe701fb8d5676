"""One claimed notification to one outcome: its slot, its deadline, its token, the channel.

No request starts after the lease's end minus the time that the request may take: by then another worker may hold the
notification. The check uses the monotonic clock and stands directly before the request, so a process that was frozen
meets it first when it wakes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from dovecote.errors import StoreUnavailable, TokenUnreadable
from dovecote.model import BotStopped, Released, Scope, Snoozed, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from dovecote.model import ClaimedNotification, Outcome
    from dovecote.ports import Channel, TokenSource

logger = logging.getLogger(__name__)


class Sender:
    """Sends claimed notifications; `timeout` is the whole time that one request may take."""

    def __init__(
        self,
        channel: Channel,
        tokens: TokenSource,
        *,
        timeout: timedelta,
        unreadable_pause: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._tokens = tokens
        self._timeout = timeout
        self._unreadable_pause = unreadable_pause
        self.monotonic = monotonic
        self._told_again_at: dict[int, float] = {}

    async def send(self, claimed: ClaimedNotification, lease_ends_at: float) -> tuple[Outcome, float]:
        """Send it and answer the outcome and the seconds that it took.

        `lease_ends_at` is on the monotonic clock. Cancelled in the middle of the request, the outcome is unknown.
        """
        try:
            token = await self._tokens.token(claimed.bot_id)
        except (StoreUnavailable, asyncio.CancelledError):
            return Released(), 0.0
        except TokenUnreadable as error:
            return self._without_token(claimed, str(error)), 0.0
        except Exception as error:
            logger.exception("no token could be had", extra={"notification": claimed.id, "bot": claimed.bot})
            return self._without_token(claimed, f"no token could be had: {type(error).__name__}"), 0.0
        started_at = self.monotonic()
        if started_at >= lease_ends_at - self._timeout.total_seconds():
            return Released(), 0.0
        try:
            outcome = await self._channel.send(claimed, token, timeout=self._timeout)
        except asyncio.CancelledError:
            outcome = Unknown("it was cut off while it was being sent")
        except Exception as error:
            logger.exception("the channel broke", extra={"notification": claimed.id, "bot": claimed.bot})
            outcome = Unknown(f"the channel broke: {type(error).__name__}")
        took = self.monotonic() - started_at
        if isinstance(outcome, BotStopped):
            self._tokens.forget(claimed.bot_id)
            if not await self._is_in_force(token, claimed.bot_id):
                return Released(), took
        return outcome, took

    async def _is_in_force(self, token: str, bot_id: int) -> bool:
        """Whether a token that Telegram has refused is still the bot's: it may have been given another meanwhile.

        Where nobody can tell, it is not: nothing was sent, and the next answer is of the token that is in force then.
        """
        try:
            return await self._tokens.token(bot_id) == token
        except Exception:  # noqa: BLE001 (sending it again tells what is wrong)
            return False
        except asyncio.CancelledError:
            return False

    def _without_token(self, claimed: ClaimedNotification, error: str) -> Outcome:
        """Another worker may be able to read it, so the bot goes on; this one asks again after a pause."""
        now = self.monotonic()
        if now >= self._told_again_at.get(claimed.bot_id, now):
            self._told_again_at[claimed.bot_id] = now + self._unreadable_pause.total_seconds()
            logger.error("%s", error, extra={"bot": claimed.bot})
        return Snoozed(self._unreadable_pause, Scope.NOTIFICATION, error)
