"""Undoing what a broadcast has sent, by broadcasts of their own: recall and edit everywhere.

Either begins when all that were reached are in it, a page at a time. Whoever is killed before that leaves a draft; to
ask again goes on with it, since whoever is in it already is not added again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dovecote.broadcasts.content import checked_form
from dovecote.errors import InvalidBroadcast, UnknownBroadcast
from dovecote.model import Added, Broadcast, BroadcastKind, BroadcastState, Priority

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dovecote.model import BroadcastRecord
    from dovecote.ports import BroadcastBook, BroadcastRecipients, BroadcastStore

    Told = Callable[[int], None]
    Pause = Callable[[float], Awaitable[None]]

BATCH: Final = 1000
CAPTIONED: Final = ("photo", "video", "animation", "audio", "document", "voice", "paidmedia", "mediagroup")
LOOKS: Final = 20
LOOK_SECONDS: Final = 0.25
"""For what workers have in hand, whose message ids are wanted, is waited so long: longer than requests take."""


class Undoing:
    """What `Broadcasts` does to what was sent."""

    def __init__(
        self,
        book: BroadcastBook,
        recipients: BroadcastRecipients,
        store: BroadcastStore,
        *,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._book = book
        self._recipients = recipients
        self._store = store
        self._pause = pause

    async def recall(self, name: str, *, as_name: str | None, told: Told) -> BroadcastRecord:
        """See `Broadcasts.recall`."""
        record = await self._over(name)
        recall = Broadcast(
            name=as_name or f"{name}-recall", bot=record.broadcast.bot, text="-", priority=Priority.NORMAL
        )
        return await self._about(record, recall, BroadcastKind.RECALL, told)

    async def edit(
        self, name: str, change: Broadcast | None, *, text: str | None, as_name: str | None, told: Told
    ) -> BroadcastRecord:
        """See `Broadcasts.edit`."""
        record = await self._over(name)
        if change is None:
            if text is None:
                raise InvalidBroadcast("text", "nothing is given: say the new text.")
            change = _edited(record.broadcast, text)
        if as_name is not None:
            change = replace(change, name=as_name)
        return await self._about(record, change, BroadcastKind.EDIT, told)

    async def _over(self, name: str) -> BroadcastRecord:
        record = await self._book.get(name)
        if record.kind is not BroadcastKind.SEND:
            raise InvalidBroadcast("name", f'"{name}" is itself a {record.kind} of "{record.of}": name that one.')
        if record.state is BroadcastState.RUNNING:
            raise InvalidBroadcast("state", f'"{name}" is running: pause or cancel it first.')
        return record

    async def _about(
        self, record: BroadcastRecord, broadcast: Broadcast, kind: BroadcastKind, told: Told
    ) -> BroadcastRecord:
        form = checked_form(broadcast, kind)
        name = broadcast.name
        cut_off = await self._cut_off(name, record, kind)
        if cut_off is None:
            await self._book.add(name, record.broadcast.bot, form, kind=kind, of=record.broadcast.name)
        elif checked_form(cut_off.broadcast, kind) != form:
            raise InvalidBroadcast(
                "name", f'there is a draft named "{name}" that says something else: delete it, then ask again.'
            )
        await self._settled(record.id)
        await in_pages(lambda after: self._recipients.add_reached(name, after=after, limit=BATCH), told)
        if not (await self._book.get(name)).counts.recipients:
            await self._book.delete(name)
            raise InvalidBroadcast(
                "recipients", f'"{record.broadcast.name}" has reached nobody for whom that is possible.'
            )
        return await self._book.change(name, BroadcastState.RUNNING, allowed=[BroadcastState.DRAFT])

    async def _cut_off(self, name: str, record: BroadcastRecord, kind: BroadcastKind) -> BroadcastRecord | None:
        """The draft that a call which was killed left behind. Raises InvalidBroadcast where another has the name."""
        try:
            found = await self._book.get(name)
        except UnknownBroadcast:
            return None
        if found.state is BroadcastState.DRAFT and found.kind is kind and found.of == record.broadcast.name:
            return found
        raise InvalidBroadcast(
            "name",
            f'there is a broadcast named "{name}" already, and it is {found.state}: give this one another name, with'
            " as_name=... (--as NAME).",
        )

    async def _settled(self, broadcast_id: int) -> None:
        """Wait a while for what workers have in hand: what was delivered and not read yet would be left out."""
        for _ in range(LOOKS):
            after: int | None = 0
            while after is not None:
                after = await self._store.collect(broadcast_id, after=after, limit=BATCH)
            await self._store.advance(broadcast_id, limit=BATCH, wait=True)
            if not await self._store.in_hand(broadcast_id):
                return
            await self._pause(LOOK_SECONDS)


async def in_pages(page: Callable[[str | None], Awaitable[tuple[int, str | None]]], told: Told) -> Added:
    """Add page after page, from one cursor to the next; `told` hears how many are new so far."""
    added = 0
    after: str | None = None
    while True:
        new, after = await page(after)
        added += new
        told(added)
        if after is None:
            return Added(added)


def _edited(broadcast: Broadcast, text: str) -> Broadcast:
    """The edit that gives what was sent another text and leaves the rest."""
    captioned = broadcast.method.lower().removeprefix("send") in CAPTIONED
    kept = ("parse_mode", "reply_markup", "link_preview_options", "show_caption_above_media")
    params: dict[str, Any] = {name: broadcast.params[name] for name in kept if name in broadcast.params}
    if captioned:
        params.pop("link_preview_options", None)
        params["caption"] = text
    return Broadcast(
        name=f"{broadcast.name}-edit",
        bot=broadcast.bot,
        text=None if captioned else text,
        method="editMessageCaption" if captioned else "editMessageText",
        params=params,
        template=broadcast.template,
        priority=Priority.NORMAL,
    )
