"""A process that kills itself at a chosen moment of its work: `python killed_files.py DATABASE FOLDER MOMENT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from dovecote import Dovecote
from dovecote.config import Settings
from dovecote.storage import LocalStorage
from dovecote.stores.files import Files

CONTENT = b"the content"


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(kind: type, name: str) -> None:
    """Let the process die in place of a method."""

    async def method(*_: Any, **__: Any) -> None:
        die()

    setattr(kind, name, method)


def after(kind: type, name: str) -> None:
    """Let the process die when a method has done its work."""
    real = getattr(kind, name)

    async def method(*arguments: Any, **options: Any) -> None:
        await real(*arguments, **options)
        die()

    setattr(kind, name, method)


MOMENTS: dict[str, tuple[Any, type, str]] = {
    "announced, not uploaded": (before, LocalStorage, "upload"),
    "uploaded, not committed": (after, LocalStorage, "upload"),
    "committed, not answered": (after, Files, "record"),
    "removed from the database, not from the store": (before, LocalStorage, "delete"),
    "removed from the store, not forgotten": (after, LocalStorage, "delete"),
}


async def main(database: str, folder: str, moment: str) -> None:
    settings = Settings.model_validate({"storage": {"url": folder}, "database": {"url": database}})
    async with Dovecote(settings=settings) as dovecote:
        deletes = moment.startswith("removed")
        file = await dovecote.files.put(CONTENT, name="x") if deletes else None
        how, kind, name = MOMENTS[moment]
        how(kind, name)
        if file is None:
            await dovecote.files.put(CONTENT, name="x")
        else:
            await dovecote.files.delete(file.id)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
