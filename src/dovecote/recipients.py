"""What an application and its operator do with recipients: who takes nothing more, and what is known of whom."""

from __future__ import annotations

from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dovecote.broadcasts.sources import batches
from dovecote.errors import FileInUse, UnknownFile, UnknownSchedule
from dovecote.model import UNCHANGED, Imported, Origin, RecipientChange
from dovecote.recipient_checks import checked_change, checked_line
from dovecote.schedule_checks import checked_zone
from dovecote.validation import prepared_chat, prepared_recipient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from dovecote.files import Files
    from dovecote.model import BadLine, Erased, QuietHours, Recipient, Unchanged
    from dovecote.ports import ErasingStore, RecipientBook, RecipientStore
    from dovecote.schedules import Schedules


PAGE: Final = 1000
NAMED: Final = 100
"""So many bad lines are named; all are counted."""


class Eraser:
    """Erases a person everywhere: in the tables, and what only the schedules and the files themselves can remove."""

    def __init__(self, store: ErasingStore, schedules: Callable[[], Schedules], files: Callable[[], Files]) -> None:
        self._store = store
        self._schedules = schedules
        self._files = files

    async def erase(self, bot: str, chat: str) -> Erased:
        """See `RecipientAdministration.erase_recipient`."""
        erased = await self._store.erase(bot, chat)
        left = []
        for name in erased.schedules:
            with suppress(UnknownSchedule):
                if (await self._schedules().get(name)).origin is Origin.FILE:
                    left.append(name)
                else:
                    await self._schedules().delete(name)
        for file_id in erased.files:
            with suppress(UnknownFile, FileInUse):
                await self._files().delete(file_id)
        changed = erased.schedules_changed + len(erased.schedules) - len(left)
        return replace(erased, schedules=tuple(left), schedules_changed=changed)


class RecipientAdministration:
    """What is done with the recipients of an outbox. A `Dovecote` is one."""

    def __init__(self, recipients: RecipientStore, book: RecipientBook, eraser: Eraser) -> None:
        self._recipients = recipients
        self._recipient_book = book
        self._eraser = eraser

    async def erase_recipient(self, bot: str, chat_id: int | str) -> Erased:
        """Forget a person: afterwards no table and no stored file holds what was known of, sent to or said in the chat.

        Counts of broadcasts and statistics stay as they were. While something is in flight to it (`in_flight` of the
        answer), erase again; what the answer names is yours to judge. An opt-out is forgotten as well, so stop sending
        to it first. Raises UnknownBot, InvalidNotification for what is no chat.
        """
        return await self._eraser.erase(bot, prepared_chat(chat_id))

    async def import_recipients(
        self, bot: str, source: object, *, told: Callable[[int], None] = lambda _: None
    ) -> Imported:
        """Tell of many: the Path of a .csv or .jsonl file, or an iterable of mappings, read in batches of 1,000.

        Each has a `chat_id` and any of the fields of `set_recipient` (`seen_at` for when it was seen), and perhaps
        `disabled_at` with a `reason`; what `export_recipients` adds to them is taken and left aside. An empty cell of a
        CSV file changes nothing; null in JSON takes back. Bad lines are reported and the good ones kept. `told` hears
        how many were read. Raises UnknownBot, and InvalidBroadcast for what is no source.
        """
        good = bad = 0
        named: list[BadLine] = []
        async with aclosing(batches(source, checked_line)) as found:
            async for batch in found:
                if batch.recipients:
                    await self._recipient_book.tell(bot, batch.recipients)
                good += len(batch.recipients)
                bad += len(batch.bad)
                named += batch.bad[: NAMED - len(named)]
                told(good + bad)
        return Imported(good, bad, tuple(named))

    async def export_recipients(self, *, bot: str) -> AsyncIterator[Recipient]:
        """All of which anything is known, read a page at a time. Raises UnknownBot."""
        before: str | None = None
        while page := await self.recipients(bot=bot, before_chat=before, limit=PAGE):
            for recipient in page:
                yield recipient
            before = page[-1].chat

    async def set_recipient(
        self,
        bot: str,
        chat_id: int | str,
        *,
        zone: str | Unchanged | None = UNCHANGED,
        language: str | Unchanged | None = UNCHANGED,
        labels: Sequence[str] | Unchanged = UNCHANGED,
        opted_out: Sequence[str] | Unchanged = UNCHANGED,
        quiet_hours: QuietHours | str | Unchanged | None = UNCHANGED,
        seen: datetime | bool = False,
    ) -> None:
        """Tell what is known of a recipient; what is not given stays, and None (or an empty list) takes it back.

        From now on it is a recipient of the bot's schedules and broadcasts for everybody. `zone` is where it lives, as
        "Europe/Berlin"; `language` a tag of BCP 47, as "pt-BR"; `opted_out` are the categories that it gets nothing of;
        `quiet_hours` are `QuietHours` or text such as "22:00-08:00 silent"; `seen` is when it was heard of, True for
        now, and an earlier instant changes nothing. Raises UnknownBot, and InvalidRecipient with every fault.
        """
        given = {
            "zone": zone,
            "language": language,
            "labels": labels,
            "opted_out": opted_out,
            "quiet_hours": quiet_hours,
            "seen": seen,
        }
        await self._recipient_book.tell(bot, [checked_change(chat_id, given)])

    async def recipient(self, bot: str, chat_id: int | str) -> Recipient:
        """What is known of one: a chat, or a topic of a group as "-1001234/5".

        Raises UnknownBot, UnknownRecipient, InvalidNotification for what is no chat.
        """
        return await self._recipient_book.get(bot, prepared_recipient(chat_id))

    async def recipients(self, *, bot: str, before_chat: str | None = None, limit: int = 50) -> Sequence[Recipient]:
        """All of which anything is known, from the last chat to the first in byte order, a page at a time.

        Raises UnknownBot.
        """
        return await self._recipient_book.page(bot, before_chat=before_chat, limit=limit)

    async def disabled_recipients(
        self, *, bot: str, before_chat: str | None = None, limit: int = 50
    ) -> Sequence[Recipient]:
        """Whom a bot sends nothing more, with reason and time, from the last chat to the first, a page at a time.

        Raises UnknownBot.
        """
        return await self._recipients.disabled(bot, before_chat=before_chat, limit=limit)

    async def enable_recipient(self, bot: str, chat_id: int | str) -> bool:
        """Send to it again: for a /start, or a `my_chat_member` update to member. Answers whether it was disabled.

        `chat_id` is a chat, or a topic of a group as "-1001234/5". Raises UnknownBot, InvalidNotification.
        """
        return await self._recipients.enable(bot, prepared_recipient(chat_id))

    async def disable_recipient(self, bot: str, chat_id: int | str, *, reason: str) -> bool:
        """Send nothing more to it, as after an opt-out: what waits for it becomes dead. Answers whether it was enabled.

        Raises UnknownBot, InvalidNotification, and ValueError for a reason that says nothing.
        """
        return await self._recipients.disable(bot, prepared_recipient(chat_id), reason)

    async def welcome_recipient(self, bot: str, chat_id: int | str) -> bool:
        """Take a recipient in, as for a /start: it is sent to, and schedules for everybody mean it from now on.

        Where it lives stays known. Answers whether it was disabled. Raises UnknownBot, InvalidNotification.
        """
        return await self._recipients.welcome(bot, prepared_chat(chat_id))

    async def move_recipient(self, bot: str, chat_id: int | str, new_chat_id: int | str) -> int:
        """Follow a group to the supergroup that it has become, with all that waits for it; answers how much that is.

        Again it does nothing. Raises UnknownBot, InvalidNotification.
        """
        return await self._recipients.move(bot, prepared_chat(chat_id), prepared_chat(new_chat_id))

    async def set_recipient_zone(self, bot: str, chat_id: int | str, zone: str | None) -> None:
        """Note where a recipient lives, as "Europe/Berlin", for schedules by local time; None where nobody knows.

        Either way it is a recipient of the bot's schedules for everybody from now on. Raises UnknownBot,
        InvalidNotification, InvalidSchedule for a zone that is none.
        """
        known = None if zone is None else checked_zone(zone)
        await self._recipient_book.tell(bot, [RecipientChange(chat=prepared_chat(chat_id), zone=known)])

    async def unblock_chat(self, bot: str, chat_id: int | str) -> int:
        """Make due now what waits in a chat for a retry, a 429 or its turn, and answer how many; order is kept.

        What was enqueued for later stays so. Raises UnknownBot, InvalidNotification.
        """
        return await self._recipients.unblock(bot, prepared_chat(chat_id))
