"""Sending a notification with stored files: by `file_id` where Telegram knows them, else with an upload."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import orjson

from dovecote.attachments.patience import Patience
from dovecote.attachments.turns import Turn
from dovecote.errors import (
    FileDamaged,
    FileMissing,
    NotMigrated,
    StorageRefused,
    StorageUnavailable,
    StoreUnavailable,
    UnknownFile,
)
from dovecote.model import Dead, Delivered, Failed, FileFault, FilePart, Released, Uploaded, UploadKey
from dovecote.redaction import impersonal
from dovecote.references import MARK, NAMED, SCHEME, THUMBNAIL, Slot, options, slots

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from dovecote.attachments.known import Knowledge
    from dovecote.attachments.turns import Turns
    from dovecote.attachments.urls import UrlSender
    from dovecote.model import ClaimedNotification, KnownFile, Outcome
    from dovecote.ports.attachments import FileChannel, FileReader
    from dovecote.ports.files import FileObserver

logger = logging.getLogger(__name__)

# Without the database nothing can be looked up, nor settled: the notification is given back for a moment.
AWAY: Final = Released(timedelta(seconds=1))
CROWDED: Final = Released(timedelta(seconds=1))
# All of these are documents to Telegram, and may be sent as each other.
DOCUMENTS: Final = ("document", "video", "audio", "voice", "animation", "sticker", "video_note")
# A file without a name of its own still needs one: a sticker is told by its ending.
_ENDINGS: Final = {"application/gzip": ".tgs", "audio/ogg": ".ogg", "image/jpeg": ".jpg", "image/webp": ".webp"}


@dataclass(frozen=True, slots=True)
class Place:
    """A slot with its file. `key` is what its `file_id` would be known by; None where it is uploaded in any case.

    `part` is the part of the request that holds it if it is uploaded; one file of one name needs one part.
    """

    slot: Slot
    file: KnownFile
    name: str
    part: str
    key: UploadKey | None


class AttachmentChannel:
    """Sends through `channel` what has stored files and what has none; implements `dovecote.ports.Channel`.

    Without `urls`, nothing but Telegram fetches a URL.
    """

    def __init__(
        self,
        channel: FileChannel,
        reader: FileReader,
        knowledge: Knowledge,
        turns: Turns,
        *,
        urls: UrlSender | None = None,
        patience: Patience | None = None,
        observer: FileObserver | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._reader = reader
        self._knowledge = knowledge
        self._turns = turns
        self._urls = urls
        self._patience = patience or Patience()
        self._room = asyncio.Semaphore(self._patience.uploads)
        self._observer = observer
        self._now = monotonic

    def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Coroutine[Any, Any, Outcome]:
        """See `dovecote.ports.Channel.send`. An upload may take longer than `timeout`, everything else may not."""
        if MARK in claimed.params:
            return self._send(claimed, token, timeout)
        if claimed.failures and self._urls is not None and "://" in claimed.params:
            return self._urls.send(claimed, token, timeout=timeout)
        return self._channel.send(claimed, token, timeout=timeout)

    async def close(self) -> None:
        """See `dovecote.ports.Channel.close`."""
        await self._turns.close()
        await self._channel.close()

    async def _send(self, claimed: ClaimedNotification, token: str, timeout: timedelta) -> Outcome:
        ends_at = self._now() + timeout.total_seconds()
        try:
            outcome, used = await self._try(claimed, token, ends_at)
            if isinstance(outcome, Dead) and outcome.file is FileFault.UNKNOWN_ID and used:
                logger.info(
                    "Telegram does not know a file any more, and it is uploaded anew: %s", impersonal(outcome.error)
                )
                await self._turns.forget(used)
                outcome, _ = await self._try(claimed, token, ends_at)
        except (StoreUnavailable, NotMigrated):
            return AWAY
        return outcome

    async def _try(
        self, claimed: ClaimedNotification, token: str, ends_at: float
    ) -> tuple[Outcome, Mapping[UploadKey, str]]:
        """Send it once; answers the outcome and the `file_id`s that were used. Raises StoreUnavailable."""
        params = orjson.loads(claimed.params)
        found = slots(claimed.method, params)
        files = await self._knowledge.files(claimed.bot_id, {slot.file_id for slot in found})
        for slot in found:
            if slot.file_id not in files:
                return Dead(str(UnknownFile(slot.file_id))), {}
        places = _places(claimed.bot_id, found, files)
        keys = {place.key: place.file.file_id for place in places if place.key is not None}
        known = {key: file_id for key in keys if (file_id := self._knowledge.file_id(key)) is not None}
        turn = Turn((), {})
        if missing := [key for key in keys if key not in known]:
            begun = await self._turns.begin(claimed, missing, keys)
            if isinstance(begun, Released):
                return begun, {}
            turn = begun
            known |= turn.known
        uploads = _written(places, known)
        if self._observer is not None:
            self._observer.sending(known=len(known), unknown=len(keys) - len(known))
        claimed = claimed._replace(params=orjson.dumps(params).decode())
        if not uploads:
            left = ends_at - self._now()
            if left <= 0:
                return Released(), {}
            return await self._channel.send(claimed, token, timeout=timedelta(seconds=left)), known
        return await self._upload(claimed, token, uploads, turn, ends_at), known

    async def _upload(
        self, claimed: ClaimedNotification, token: str, uploads: Sequence[Place], turn: Turn, ends_at: float
    ) -> Outcome:
        ended = False
        try:
            async with self._turns.held(turn):
                if not await self._has_room():
                    return CROWDED
                try:
                    outcome, file_ids = await self._request(claimed, token, uploads, ends_at)
                finally:
                    self._room.release()
            ended = True
            await self._turns.finish(turn, file_ids)
            return outcome
        finally:
            if not ended:
                self._turns.give_up(turn)

    async def _has_room(self) -> bool:
        """Take a place among the uploads; false where there was none in time."""
        try:
            async with asyncio.timeout(self._patience.crowded.total_seconds()):
                await self._room.acquire()
        except TimeoutError:
            return False
        return True

    async def _request(
        self, claimed: ClaimedNotification, token: str, uploads: Sequence[Place], ends_at: float
    ) -> tuple[Outcome, Mapping[UploadKey, str]]:
        if self._now() >= ends_at:
            # What is begun now would be under way when the lease is over.
            return Released(), {}
        parts = {place.part: self._as_part(place) for place in uploads}
        try:
            uploaded = await self._channel.upload(claimed, token, list(parts.values()), timeout=self._patience.upload)
        except (UnknownFile, FileMissing, FileDamaged) as error:
            uploaded = Uploaded(Dead(f"a file cannot be sent: {error}"))
        except (StorageUnavailable, StorageRefused, StoreUnavailable) as error:
            uploaded = Uploaded(Failed(f"never sent: a file cannot be read: {error}"))
        if self._observer is not None:
            self._observer.uploaded(uploaded.outcome, sum(part.size or 0 for part in parts.values()))
        if not isinstance(uploaded.outcome, Delivered):
            return uploaded.outcome, {}
        file_ids = {}
        for place in uploads:
            if place.key is not None and place.slot.message < len(uploaded.messages):
                file_id = _file_id(place.key.kind, uploaded.messages[place.slot.message])
                if file_id is not None:
                    file_ids[place.key] = file_id
        return uploaded.outcome, file_ids

    def _as_part(self, place: Place) -> FilePart:
        file_id = place.file.file_id
        return FilePart(
            place.part, place.name, place.file.content_type, place.file.size, lambda: self._reader.stream(file_id)
        )


def _places(bot_id: int, found: Sequence[Slot], files: Mapping[int, KnownFile]) -> list[Place]:
    thumbnails = {id(slot.holder): files[slot.file_id].sha256 for slot in found if slot.kind == THUMBNAIL}
    places = []
    parts: dict[tuple[int, str], str] = {}
    for slot in found:
        file = files[slot.file_id]
        name = slot.name or file.name or _name(slot, file)
        key = None
        if slot.cache and slot.kind is not None and slot.kind != THUMBNAIL:
            thumbnail = thumbnails.get(id(slot.holder))
            key = UploadKey(bot_id, file.sha256, slot.kind, options(slot, name, thumbnail))
        part = parts.setdefault((file.file_id, name), f"file{len(parts) + 1}")
        places.append(Place(slot, file, name, part, key))
    return places


def _name(slot: Slot, file: KnownFile) -> str:
    ending = _ENDINGS.get(file.content_type) or mimetypes.guess_extension(file.content_type) or ""
    return f"{slot.kind if slot.kind in NAMED or slot.kind == 'photo' else 'file'}{ending}"


def _written(places: Sequence[Place], known: Mapping[UploadKey, str]) -> list[Place]:
    """Write into the parameters what each file is sent by, and answer those that are uploaded.

    A thumbnail goes with an upload alone: by its `file_id` a file has the one that it was uploaded with.
    """
    uploaded = []
    for place in places:
        if place.slot.kind != THUMBNAIL:
            file_id = None if place.key is None else known.get(place.key)
            if file_id is None:
                uploaded.append(place)
            place.slot.holder[place.slot.member] = file_id or f"{SCHEME}{place.part}"
    holders = {id(place.slot.holder) for place in uploaded}
    for place in places:
        if place.slot.kind == THUMBNAIL:
            if id(place.slot.holder) in holders:
                uploaded.append(place)
                place.slot.holder[place.slot.member] = f"{SCHEME}{place.part}"
            else:
                del place.slot.holder[place.slot.member]
    return uploaded


def _file_id(kind: str, message: Mapping[str, str]) -> str | None:
    """What Telegram calls a file that was sent as `kind`: it may have made another kind of document of it."""
    if kind in message or kind == "photo":
        return message.get(kind)
    return next((message[member] for member in DOCUMENTS if member in message), None)
