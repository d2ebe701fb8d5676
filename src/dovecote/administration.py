"""The operator's side of an outbox: its bots, its dead letters and unknowns, its recipients, its numbers."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from dovecote.errors import TokenUnreadable, UnknownBot
from dovecote.model import EVERYTHING, State
from dovecote.recipients import Eraser, RecipientAdministration
from dovecote.schedule_checks import checked_zone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dovecote.model import Bot, BotRetention, NotificationRecord, Selection, Stats
    from dovecote.ports import BotStore, HistoryStore, RecipientBook, RecipientStore, RetentionStore
    from dovecote.vault import Vault

PRIVATE_LIMIT = (3, 3.0)
GROUP_LIMIT = (20, 60.0)


class Administration(RecipientAdministration):
    """What an operator does with an outbox. A `Dovecote` is one."""

    def __init__(
        self,
        *,
        bots: BotStore,
        history: HistoryStore,
        retentions: RetentionStore,
        recipients: RecipientStore,
        book: RecipientBook,
        eraser: Eraser,
        vault: Vault,
    ) -> None:
        super().__init__(recipients, book, eraser)
        self._bots = bots
        self._history = history
        self._retentions = retentions
        self._vault = vault

    def unseal(self, bot: Bot) -> str:
        """A bot's token. Raises TokenUnreadable."""
        return self._vault.open(bot, os.environ)

    async def add_bot(
        self,
        name: str,
        *,
        token: str | None = None,
        token_variable: str | None = None,
        pace: float | None = 30.0,
        private_limit: tuple[int, float] | None = PRIVATE_LIMIT,
        group_limit: tuple[int, float] | None = GROUP_LIMIT,
    ) -> Bot:
        """Add a bot, with its token (kept sealed) or the name of the environment variable that holds it.

        `pace` is messages per second over all workers; the limits are (messages, seconds) per chat. None switches one
        off, which only a server of one's own allows.
        """
        if (token is None) == (token_variable is None):
            raise ValueError(f'bot "{name}": give either its token or the name of the variable that holds it.')
        return await self._bots.add_bot(
            name,
            token_sealed=None if token is None else self._vault.seal(token),
            token_variable=token_variable,
            pace=pace,
            private_limit=private_limit,
            group_limit=group_limit,
        )

    async def set_token(self, name: str, *, token: str | None = None, token_variable: str | None = None) -> None:
        """Replace a bot's token, and start the bot again if Telegram had refused the old one. Raises UnknownBot."""
        if (token is None) == (token_variable is None):
            raise ValueError(f'bot "{name}": give either its token or the name of the variable that holds it.')
        sealed = None if token is None else self._vault.seal(token)
        await self._bots.set_token(name, token_sealed=sealed, token_variable=token_variable)

    async def reseal_tokens(self) -> int:
        """Seal every stored token with the first key of the ring, and answer how many there were."""
        sealed = [bot for bot in await self._bots.bots() if bot.token_sealed is not None]
        for bot in sealed:
            await self._bots.reseal(bot.name, self._vault.reseal(str(bot.token_sealed)))
        return len(sealed)

    async def set_limits(
        self,
        name: str,
        *,
        pace: float | None,
        private_limit: tuple[int, float] | None = PRIVATE_LIMIT,
        group_limit: tuple[int, float] | None = GROUP_LIMIT,
    ) -> None:
        """Replace a bot's limits; workers keep to them from their next claim. Raises UnknownBot."""
        await self._bots.set_limits(name, pace=pace, private_limit=private_limit, group_limit=group_limit)

    async def set_paid_broadcasts(self, name: str, *, pace: float | None, stars_per_day: int | None = None) -> None:
        """Let a bot send up to `pace` messages a second where Stars pay for it, for at most so many Stars a day (UTC).

        `pace` is above the bot's own and at most 1000; None for both switches it off. Workers keep to it from their
        next claim. Raises UnknownBot, and ValueError for what cannot be.
        """
        await self._bots.set_paid_broadcasts(name, pace=pace, stars_per_day=stars_per_day)

    async def namesakes(self, name: str) -> Sequence[str]:
        """Which other bots send with a token of the same bot of Telegram's, as far as tokens can be read here.

        Their limits would not know of each other, and Telegram would refuse both. Raises UnknownBot.
        """
        numbers: dict[str, str] = {}
        bots = await self._bots.bots()
        for bot in bots:
            with suppress(TokenUnreadable):
                numbers[bot.name] = self.unseal(bot).partition(":")[0]
        if name not in {bot.name for bot in bots}:
            raise UnknownBot(name, [bot.name for bot in bots])
        return [other for other, number in numbers.items() if other != name and number == numbers.get(name)]

    async def bots(self) -> Sequence[Bot]:
        """All bots, by name."""
        return await self._bots.bots()

    async def notification(self, notification_id: int) -> NotificationRecord:
        """One notification's life so far. Raises UnknownNotification."""
        return await self._history.notification(notification_id)

    async def notification_of_key(self, bot: str, key: str) -> int | None:
        """The id of the notification that was enqueued with that key, while it is remembered. Raises UnknownBot."""
        return await self._history.id_of_key(bot, key)

    async def dead_letters(
        self, selection: Selection = EVERYTHING, *, before_id: int | None = None, limit: int = 50
    ) -> Sequence[NotificationRecord]:
        """Dead letters, the newest first, a page at a time. Raises UnknownBot."""
        return await self._history.settled(State.DEAD, selection, before_id=before_id, limit=limit)

    async def replay(self, ids: Sequence[int], *, due_in: timedelta = timedelta(0)) -> Sequence[int]:
        """Make dead letters due again with a fresh count of failures; answers the ids that were dead.

        What has lost its payload is left alone, and is not among them: see `without_payload`.
        """
        return await self._history.replay(ids, due_in=due_in)

    async def purge(self, ids: Sequence[int], *, unknown: bool = False) -> Sequence[int]:
        """Forget dead letters (or `unknown` ones) with all their attempts; answers the ids that were so.

        Their keys are remembered until their windows end: nothing is sent a second time by a purge.
        """
        return await self._history.purge(State.UNKNOWN if unknown else State.DEAD, ids)

    async def unknowns(
        self, selection: Selection = EVERYTHING, *, before_id: int | None = None, limit: int = 50
    ) -> Sequence[NotificationRecord]:
        """Those that may have been delivered and nobody can tell, the newest first. Raises UnknownBot."""
        return await self._history.settled(State.UNKNOWN, selection, before_id=before_id, limit=limit)

    async def resolve_unknown(self, ids: Sequence[int], *, delivered: bool) -> Sequence[int]:
        """Decide unknown ones: they were delivered, or, with `delivered=False`, they are sent again, due now.

        Answers the ids that were unknown; the others are left alone, and so is what is to be sent again and has lost
        its payload.
        """
        return await self._history.resolve_unknown(ids, delivered=delivered)

    async def set_bot_zone(self, name: str, zone: str | None) -> None:
        """Set the zone of recipients whose own nobody knows; None for that of each schedule.

        Raises UnknownBot, InvalidSchedule for a zone that is none.
        """
        await self._bots.set_zone(name, None if zone is None else checked_zone(zone))

    async def without_payload(self, ids: Sequence[int]) -> Sequence[int]:
        """Which of these are settled and have lost their payload, for retention or with their recipient."""
        return await self._retentions.emptied(ids)

    async def retentions(self) -> Mapping[str, BotRetention]:
        """What bots have of their own of the settings of retention, of those that have any."""
        return await self._retentions.retentions()

    async def set_retention(self, bot: str, own: BotRetention) -> None:
        """Replace what a bot has of its own of the settings of retention; the next round of pruning keeps to it.

        Raises UnknownBot, and ValueError with every fault.
        """
        await self._retentions.set_retention(bot, own)

    async def stats(self, *, bot: str | None = None) -> Stats:
        """The outbox and its history in numbers. Raises UnknownBot."""
        return await self._history.stats(bot=bot)
