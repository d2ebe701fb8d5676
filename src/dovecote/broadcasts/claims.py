"""What is claimed of a broadcast gets its content: looked up a batch at a time, rendered for each recipient."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from dovecote.broadcast_form import MARK, PUT_OFF, completed, referred
from dovecote.broadcasts.content import Content
from dovecote.content import Fault
from dovecote.errors import MissingExtra, NotMigrated, StoreUnavailable
from dovecote.model import BroadcastKind, Dead, Released
from dovecote.outbox_around import OutboxAround

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from dovecote.model import ClaimedNotification, Cycle, Outcome, Settlement
    from dovecote.ports import Channel, OutboxStore
    from dovecote.ports.broadcasts import ContentStore

logger = logging.getLogger(__name__)

MOST: Final = 100
"""So many contents are remembered. They do not change once a broadcast has begun."""
AT_ONCE: Final = 50
"""So many are rendered before other work of the event loop has its turn."""
AWAY: Final = Released(timedelta(seconds=1))
HALTED: Final = Released(timedelta(seconds=1))
"""What is claimed of a paused or cancelled broadcast goes back; the broadcaster puts it off, or takes it out."""
LOOK_EVERY: Final = 0.25
"""Seconds between looks whether what is in hand goes on."""
MOST_IN_HAND: Final = 20_000
# A machine's clock may be off.
A_DAY: Final = 86_400.0


class Unmade(Exception):
    """The text for a recipient cannot be made, or would be refused. Not for callers outside of this package."""


class Renderer:
    """Contents by broadcast, and whether they go on; what is not here is asked of the database."""

    def __init__(self, store: ContentStore, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._contents: dict[int, Content] = {}
        # The broadcast of what was claimed and is not sent yet, by the notification's id.
        self._in_hand: dict[int, int] = {}
        self._halted: set[int] = set()
        self._look_at = 0.0
        self._looking = asyncio.Lock()

    def has_in_hand(self, notification_id: int) -> bool:
        """Whether it was made here from a broadcast's content and is not sent yet."""
        return notification_id in self._in_hand

    async def goes_on(self, notification_id: int) -> bool:
        """Whether what was claimed may be sent: false once its broadcast is paused or cancelled.

        The database is asked for all broadcasts in hand together, four times a second at most; while it is away, what
        it said last holds.
        """
        broadcast_id = self._in_hand.pop(notification_id, None)
        if broadcast_id is None:
            return True
        if self._monotonic() >= self._look_at:
            async with self._looking:
                if self._monotonic() >= self._look_at:
                    await self._look({broadcast_id, *self._in_hand.values()})
        return broadcast_id not in self._halted

    async def _look(self, ids: set[int]) -> None:
        try:
            self._halted = set(await self._store.halted(sorted(ids)))
        except (StoreUnavailable, NotMigrated):
            logger.debug("whether broadcasts go on cannot be asked just now")
        self._look_at = self._monotonic() + LOOK_EVERY

    async def rendered(self, claims: Sequence[ClaimedNotification]) -> list[ClaimedNotification | Unmade]:
        """Each with its content in the place of its broadcast's name, in the same order.

        Raises StoreUnavailable, NotMigrated, and MissingExtra for a template without its extra.
        """
        named = [(claimed, orjson.loads(claimed.params)) for claimed in claims]
        broadcasts = [referred(params) for _, params in named]
        for (claimed, _), broadcast_id in zip(named, broadcasts, strict=True):
            if broadcast_id is not None:
                self._in_hand[claimed.id] = broadcast_id
        # What was given back unsent stays here; it is of no use after a while.
        for notification_id in list(self._in_hand)[: max(0, len(self._in_hand) - MOST_IN_HAND)]:
            del self._in_hand[notification_id]
        await self._read({each for each in broadcasts if each is not None})
        personal: dict[int, list[int]] = {}
        for (claimed, _), broadcast_id in zip(named, broadcasts, strict=True):
            if broadcast_id in self._contents and self._contents[broadcast_id].is_personal:
                personal.setdefault(broadcast_id, []).append(claimed.id)
        known = {
            notification_id: found
            for broadcast_id, ids in personal.items()
            for notification_id, found in (await self._store.personal(broadcast_id, ids)).items()
        }
        answer: list[ClaimedNotification | Unmade] = []
        for number, ((claimed, params), broadcast_id) in enumerate(zip(named, broadcasts, strict=True)):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            answer.append(claimed if broadcast_id is None else self._complete(claimed, params, broadcast_id, known))
        return answer

    def _complete(
        self,
        claimed: ClaimedNotification,
        params: dict[str, Any],
        broadcast_id: int,
        known: dict[int, tuple[str | None, dict[str, Any]]],
    ) -> ClaimedNotification | Unmade:
        content = self._contents.get(broadcast_id)
        if content is None:
            return Unmade(f"there is no broadcast {broadcast_id}: it was deleted")
        if content.is_personal and claimed.id not in known:
            return Unmade(f"it is none of the recipients of broadcast {broadcast_id}")
        if content.kind is BroadcastKind.RECALL:
            return claimed._replace(params=orjson.dumps(completed(params, {})).decode())
        locale, variables = known.get(claimed.id, (None, {}))
        try:
            made = content.params(locale, variables)
        except Fault as fault:
            return Unmade(f"its text cannot be made: {fault.field}: {fault.problem}")
        if content.kind is BroadcastKind.EDIT:
            made = {**made, "message_id": params["message_id"]}
        return claimed._replace(params=orjson.dumps(completed(params, made)).decode())

    async def _read(self, ids: set[int]) -> None:
        missing = ids - self._contents.keys()
        if not missing:
            return
        for stored in await self._store.contents(sorted(missing)):
            if len(self._contents) >= MOST:
                del self._contents[next(iter(self._contents))]
            self._contents[stored.id] = Content(stored)


class RenderedOutbox(OutboxAround):
    """An outbox whose claims of broadcasts come with their content; implements `dovecote.ports.OutboxStore`.

    One whose content cannot be had stays as it was, and `RenderedChannel` says why.
    """

    def __init__(self, store: OutboxStore, renderer: Renderer) -> None:
        super().__init__(store)
        self._renderer = renderer

    async def cycle(
        self,
        settlements: Sequence[Settlement],
        *,
        claim: int,
        lease: timedelta,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
    ) -> Cycle:
        """See `dovecote.ports.OutboxStore.cycle`."""
        cycle = await self._store.cycle(settlements, claim=claim, lease=lease, renew=renew, alone=alone)
        if cycle.next_due_in is not None and cycle.next_due_in > PUT_OFF.timestamp() - time.time() - A_DAY:
            # Nothing but what is put off: no claim will ever find it, and who only empties the outbox is done.
            cycle = replace(cycle, next_due_in=None)
        marked = [claimed for claimed in cycle.claimed if MARK in claimed.params]
        if not marked:
            return cycle
        try:
            made = await self._renderer.rendered(marked)
        except Exception as error:  # noqa: BLE001 (what is claimed must not be lost; each asks again as it is sent)
            logger.warning("the contents of a batch could not be had together: %s", error)
            return cycle
        by_id = {each.id: each for each in made if not isinstance(each, Unmade)}
        return replace(cycle, claimed=[by_id.get(claimed.id, claimed) for claimed in cycle.claimed])


class RenderedChannel:
    """Sends through `channel`, and ends what has no content; implements `dovecote.ports.Channel`."""

    def __init__(self, channel: Channel, renderer: Renderer) -> None:
        self._channel = channel
        self._renderer = renderer

    def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Coroutine[Any, Any, Outcome]:
        """See `dovecote.ports.Channel.send`."""
        if MARK in claimed.params or self._renderer.has_in_hand(claimed.id):
            return self._send(claimed, token, timeout)
        return self._channel.send(claimed, token, timeout=timeout)

    async def _send(self, claimed: ClaimedNotification, token: str, timeout: timedelta) -> Outcome:
        if MARK in claimed.params:
            try:
                (made,) = await self._renderer.rendered([claimed])
            except (StoreUnavailable, NotMigrated):
                return AWAY
            except MissingExtra as error:
                # Another worker may have it.
                logger.error("%s", error)  # noqa: TRY400 (its message says all)
                return Released(timedelta(seconds=30))
            if isinstance(made, Unmade):
                return Dead(str(made))
            claimed = made
        if not await self._renderer.goes_on(claimed.id):
            return HALTED
        return await self._channel.send(claimed, token, timeout=timeout)

    async def close(self) -> None:
        """See `dovecote.ports.Channel.close`."""
        await self._channel.close()
