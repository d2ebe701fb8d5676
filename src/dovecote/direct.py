"""Direct messages: what a bot's own code sends past the outbox shares the bot's pace with it.

Each takes a slot of the bot's timeline and is sent at once, whatever bulk is waiting; the bulk goes on later by as
much. It waits where Telegram has told the bot to wait, or where direct messages alone exceed the pace. What Telegram
says to one of them is heard by every worker: a 429 is settled as that of a claimed notification is.

The database only helps here. Where it does not answer in time the message goes, and for a while it is not asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from dovecote.errors import UnknownBot
from dovecote.model import ClaimedNotification, DeliveryPolicy, Scope, Settlement, Snoozed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from dovecote.ports import BotStore, DirectSlots, OutboxStore

logger = logging.getLogger(__name__)

LONGEST_WAIT: Final = 30.0
"""Seconds. Whoever would have to wait longer is told so in place of being kept."""
PATIENCE: Final = 1.0
"""Seconds that the database has for an answer."""
PAUSE: Final = 10.0
"""Seconds for which a database that gave none is not asked."""

# In lower case, as Telegram compares names; all others put no message into a chat.
_MESSAGES: Final = ("send", "copymessage", "forwardmessage")
_NO_MESSAGES: Final = frozenset(
    {"sendchataction", "sendmessagedraft", "sendrichmessagedraft", "sendchatjoinrequestwebapp"}
)
_MANY: Final = {"sendmediagroup": "media", "copymessages": "message_ids", "forwardmessages": "message_ids"}


def messages_of(method: str, params: Mapping[str, Any]) -> int:
    """How many messages a call makes, which is how many slots it takes; 0 for a call that makes none."""
    name = method.lower()
    if not name.startswith(_MESSAGES) or name in _NO_MESSAGES:
        return 0
    items = params.get(_MANY.get(name, ""))
    return max(1, len(items)) if isinstance(items, list | tuple) else 1


class DirectMessages:
    """The pace of what one process sends directly, of all bots. `sleep` and `monotonic` count seconds."""

    def __init__(
        self,
        slots: DirectSlots,
        outbox: Callable[[], OutboxStore],
        bots: BotStore,
        *,
        longest_wait: float = LONGEST_WAIT,
        patience: float = PATIENCE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._outbox = outbox
        self._bots = bots
        self._longest_wait = longest_wait
        self._patience = patience
        self._sleep = sleep
        self._monotonic = monotonic
        self._ids: dict[str, int] = {}
        self._asked_again_at = 0.0
        self._away = False

    async def turn(self, bot: str, messages: int) -> float:
        """Take the slots of a call that makes `messages`, and wait until it may be made; answers 0.

        A wait of over `longest_wait` seconds is not waited but answered: the call is not to be made. Raises UnknownBot.
        """
        if not messages or self._monotonic() < self._asked_again_at:
            return 0.0
        try:
            async with asyncio.timeout(self._patience):
                taken = await self._slots.take(bot, messages, longest_wait=self._longest_wait)
                names = [] if taken else [each.name for each in await self._bots.bots()]
        except Exception as error:  # noqa: BLE001 (whatever the database has: the person who waits gets the answer)
            self._let_go(error)
            return 0.0
        self._away = False
        if taken is None:
            raise UnknownBot(bot, names)
        self._ids[bot] = taken.bot_id
        if taken.send_in > self._longest_wait:
            return taken.send_in
        if taken.send_in > 0:
            await self._sleep(taken.send_in)
        return 0.0

    async def told_to_wait(self, bot: str, chat_id: object, seconds: float) -> None:
        """Let every worker know of a 429 to a direct call: the bot waits, or its group where it was sent to one."""
        try:
            async with asyncio.timeout(self._patience):
                bot_id = self._ids.get(bot) or await self._id_of(bot)
                if bot_id is None:
                    return
                settlement = _refused(bot, bot_id, chat_id, timedelta(seconds=seconds))
                await self._outbox().cycle([settlement], claim=0, lease=timedelta(seconds=60))
        except Exception as error:  # noqa: BLE001 (as above; each worker hears of Telegram itself)
            self._let_go(error)

    async def _id_of(self, bot: str) -> int | None:
        taken = await self._slots.take(bot, 0, longest_wait=0.0)
        return None if taken is None else taken.bot_id

    def _let_go(self, error: Exception) -> None:
        self._asked_again_at = self._monotonic() + PAUSE
        if not self._away:
            self._away = True
            reason = f"it gave no answer within {self._patience:g} s" if isinstance(error, TimeoutError) else str(error)
            logger.warning("direct messages do not share the pace until the database can be asked again: %s", reason)

    async def close(self) -> None:
        """Give back every connection."""
        await self._slots.close()


def _refused(bot: str, bot_id: int, chat_id: object, wait: timedelta) -> Settlement:
    """A 429 as the settlement of a claim that nobody has: what it says of others is true whoever has the lease."""
    chat = None if chat_id is None else str(chat_id)
    # Telegram does not say whether the bot's limit or that of the group was met.
    scope = Scope.CHAT if chat is not None and chat.startswith(("-", "@")) else Scope.BOT
    nothing = ClaimedNotification(
        id=0,
        lease_token=0,
        bot_id=bot_id,
        bot=bot,
        chat=chat,
        method="",
        params="{}",
        delivery=DeliveryPolicy.AT_LEAST_ONCE,
        attempt=0,
        failures=0,
        send_in=0.0,
        slot=None,
    )
    return Settlement(nothing, Snoozed(wait, scope))
