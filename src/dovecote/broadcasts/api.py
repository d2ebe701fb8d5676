"""Broadcasts, as an application and its operator work with them: `Dovecote.broadcasts`."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from dovecote.broadcast_form import params_in
from dovecote.broadcasts.content import Content, checked_form
from dovecote.broadcasts.estimate import estimated
from dovecote.broadcasts.sources import addressee, batches
from dovecote.broadcasts.undoing import BATCH, Undoing, in_pages
from dovecote.content import Fault
from dovecote.errors import InvalidBroadcast, InvalidNotification, InvalidRecipient
from dovecote.model import (
    Added,
    Broadcast,
    BroadcastKind,
    BroadcastState,
    DryRun,
    Estimate,
    Notification,
    Priority,
    Quiet,
    Rendering,
    Segment,
    StoredContent,
)
from dovecote.recipient_checks import checked_segment
from dovecote.references import restored
from dovecote.validation import prepared, prepared_chat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from dovecote.model import BroadcastRecord, RecipientRecord, RecipientState
    from dovecote.ports import BotStore, BroadcastBook, BroadcastRecipients, BroadcastStore

    Send = Callable[[Sequence[Notification]], Awaitable[Sequence[int]]]
    Rows = Callable[..., AsyncIterator[Mapping[str, Any]]]
    Refusal = Callable[[Mapping[str, Any]], str | None]
    Told = Callable[[int], None]

PAGE: Final = 1000
NAMED: Final = 100
"""So many bad lines and refusals are named; all are counted."""


def _unheard(_count: int) -> None:
    """Nobody wants to know."""


class Broadcasts:
    """What broadcasts there are, and everything that is done with them. Every call may be made from any process.

    `send` enqueues notifications in a transaction of its own; `rows` reads a query in pages, and `refusal` answers what
    Telegram would say of parameters that it refuses for their markup.
    """

    def __init__(
        self,
        book: BroadcastBook,
        recipients: BroadcastRecipients,
        store: BroadcastStore,
        bots: BotStore,
        *,
        send: Send,
        rows: Rows,
        refusal: Refusal,
    ) -> None:
        self._book = book
        self._recipients = recipients
        self._store = store
        self._bots = bots
        self._send = send
        self._rows = rows
        self._refusal = refusal
        self._undoing = Undoing(book, recipients, store)

    # What there is.

    async def create(
        self, broadcast: Broadcast, recipients: object = None, *, told: Told = _unheard
    ) -> tuple[BroadcastRecord, Added]:
        """Keep a broadcast as a draft, with the recipients of a source if one is given (see `add_recipients`).

        Raises InvalidBroadcast, InvalidNotification, UnknownBot, UnknownFile, MissingExtra.
        """
        form = checked_form(broadcast)
        await self._book.add(broadcast.name, broadcast.bot, form)
        added = Added() if recipients is None else await self.add_recipients(broadcast.name, recipients, told=told)
        return await self._book.get(broadcast.name), added

    async def get(self, name: str) -> BroadcastRecord:
        """The broadcast of that name with its progress: one row, whatever its size. Raises UnknownBroadcast."""
        return await self._book.get(name)

    async def list(self, *, before_id: int | None = None, limit: int = 50) -> Sequence[BroadcastRecord]:
        """Broadcasts, the newest first, a page at a time."""
        return await self._book.page(before_id=before_id, limit=limit)

    async def under_way(self, *, limit: int = 50) -> Sequence[BroadcastRecord]:
        """Those that run or are paused, the newest first."""
        return await self._book.under_way(limit=limit)

    async def delete(self, name: str) -> None:
        """Forget a draft or one that has ended, with its record. Raises UnknownBroadcast, InvalidBroadcast."""
        await self._book.delete(name)

    # Recipients.

    async def add_recipients(self, name: str, source: object, *, told: Told = _unheard) -> Added:
        """Add recipients to a draft: a list of chats or `Addressee`s, the Path of a .csv or .jsonl file, a `Segment`.

        A list may be any iterable, asynchronous as well, and its items mappings with a `chat_id`. All is read in
        batches of 1,000, each of which is a transaction. Bad lines are reported, and the good ones kept; whoever is
        there already is not added again. `told` hears how many were read so far.
        Raises UnknownBroadcast, InvalidBroadcast.
        """
        if isinstance(source, Segment):
            try:
                segment = checked_segment(source)
            except InvalidRecipient as error:
                raise InvalidBroadcast("segment", str(error)) from None
            return await in_pages(
                lambda after: self._recipients.add_segment(name, segment, after=after, limit=BATCH), told
            )
        added = repeated = bad = 0
        named: list[Any] = []
        async with aclosing(batches(source, addressee)) as found:
            async for batch in found:
                new = await self._recipients.add(name, batch.recipients)
                added += new
                repeated += len(batch.recipients) - new
                bad += len(batch.bad)
                named += batch.bad[: NAMED - len(named)]
                told(added + repeated + bad)
        return Added(added, repeated, bad, tuple(named))

    async def add_query(
        self, name: str, query: str, *, key: str = "chat_id", url: str | None = None, told: Told = _unheard
    ) -> Added:
        """Add what a SQL query answers to a draft, in pages of 1,000 by the unique column `key`.

        `url` is the database that is asked, by default the outbox's own. Raises InvalidBroadcast, StoreUnavailable.
        """
        return await self.add_recipients(name, self._rows(query, key=key, url=url), told=told)

    # Before it starts.

    async def preview(self, name: str, chats: Sequence[int | str]) -> Sequence[Rendering]:
        """What these recipients would get. Raises UnknownBroadcast, InvalidNotification for what is no chat."""
        content = await self._content(name)
        wanted = [prepared_chat(chat) for chat in chats]
        known = {each.chat: each for each in await self._recipients.named(name, wanted)}
        strangers = "it is no recipient of this broadcast"
        return [
            self._rendering(content, known[chat])
            if chat in known
            else Rendering(chat=chat, locale=None, method=content.form["method"], params={}, problem=strangers)
            for chat in wanted
        ]

    async def check(self, name: str, *, told: Told = _unheard) -> DryRun:
        """Make the text for every recipient, send nothing, and answer whose would be refused.

        `told` hears how many were looked at so far. Raises UnknownBroadcast, MissingExtra.
        """
        content = await self._content(name)
        looked_at = 0
        refused: int = 0
        named: list[Rendering] = []
        async for page in self._pages(name):
            for recipient in page:
                made = self._rendering(content, recipient)
                if made.problem is not None:
                    refused += 1
                    if len(named) < NAMED:
                        named.append(made)
            looked_at += len(page)
            told(looked_at)
        return DryRun(looked_at=looked_at, refused=refused, refusals=tuple(named))

    async def estimate(self, name: str) -> Estimate:
        """Whom it would reach, how long that takes at the bot's pace, what it may cost. Raises UnknownBroadcast."""
        record = await self._book.get(name)
        suppressed = 0
        after: str | None = None
        while True:
            count, after = await self._recipients.suppressed(name, after=after, limit=10_000)
            suppressed += count
            if after is None:
                break
        (bot,) = [bot for bot in await self._bots.bots() if bot.name == record.broadcast.bot]
        left = max(0, record.counts.recipients - record.counts.settled - suppressed)
        return estimated(
            recipients=left,
            suppressed=suppressed,
            weight=(await self._content(name)).weight,
            pace=bot.pace,
            paid_pace=bot.paid_pace,
            stars_per_day=bot.stars_per_day,
        )

    async def test(self, name: str, chats: Sequence[int | str]) -> Sequence[int]:
        """Send it to these chats now, urgently, whatever its state; answers the ids of the notifications.

        A chat that is a recipient gets its own text; another one gets that of the first recipient. It is not recorded
        with the broadcast. Raises InvalidBroadcast where a text would be refused.
        """
        content = await self._content(name)
        wanted = [prepared_chat(chat) for chat in chats]
        known = {each.chat: each for each in await self._recipients.named(name, wanted)}
        first = [*await self._recipients.page(name, limit=1), None][0]
        notifications = []
        for chat in wanted:
            like = known.get(chat, first)
            made = self._made(content, None if like is None else like.locale, {} if like is None else like.variables)
            if isinstance(made, str):
                raise InvalidBroadcast("text", f"for {chat} it cannot be sent: {made}")
            notifications.append(
                Notification(
                    bot=content.form["bot"],
                    chat_id=chat,
                    method=content.form["method"],
                    params=restored(made),
                    priority=Priority.URGENT,
                    # Whoever tries it waits for it, at whatever hour.
                    quiet=Quiet.PASS,
                )
            )
        return await self._send(notifications)

    # Steering.

    async def start(self, name: str) -> BroadcastRecord:
        """Begin to send.

        Raises UnknownBroadcast, InvalidBroadcast for one that is no draft or has no recipients, and for a recall or an
        edit that was cut off before all recipients were in it.
        """
        record = await self._book.get(name)
        if record.kind is not BroadcastKind.SEND and record.state is BroadcastState.DRAFT:
            raise InvalidBroadcast(
                "state", f'"{name}" was cut off before all were in it: {record.kind} "{record.of}" again, it goes on.'
            )
        return await self._book.change(name, BroadcastState.RUNNING, allowed=[BroadcastState.DRAFT])

    async def pause(self, name: str, *, reason: str | None = None) -> BroadcastRecord:
        """Send nothing more for now. When this returns, only what a worker has in hand is still sent.

        Raises UnknownBroadcast, InvalidBroadcast for one that does not run.
        """
        record = await self._book.change(
            name, BroadcastState.PAUSED, allowed=[BroadcastState.RUNNING], reason=reason or "by hand"
        )
        await self._store.advance(record.id, limit=BATCH, wait=True)
        return await self._book.get(name)

    async def resume(self, name: str) -> BroadcastRecord:
        """Go on with a paused one. The brake begins to count anew. Raises UnknownBroadcast, InvalidBroadcast."""
        return await self._book.change(name, BroadcastState.RUNNING, allowed=[BroadcastState.PAUSED])

    async def cancel(self, name: str) -> BroadcastRecord:
        """End it: what is not sent by now is never sent. Raises UnknownBroadcast, InvalidBroadcast for an ended one."""
        allowed = [BroadcastState.DRAFT, BroadcastState.RUNNING, BroadcastState.PAUSED]
        record = await self._book.change(name, BroadcastState.CANCELLED, allowed=allowed)
        while (await self._store.advance(record.id, limit=BATCH, wait=True)).more:
            continue
        return await self._book.get(name)

    # Undoing.

    async def recall(self, name: str, *, as_name: str | None = None, told: Told = _unheard) -> BroadcastRecord:
        """Delete what it has sent in the last 48 hours: a broadcast of its own, which this starts, and paced like any.

        `as_name` is that one's name, by default NAME-recall. One that was cut off before it began goes on where it was.
        Raises UnknownBroadcast, and InvalidBroadcast while the broadcast runs, or when it has sent nothing that could
        be deleted.
        """
        return await self._undoing.recall(name, as_name=as_name, told=told)

    async def edit(
        self,
        name: str,
        change: Broadcast | None = None,
        *,
        text: str | None = None,
        as_name: str | None = None,
        told: Told = _unheard,
    ) -> BroadcastRecord:
        """Change what it has sent, everywhere: a broadcast of its own, NAME-edit or `as_name`, which this starts.

        With `text` alone all else stays as it was (parse mode, keyboard, whether it is a template). `change` is a whole
        broadcast whose method edits (editMessageText, editMessageCaption, editMessageReplyMarkup). One that was cut off
        before it began goes on where it was. Raises UnknownBroadcast, and InvalidBroadcast while the broadcast runs or
        when it reached nobody.
        """
        return await self._undoing.edit(name, change, text=text, as_name=as_name, told=told)

    # The record.

    async def recipients(
        self, name: str, *, after: str | None = None, limit: int = 500, states: Sequence[RecipientState] = ()
    ) -> Sequence[RecipientRecord]:
        """Who got it and when, who did not and why: a page behind the chat `after`. Raises UnknownBroadcast."""
        return await self._recipients.page(name, after=after, limit=limit, states=states)

    async def record(self, name: str, *, states: Sequence[RecipientState] = ()) -> AsyncIterator[RecipientRecord]:
        """All of that, page by page, for an export. Raises UnknownBroadcast."""
        async for page in self._pages(name, states):
            for recipient in page:
                yield recipient

    async def _pages(
        self, name: str, states: Sequence[RecipientState] = ()
    ) -> AsyncIterator[Sequence[RecipientRecord]]:
        after: str | None = None
        while page := await self._recipients.page(name, after=after, limit=PAGE, states=states):
            yield page
            after = page[-1].chat

    # Contents.

    async def _content(self, name: str) -> Content:
        record = await self._book.get(name)
        return Content(StoredContent(record.id, checked_form(record.broadcast, record.kind), record.kind))

    def _rendering(self, content: Content, recipient: RecipientRecord) -> Rendering:
        made = self._made(content, recipient.locale, recipient.variables)
        return Rendering(
            chat=recipient.chat,
            locale=params_in(content.form, recipient.locale)[1],
            method=content.form["method"],
            params={} if isinstance(made, str) else made,
            problem=made if isinstance(made, str) else None,
        )

    def _made(self, content: Content, locale: str | None, variables: Mapping[str, Any]) -> dict[str, Any] | str:
        """The parameters for a recipient, or why they cannot be."""
        try:
            params = content.params(locale, variables)
            prepared(
                Notification(bot=content.form["bot"], chat_id=1, method=content.form["method"], params=restored(params))
            )
        except Fault as fault:
            return f"{fault.field}: {fault.problem}"
        except InvalidNotification as error:
            return str(error)
        refused = self._refusal(params)
        return params if refused is None else f"Telegram would refuse it: {refused}"
