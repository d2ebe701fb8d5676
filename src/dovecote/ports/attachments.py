"""What the engine asks of the world to send stored files, beside `ports.Channel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta

    from dovecote.model import (
        ClaimedNotification,
        FilePart,
        Known,
        Outcome,
        Uploaded,
        UploadKey,
        UploadTurn,
    )


class FileChannel(Protocol):
    """A channel that can upload files with a notification."""

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        """See `ports.Channel.send`."""

    async def upload(
        self, claimed: ClaimedNotification, token: str, files: Sequence[FilePart], *, timeout: timedelta
    ) -> Uploaded:
        """Make the request with these files, whose parameters name their parts as `attach://part`.

        The contents are read as they are sent. What reading them raises comes out as it is, and then the request was
        certainly not made. Otherwise as `send`.
        """

    async def close(self) -> None:
        """See `ports.Channel.close`."""


class FileReader(Protocol):
    """The contents of stored files."""

    def stream(self, file_id: int) -> AsyncIterator[bytes]:
        """The content in chunks, its SHA-256 verified before the last one is given out.

        Raises, as it goes, UnknownFile, FileMissing, FileDamaged, StorageUnavailable, StorageRefused.
        """


class UrlReader(Protocol):
    """Files behind URLs that Telegram could not fetch."""

    def open(self, url: str, *, part: str, largest: int) -> AbstractAsyncContextManager[FilePart]:
        """Ask for it, and answer it as this part of a request, to be read once; at most `largest` bytes.

        Raises UrlNotFetched, also as it is read.
        """


class FileIds(Protocol):
    """What Telegram calls the contents for each bot, and whose turn it is to upload one. Time is the store's own."""

    async def look_up(self, files: AbstractSet[tuple[int, int]]) -> Known:
        """What is known of these files, each with the bot that sends it: (bot id, file id). One statement."""

    async def begin(self, keys: Sequence[UploadKey], *, uploader: str, lease: timedelta) -> UploadTurn:
        """Take the turn of uploading all of `keys` that have no `file_id`, or of none while another has one of them."""

    async def renew(self, keys: Sequence[UploadKey], *, uploader: str, lease: timedelta) -> None:
        """Let this uploader's turn end later."""

    async def finish(self, file_ids: Mapping[UploadKey, str]) -> None:
        """Remember what Telegram calls them; their turns are over."""

    async def give_up(self, keys: Sequence[UploadKey], *, uploader: str) -> None:
        """End this uploader's turn without a `file_id`."""

    async def forget(self, file_ids: Mapping[UploadKey, str]) -> None:
        """Telegram does not know these any more; one that is another by now stays."""

    async def wake(self, released: Sequence[ClaimedNotification]) -> Sequence[int]:
        """Make due those of `released` that wait since for an upload, and what was postponed behind them in a chat.

        Answers the ids that are not given back yet. What is for later, leased or tried before stays as it is.
        """
