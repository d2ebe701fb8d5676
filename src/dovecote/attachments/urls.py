"""URLs that Telegram could not fetch twice: the engine fetches them itself and uploads what it reads.

What is known after that is remembered for a few minutes in this process alone: what a URL leads to may change.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import orjson

from dovecote.attachments.patience import Patience
from dovecote.errors import UrlNotFetched
from dovecote.model import Dead, Delivered, Failed, FileFault, Released
from dovecote.references import SCHEME, Slot, urls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovecote.model import ClaimedNotification, Outcome
    from dovecote.ports.attachments import FileChannel, UrlReader

REMEMBERED: Final = 300.0
"""Seconds for which a `file_id` of what was behind a URL is used."""
MOST: Final = 1000
MORE_TRIES: Final = 5
"""Tries that a URL is worth which may be reached later."""
AFTER_ANOTHER: Final = Released(timedelta(seconds=1))

# Bot, kind of file, URL.
Address = tuple[int, str, str]


class UrlSender:
    """Sends notifications with URLs which have failed before. `largest` is the most bytes of a file."""

    def __init__(
        self,
        channel: FileChannel,
        reader: UrlReader,
        *,
        largest: int,
        patience: Patience | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._reader = reader
        self._largest = largest
        self._patience = patience or Patience()
        self._now = monotonic
        # With the instant until which each is used.
        self._known: dict[Address, tuple[float, str]] = {}
        self._under_way: set[Address] = set()

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        """Let Telegram fetch it once more, and upload it where that fails."""
        params = orjson.loads(claimed.params)
        found = urls(claimed.method, params)
        if not found:
            return await self._channel.send(claimed, token, timeout=timeout)
        addresses = [(claimed.bot_id, str(slot.kind), str(slot.name)) for slot in found]
        for slot, address in zip(found, addresses, strict=True):
            if (file_id := self._file_id(address)) is not None:
                slot.holder[slot.member] = file_id
        if not self._under_way.isdisjoint(addresses):
            return AFTER_ANOTHER
        known = claimed._replace(params=orjson.dumps(params).decode())
        outcome = await self._channel.send(known, token, timeout=timeout)
        if not isinstance(outcome, Failed) or outcome.file is not FileFault.NOT_FETCHED:
            return outcome
        if not self._under_way.isdisjoint(addresses):
            return AFTER_ANOTHER
        self._under_way.update(addresses)
        try:
            return await self._upload(claimed, token, found, params, outcome)
        finally:
            self._under_way.difference_update(addresses)

    def _file_id(self, address: Address) -> str | None:
        until, file_id = self._known.get(address, (0.0, ""))
        return file_id if until > self._now() else None

    async def _upload(
        self, claimed: ClaimedNotification, token: str, found: Sequence[Slot], params: object, refused: Failed
    ) -> Outcome:
        """Upload what is behind all of the URLs: Telegram does not say which it could not fetch."""
        try:
            async with AsyncExitStack() as stack:
                parts = []
                for number, slot in enumerate(found, start=1):
                    part = f"file{number}"
                    limit = min(self._largest, slot.largest)
                    parts.append(
                        await stack.enter_async_context(self._reader.open(str(slot.name), part=part, largest=limit))
                    )
                    slot.holder[slot.member] = f"{SCHEME}{part}"
                attached = claimed._replace(params=orjson.dumps(params).decode())
                uploaded = await self._channel.upload(attached, token, parts, timeout=self._patience.upload)
        except UrlNotFetched as error:
            words = f"{refused.error}; nor could it be fetched here: {error}"
            return Failed(words, retries=MORE_TRIES) if error.again else Dead(words, refused.error_code)
        if isinstance(uploaded.outcome, Delivered):
            for slot in found:
                if slot.message < len(uploaded.messages):
                    self._remember(claimed.bot_id, slot, uploaded.messages[slot.message].get(str(slot.kind)))
        return uploaded.outcome

    def _remember(self, bot_id: int, slot: Slot, file_id: str | None) -> None:
        if file_id is not None:
            self._known[bot_id, str(slot.kind), str(slot.name)] = (self._now() + REMEMBERED, file_id)
            if len(self._known) > MOST:
                del self._known[next(iter(self._known))]
