"""For tests of what an answer means: a Dovecote, and an emulator that answers as it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deliveries import until

from dovecote.emulator import Match, Rule
from dovecote.model import Notification

if TYPE_CHECKING:
    from deliveries import Delivery

    from dovecote.emulator import Answer, Emulator
    from dovecote.model import Bot, NotificationRecord

QUICK = {"first": "10ms", "longest": "50ms"}


@dataclass
class Table:
    """A Dovecote and an emulator that answers as it is told."""

    parts: Delivery
    emulator: Emulator

    def answers(self, answer: Answer, *, chat: int | None = None, times: int | None = None) -> None:
        """Answer so to the requests for this chat, or to all; so many times, or always."""
        self.emulator.script(Rule(answer, Match(chat_id=chat), times=times))

    async def enqueue(self, chat: int = 7, *, text: str | None = "hello", **named: Any) -> int:
        """Enqueue one."""
        (id_,) = await self.parts.enqueue(Notification(bot="shop", chat_id=chat, text=text, **named))
        return id_

    async def settled(self, *ids: int) -> list[NotificationRecord]:
        """Work until these have left the outbox; answers their lives."""
        async with self.parts.working():
            await until(lambda: self._are_settled(ids))
        return [await self.parts.dovecote.notification(id_) for id_ in ids]

    async def _are_settled(self, ids: tuple[int, ...]) -> bool:
        records = [await self.parts.dovecote.notification(id_) for id_ in ids]
        return all(record.settled_at is not None for record in records)

    async def recipients(self) -> list[tuple[str, str | None, int]]:
        """Chat, reason of the disabling (None where it is not disabled), and strikes of each recipient."""
        return [
            (chat, None if disabled_at is None else reason, strikes)
            for _, chat, disabled_at, reason, strikes, *_ in await self.parts.rows("recipient")
        ]

    async def bot(self) -> Bot:
        """The bot as the database has it."""
        (bot,) = await self.parts.dovecote.bots()
        return bot

    def requests(self, chat: int) -> int:
        """How many requests were made for the chat."""
        return len([record for record in self.emulator.requests if record.chat_id == chat])

    def texts(self) -> list[Any]:
        """What Telegram would have shown, in order."""
        return [record.parameters["text"] for record in self.emulator.accepted]
