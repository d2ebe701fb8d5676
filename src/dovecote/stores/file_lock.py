"""A lock of the operating system's on a file: it ends with the process that holds it, however that one ends.

Where the system has no such locks, or the folder cannot be written to, nobody ever holds one.
"""

from __future__ import annotations

import os

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


class FileLock:
    """The lock on `path`, a file of its own that is made when it is needed and left where it is.

    Two of these exclude each other within one process as well.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this one holds it."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Take it if it is free, without waiting, and answer whether it is held now."""
        if self._descriptor is not None:
            return True
        if fcntl is None:
            return False
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def drop(self) -> None:
        """Let it go. Harmless when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
