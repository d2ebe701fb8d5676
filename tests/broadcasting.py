"""A broadcast under test: its book, its turns, its recipients, over a test's outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outboxes import LEASE, Outbox
from sqlalchemy import select

from dovecote.broadcasts.content import checked_form
from dovecote.broadcasts.loop import move_on
from dovecote.model import Addressee, Broadcast, BroadcastKind, BroadcastState, Released, Settlement
from dovecote.stores.broadcast_recipients import RecipientsOfBroadcasts
from dovecote.stores.broadcast_turns import BroadcastTurns
from dovecote.stores.broadcasts import BroadcastContents, BroadcastsBook

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dovecote.model import BroadcastRecord, ClaimedNotification, Outcome, RecipientRecord
    from dovecote.ports import BroadcastBook, BroadcastRecipients, BroadcastStore, ContentStore

NEWS = Broadcast(name="news", bot="shop", text="We are open on Sunday")
EVERY_STATE = tuple(BroadcastState)


class Broadcasting:
    """Broadcasts of an `Outbox`, with its clock."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        clock = outbox._microseconds
        self.book: BroadcastBook = BroadcastsBook(outbox.database, clock=clock)
        self.recipients: BroadcastRecipients = RecipientsOfBroadcasts(outbox.database, clock=clock)
        self.turns: BroadcastStore = BroadcastTurns(outbox.database, clock=clock)
        self.contents: ContentStore = BroadcastContents(outbox.database)

    async def draft(self, chats: Iterable[int], broadcast: Broadcast = NEWS, **more: Any) -> BroadcastRecord:
        """A draft with these recipients."""
        kind = more.get("kind", BroadcastKind.SEND)
        await self.book.add(broadcast.name, broadcast.bot, checked_form(broadcast, kind), **more)
        await self.recipients.add(broadcast.name, [Addressee(chat) for chat in chats])
        return await self.book.get(broadcast.name)

    async def running(self, chats: Iterable[int], broadcast: Broadcast = NEWS) -> BroadcastRecord:
        """One that runs, with nothing enqueued yet."""
        await self.draft(chats, broadcast)
        return await self.change("running", broadcast.name)

    async def change(self, state: str, name: str = "news") -> BroadcastRecord:
        return await self.book.change(name, BroadcastState(state), allowed=EVERY_STATE)

    async def move_on(self, name: str = "news", *, batch: int = 1000) -> BroadcastRecord:
        """As the loop does, to the end of what there is to do at once."""
        record = await self.book.get(name)
        await move_on(self.turns, record.id, batch)
        return await self.book.get(name)

    async def claim(self, count: int = 1000) -> Sequence[ClaimedNotification]:
        return (await self.outbox.store.cycle([], claim=count, lease=LEASE)).claimed

    async def settle(self, *outcomes: tuple[ClaimedNotification, Outcome]) -> None:
        settlements = [Settlement(claimed, outcome) for claimed, outcome in outcomes]
        await self.outbox.store.cycle(settlements, claim=0, lease=LEASE)

    async def release(self, *claims: ClaimedNotification) -> None:
        """Give back what was claimed, untried."""
        await self.settle(*((claimed, Released()) for claimed in claims))

    async def states(self, name: str = "news") -> dict[str, str]:
        """The state of each recipient by its chat."""
        return {each.chat: str(each.state) for each in await self.page(name)}

    async def page(self, name: str = "news") -> Sequence[RecipientRecord]:
        return await self.recipients.page(name, limit=10_000)

    async def waiting(self) -> list[str | None]:
        """The chats of what is in the outbox, in order."""
        table = self.outbox.database.tables.notification.c
        statement = select(table.chat).order_by(table.id)
        return await self.outbox.database.run(lambda c: list(c.execute(statement).scalars()))

    async def close(self) -> None:
        await self.turns.close()
