"""Broadcasts: who keeps them, who moves them on, and where a claim finds their contents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dovecote.model import BroadcastKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from dovecote.model import (
        Addressee,
        Advanced,
        BroadcastRecord,
        BroadcastState,
        RecipientRecord,
        RecipientState,
        Segment,
        StoredContent,
    )


class BroadcastBook(Protocol):
    """The broadcasts as whoever makes and steers them sees them. Each call is a bounded transaction of its own."""

    async def add(
        self, name: str, bot: str, form: str, *, kind: BroadcastKind = BroadcastKind.SEND, of: str | None = None
    ) -> BroadcastRecord:
        """Keep a new one as a draft. Raises InvalidBroadcast for a name that is taken, UnknownBot, UnknownFile."""

    async def get(self, name: str) -> BroadcastRecord:
        """The one of that name: one row, whatever the number of its recipients. Raises UnknownBroadcast."""

    async def page(self, *, before_id: int | None = None, limit: int = 50) -> Sequence[BroadcastRecord]:
        """The newest first, a page at a time."""

    async def under_way(self, *, limit: int = 50) -> Sequence[BroadcastRecord]:
        """Those that run or are paused, the newest first; however many others there are."""

    async def change(
        self, name: str, state: BroadcastState, *, allowed: Sequence[BroadcastState], reason: str | None = None
    ) -> BroadcastRecord:
        """Put it into `state`, if it is in one of `allowed` or in `state` already. Raises InvalidBroadcast."""

    async def delete(self, name: str) -> None:
        """Forget a draft or an ended one with its record. Raises UnknownBroadcast, InvalidBroadcast."""


class BroadcastRecipients(Protocol):
    """The recipients of broadcasts, a bounded page at a time, by their chats in byte order."""

    async def add(self, name: str, recipients: Sequence[Addressee]) -> int:
        """Add recipients to a draft, valid by now; answers how many were not there yet. Raises InvalidBroadcast."""

    async def add_segment(
        self, name: str, segment: Segment, *, after: str | None, limit: int
    ) -> tuple[int, str | None]:
        """Look at up to `limit` recipients behind a chat, and add those of the segment, with their languages.

        Answers how many were new, and the next cursor or None.
        """

    async def add_reached(self, name: str, *, after: str | None, limit: int) -> tuple[int, str | None]:
        """Add up to `limit` of those that the broadcast reached which the draft `name` is about, with its messages.

        Those whose messages are too old to be deleted are left out of a recall.
        """

    async def page(
        self, name: str, *, after: str | None = None, limit: int = 500, states: Sequence[RecipientState] = ()
    ) -> Sequence[RecipientRecord]:
        """Recipients behind a chat, of all states or of `states`."""

    async def named(self, name: str, chats: Sequence[str]) -> Sequence[RecipientRecord]:
        """Those of `chats` that are recipients."""

    async def suppressed(self, name: str, *, after: str | None, limit: int) -> tuple[int, str | None]:
        """How many of the next `limit` recipients would get nothing now, and the next cursor or None.

        They are disabled, or have opted out of the broadcast's category.
        """


class BroadcastStore(Protocol):
    """The broadcasts as the loop moves them on. Time is the store's own, and the store judges every race.

    Each call is one bounded transaction; what another has locked is left alone.
    """

    async def due(self, *, overdue_by: timedelta) -> Sequence[int]:
        """The broadcasts that have something to do, and have had it for so long; the longest first."""

    async def running(self) -> Sequence[int]:
        """The broadcasts that run, whether or not there is something to do at once."""

    async def collect(self, broadcast_id: int, *, after: int, limit: int) -> int | None:
        """Read what became of up to `limit` of its notifications with ids above `after`.

        Answers the last id looked at, None when there was none left. It may pause the broadcast (the brake).
        """

    async def advance(self, broadcast_id: int, *, limit: int, wait: bool = False) -> Advanced:
        """Do the next bounded piece that its state asks for; with `wait`, after whoever has it locked.

        A running one enqueues for recipients while the window has room, and finishes; of a paused one what waits in the
        outbox is put off; of a cancelled one it is taken out.
        """

    async def in_hand(self, broadcast_id: int) -> bool:
        """Whether workers may have some of one that is paused or over in hand, or an outcome of it is not read yet."""

    async def close(self) -> None:
        """Give back the connection."""


class BroadcastObserver(Protocol):
    """Whoever counts what happens to broadcasts."""

    def braked(self) -> None:
        """One has paused itself."""


class ContentStore(Protocol):
    """Where the contents of claimed notifications are."""

    async def contents(self, ids: Sequence[int]) -> Sequence[StoredContent]:
        """Those of the broadcasts that there are. Raises StoreUnavailable."""

    async def halted(self, ids: Sequence[int]) -> Sequence[int]:
        """Those of the broadcasts that are paused or cancelled. Raises StoreUnavailable."""

    async def personal(
        self, broadcast_id: int, notification_ids: Sequence[int]
    ) -> Mapping[int, tuple[str | None, dict[str, Any]]]:
        """Locale and variables of the recipients that these notifications are for. Raises StoreUnavailable."""
