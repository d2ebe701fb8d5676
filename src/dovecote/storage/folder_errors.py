"""What the operating system says about a folder, in the errors of the port and in words that name a remedy."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final

from dovecote.errors import FileMissing, StorageRefused, StorageUnavailable
from dovecote.storage.keys import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Refusal(StorageRefused):
    """A symbolic link stands where none may."""


@contextlib.contextmanager
def told(root: Path, key: str | None = None) -> Iterator[None]:
    """Translate what is raised in the body. `key` is what it was about."""
    try:
        yield
    except OSError as error:
        raise _translated(error, root, key) from error


def _translated(error: OSError, root: Path, key: str | None) -> Exception:  # noqa: PLR0911 - a table of causes
    of_key = f" for {shown(key)}" if key else ""
    reason = error.strerror or str(error)
    if error.errno == errno.ENOENT:
        if key is not None:
            return FileMissing(f"there is no content under the key {shown(key)} in {root}.")
        return StorageUnavailable(f"the folder {root} is gone: make it again, or name another in storage.url.")
    if error.errno in _FULL:
        return StorageUnavailable(
            f"the disk of {root} is full ({reason}){of_key}: nothing was stored, and what was there before is whole. "
            "Make room, or name another folder in storage.url."
        )
    if error.errno == errno.EFBIG:
        return StorageUnavailable(
            f"a file in {root} cannot be so large ({reason}){of_key}: nothing was stored, and what was there before "
            "is whole. Raise the limit of the process or of the file system."
        )
    if error.errno in _FORBIDDEN:
        return StorageRefused(
            f"the folder {root} does not let this process in ({reason}){of_key}: give its user the right to write "
            "there, or name another folder in storage.url."
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return StorageRefused(f"{root} is no folder ({reason}){of_key}: name one in storage.url.")
    if error.errno == errno.ENAMETOOLONG:
        return StorageRefused(
            f"the file system of {root} does not take names so long{of_key}: use shorter keys, or another folder."
        )
    return StorageUnavailable(f"the folder {root} cannot be used just now ({reason}){of_key}.")
