"""Files that people send to a bot, fetched into storage.

The link that Telegram gives holds the bot's token. It is used and forgotten: what is stored is the content, and a
name without a path.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import PurePosixPath, PureWindowsPath
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from dovecote.errors import DovecoteError, FileTooLarge, TelegramRefused, TelegramUnavailable
from dovecote.files.contents import taken_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from dovecote.files.contents import Source
    from dovecote.files.library import Files
    from dovecote.model import RemoteFile, StoredFile
    from dovecote.ports.files import FileSource

logger = logging.getLogger(__name__)

TRIES: Final = 3
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds. Whom Telegram asks to wait longer is told so."""


class Incoming:
    """Fetches what people have sent. `token_of` answers a bot's token by its name."""

    def __init__(
        self,
        source: FileSource,
        token_of: Callable[[str], Awaitable[str]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self._source = source
        self._token_of = token_of
        self._sleep = sleep
        self._random = random or SystemRandom()

    async def fetch(
        self, files: Files, bot: str, file_id: str, *, name: str | None, keep: bool, max_size: int | None
    ) -> StoredFile:
        """Fetch and store. See `Files.fetch`."""
        token = await self._token_of(bot)
        number = 0
        while True:
            number += 1
            try:
                return await self._fetch_once(files, token, file_id, name=name, keep=keep, max_size=max_size)
            except TelegramUnavailable as error:
                pause = FIRST_PAUSE * 2 ** (number - 1) * (0.5 + self._random.random())
                if error.retry_after is not None:
                    pause = max(pause, error.retry_after)
                if number == TRIES or pause > LONGEST_PAUSE:
                    raise
                logger.info("a file is fetched again in %.1f s: %s", pause, error)
                await self._sleep(pause)

    async def _fetch_once(
        self, files: Files, token: str, file_id: str, *, name: str | None, keep: bool, max_size: int | None
    ) -> StoredFile:
        remote = await self._source.locate(token, file_id)
        if max_size is not None and remote.size is not None and remote.size > max_size:
            raise FileTooLarge(f"it has {remote.size:,} bytes, and {max_size:,} is the limit that was set for it.")
        source: Source = remote.path if remote.is_local else self._source.download(token, remote)
        try:
            async with taken_in(source, max_size=max_size) as content:
                return await files.put_content(content, name=name or _name(remote), keep=keep)
        except OSError as error:
            # What is unavailable is an OSError as well.
            if not remote.is_local or isinstance(error, DovecoteError):
                raise
            reason = error.strerror or type(error).__name__
        # Outside of the handler, so that the path, which holds the token, is not even a cause.
        raise TelegramRefused(
            f"the local Bot API server keeps the file in its own folder, where this process cannot read it ({reason}):"
            " let the server's folder be at the same path here, readable for this user."
        )


def _name(remote: RemoteFile) -> str | None:
    """The last part of the path, which holds no token."""
    path = PureWindowsPath(remote.path) if remote.is_local and "\\" in remote.path else PurePosixPath(remote.path)
    return path.name or None
