"""The broadcasts' part of the composition root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.broadcasts import Broadcaster, Broadcasts, RenderedChannel, RenderedOutbox, Renderer
from dovecote.observability.tracing import enqueuing
from dovecote.stores.broadcast_recipients import RecipientsOfBroadcasts
from dovecote.stores.broadcast_turns import BroadcastTurns
from dovecote.stores.broadcasts import BroadcastContents, BroadcastsBook
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.queries import rows_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from dovecote.config import Settings
    from dovecote.model import Notification
    from dovecote.observability.metrics import Metrics
    from dovecote.ports import BotStore, Channel, Election, OutboxStore

MEGABYTE = 1024 * 1024


class Broadcasting:
    """What one Dovecote broadcasts. Nothing is opened before it is needed."""

    def __init__(
        self,
        databases: tuple[Database, Database],
        settings: Settings,
        metrics: Metrics,
        bots: BotStore,
        send: Callable[[Sequence[Notification]], Awaitable[Sequence[int]]],
    ) -> None:
        """Take the outbox twice, the second with a few connections that it keeps. `send` enqueues by itself."""
        database, kept = databases
        self._database = database
        self._observer = metrics.broadcasts
        self._largest_upload = settings.telegram.largest_upload * MEGABYTE
        self._renderer = Renderer(BroadcastContents(kept))
        # What is done by hand comes from whatever event loop, and seldom: no connection is held for it.
        by_hand = self._turns(hold=False)
        self.broadcasts = Broadcasts(
            BroadcastsBook(kept),
            RecipientsOfBroadcasts(kept),
            by_hand,
            bots,
            send=send,
            rows=self._rows,
            refusal=_refusal,
        )

    def outbox(self, store: OutboxStore) -> OutboxStore:
        """The outbox, whose claims of broadcasts come with their contents."""
        return RenderedOutbox(store, self._renderer)

    def channel(self, channel: Channel) -> Channel:
        """The channel, which ends what of a broadcast has no content."""
        return RenderedChannel(channel, self._renderer)

    def broadcaster(self, election: Election) -> Broadcaster:
        """The loop that moves on what runs, ready to `run`, or to `turn` once."""
        return Broadcaster(self._turns(), election)

    def _turns(self, *, hold: bool = True) -> BroadcastTurns:
        return BroadcastTurns(
            self._database, largest_upload=self._largest_upload, hold=hold, observer=self._observer, span=enqueuing
        )

    async def _rows(self, query: str, *, key: str, url: str | None) -> AsyncIterator[Mapping[str, Any]]:
        database = self._database if url is None else Database(outbox_url(url))
        try:
            async for row in rows_of(database, query, key=key):
                yield row
        finally:
            if database is not self._database:
                await database.close()


def _refusal(params: Mapping[str, Any]) -> str | None:
    """What Telegram would say of the markup and the keyboard in these parameters, None where it takes them.

    The emulator knows: it refuses what Telegram refuses, in the same words.
    """
    from dovecote.emulator.markup import reply_markup  # noqa: PLC0415 (slow to import, and seldom needed)
    from dovecote.emulator.refusal import Refusal  # noqa: PLC0415 (as above)
    from dovecote.emulator.text import caption, message_text  # noqa: PLC0415 (as above)

    media = params.get("media")
    items = [item for item in media if isinstance(item, dict)] if isinstance(media, list) else []
    try:
        if "text" in params:
            message_text(params)
        for captioned in (params, *items):
            caption(captioned)
        reply_markup(params)
    except Refusal as refusal:
        return refusal.description
    return None
