"""Uploads that clients make by themselves, past this process: allowed by a signature, finished by `complete`.

A signature stays good until it expires, and so may what was uploaded be replaced by its holder. Therefore a file is
never made of that object: `complete` reads it once, checks what it reads, and stores that under a key of its own.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dovecote.errors import DovecoteError, FileDamaged, FileMissing, FileTooLarge
from dovecote.files.contents import taken_in
from dovecote.files.keys import incoming_key
from dovecote.model import DirectUpload, UploadTicket

if TYPE_CHECKING:
    from dovecote.files.contents import Content
    from dovecote.files.library import Files
    from dovecote.files.storages import Storages
    from dovecote.model import StoredFile
    from dovecote.ports.files import DirectUploads

logger = logging.getLogger(__name__)

LEFT_OVER: Final = timedelta(days=1)
"""How long what was uploaded may wait for its `complete` after the signature has expired."""
# What a browser shows or plays by itself: here the type that was agreed on and the bytes must be of one family.
_SHOWN: Final = frozenset({"image", "video", "audio"})
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


class Direct:
    """Allows and completes uploads."""

    def __init__(self, uploads: DirectUploads, storages: Storages) -> None:
        self._uploads = uploads
        self._storages = storages

    async def allow(
        self,
        name: str | None,
        content_type: str,
        max_size: int,
        *,
        size: int | None,
        expires_in: timedelta,
        keep: bool,
    ) -> UploadTicket:
        """Let a client upload one content. See `Files.upload_url`."""
        primary = await self._storages.primary()
        key = incoming_key()
        signed = await self._storages.of(primary).signed_upload(
            key, content_type=content_type, largest=max_size, size=size, expires_in=expires_in
        )
        allowed = DirectUpload(
            key=key,
            store_id=primary.id,
            name=name,
            content_type=content_type,
            max_size=max_size,
            keep=keep,
            expires_at=signed.expires_at,
        )
        allowed = await self._uploads.allow(allowed, expires_in=expires_in, window=expires_in + LEFT_OVER)
        return UploadTicket(id=key, upload=signed)

    async def complete(self, files: Files, upload_id: str, *, sha256: str | None, size: int | None) -> StoredFile:
        """Make a file of what was uploaded. See `Files.complete`."""
        _refuse_impossible(sha256, size)
        upload = await self._uploads.upload(upload_id)
        if upload.file_id is not None:
            return await files.info(upload.file_id)
        storage = await self._storages.storage(upload.store_id)
        try:
            found = await storage.info(upload.key)
            _check_size(found.size, upload)
            async with taken_in(storage.stream(upload.key), max_size=upload.max_size) as content:
                _check(content, upload, sha256=sha256, size=size)
                file = await files.put_content(content, name=upload.name, keep=upload.keep)
        except FileMissing:
            raise FileMissing(
                "nothing has been uploaded yet: `complete` comes after the client has sent the content to the URL."
            ) from None
        except (FileTooLarge, FileDamaged):
            await self._remove(upload)
            raise
        await self._uploads.completed(upload.key, file.id)
        await self._remove(upload)
        return file

    async def _remove(self, upload: DirectUpload) -> None:
        """Remove what was uploaded. The collection removes it once more when nobody can upload it again."""
        try:
            await (await self._storages.storage(upload.store_id)).delete(upload.key)
        except DovecoteError as error:
            logger.warning("an upload could not be removed and is when its time is over: %s", error)


def _refuse_impossible(sha256: str | None, size: int | None) -> None:
    """Raise ValueError for what no content has, before a good upload is removed because of it."""
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256[:80]!r} is no SHA-256: it has 64 digits in hexadecimal.")
    if size is not None and size < 0:
        raise ValueError(f"no content has {size} bytes.")


def _check_size(size: int, upload: DirectUpload) -> None:
    if size > upload.max_size:
        raise FileTooLarge(f"{size:,} bytes were uploaded, and {upload.max_size:,} were agreed on.")


def _check(content: Content, upload: DirectUpload, *, sha256: str | None, size: int | None) -> None:
    """Raise FileDamaged if it is not what the client said that it sends, or of another kind than was agreed on."""
    if size is not None and content.size != size:
        raise FileDamaged(f"{content.size:,} bytes were uploaded, and {size:,} were to be: let it be uploaded again.")
    if sha256 is not None and content.sha256 != sha256.lower():
        raise FileDamaged(
            f"what was uploaded has the SHA-256 {content.sha256}, and {sha256.lower()} was to be: let it be uploaded"
            " again."
        )
    agreed, found = (media_type.partition("/")[0] for media_type in (upload.content_type, content.content_type))
    if agreed in _SHOWN and found != agreed:
        raise FileDamaged(
            f"what was uploaded is {content.content_type} by its bytes, and {upload.content_type} was agreed on."
        )
