"""A folder of contents, with blocking calls only: never outside of its root, never a torn content.

- Every name of a path is opened by itself, relative to the folder before it, and without following a symbolic link. So
  no link leads out, whenever and by whomever it is put there; a link is refused, not followed.
- A content is written under a name of its own in `.dovecote-partial`, flushed to the disk, then renamed to its key,
  and the folder is flushed. Whenever the machine stops, a key has its old content or the new one, whole.
- While it is written it is locked, and the lock ends with the process. So the sweep knows what a killed process left
  behind, without guessing by age.
- A folder that is empty after a delete is removed, so a key can be stored where a folder was. An upload that meets
  this walks its path again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
import unicodedata
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dovecote.errors import InvalidKey, StorageRefused, StorageUnavailable
from dovecote.storage.folder_errors import Refusal, told
from dovecote.storage.keys import RESERVED, is_key, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIAL: Final = f"{RESERVED}partial"

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that somebody put there would hold an open without O_NONBLOCK for ever.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Where locks are not to be had, the sweep has only the age to go by.
_SURELY_LEFT_BEHIND: Final = 24 * 3600.0
_TRIES: Final = 100
# No system reads more than 2 GiB at once.
_LONGEST_READ: Final = 2**30

_GONE: Final = (FileNotFoundError, Refusal, InvalidKey)


@dataclass(slots=True)
class Partial:
    """A content that is being written. `descriptor` is negative before it is begun and after it has ended."""

    name: str = ""
    descriptor: int = -1


class Folder:
    """The root and what happens in it. Raises InvalidKey, FileMissing, StorageRefused, StorageUnavailable."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folds_case: bool | None = None

    def begin(self, partial: Partial) -> None:
        """Make the file that a content is written to."""
        with told(self.root), self._root(create=True) as root, self._partials(root) as partials:
            while partial.descriptor < 0:
                partial.name = uuid.uuid4().hex
                partial.descriptor = os.open(partial.name, _NEW, 0o666, dir_fd=partials)
                with contextlib.suppress(OSError):  # without locks the sweep goes by age
                    fcntl.flock(partial.descriptor, fcntl.LOCK_EX)
                if os.fstat(partial.descriptor).st_nlink == 0:
                    # The sweep came between these lines.
                    self._close(partial)

    def write(self, partial: Partial, block: bytes) -> None:
        """Append to it."""
        with told(self.root):
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(partial.descriptor, rest) :]

    def commit(self, partial: Partial, key: str) -> None:
        """Let the content be what the key holds, for good."""
        with told(self.root, key), self._root(create=True) as root, self._partials(root) as partials:
            os.fsync(partial.descriptor)
            for _ in range(_TRIES):
                try:
                    with self._parent(root, key, create=True) as (parent, name):
                        self._refuse_to_replace(parent, name, key)
                        os.rename(partial.name, name, src_dir_fd=partials, dst_dir_fd=parent)
                        self._close(partial)
                        _flush(parent)
                        return
                except FileNotFoundError:
                    # A delete has removed a folder that it found empty, unless it is the partial file that is gone.
                    if partial.name not in _names(partials):
                        break
            raise StorageUnavailable(f"{shown(key)} is not stored: somebody removes what is written there. Try again.")

    def discard(self, partial: Partial) -> None:
        """End a content that was not committed; harmless for one that was, or never began."""
        if partial.descriptor >= 0:
            self._close(partial)
            # What cannot be removed now is the sweep's; the error that led here is the one to be told.
            with contextlib.suppress(OSError), self._root(create=False) as root, self._partials(root) as partials:
                os.unlink(partial.name, dir_fd=partials)

    def look(self, *, writes: bool) -> None:
        """Find out whether the folder can be read and, with `writes`, written to. It may be missing without."""
        if writes:
            partial = Partial()
            try:
                self.begin(partial)
                self.write(partial, b"written to see whether it can be")
                with told(self.root):
                    os.fsync(partial.descriptor)
            finally:
                self.discard(partial)
        elif self.root.exists():
            with told(self.root), self._root(create=False) as root:
                _names(root)

    def read(self, descriptor: int, size: int, place: int) -> bytes:
        """At most `size` bytes from `place` on; none at the end."""
        with told(self.root):
            return os.pread(descriptor, min(size, _LONGEST_READ), place)

    def open(self, key: str) -> tuple[int, os.stat_result]:
        """A descriptor to read the content by, for the caller to close, and what is known of it."""
        with told(self.root, key), self._root(create=False) as root, self._parent(root, key) as (parent, name):
            self._only_exactly(parent, name, key)
            try:
                descriptor = os.open(name, _READ, dir_fd=parent)
            except OSError as error:
                _refuse_link(parent, name, key, error)
                raise
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                os.close(descriptor)
                _refuse_no_file(found.st_mode, key)
            return descriptor, found

    def find(self, key: str) -> os.stat_result:
        """What is known of a content."""
        with told(self.root, key), self._root(create=False) as root, self._parent(root, key) as (parent, name):
            self._only_exactly(parent, name, key)
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                _refuse_no_file(found.st_mode, key)
            return found

    def delete(self, key: str) -> None:
        """Remove a content, and its folders as far as they are empty now."""
        with told(self.root, key), self._root(create=False) as root:
            with self._parent(root, key) as (parent, name):
                self._only_exactly(parent, name, key)
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if not stat.S_ISREG(found.st_mode):
                    _refuse_no_file(found.st_mode, key)
                os.unlink(name, dir_fd=parent)
                _flush(parent)
            self._remove_empty(root, key)

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that begins with `prefix`. What is no key of ours, links included, is passed over."""
        beginning = prefix.rpartition("/")[0]
        with contextlib.ExitStack() as stack:
            try:
                with told(self.root, beginning):
                    root = stack.enter_context(self._root(create=False))
                    if beginning:
                        parent, name = stack.enter_context(self._parent(root, beginning))
                        self._only_exactly(parent, name, beginning)
                        root = stack.enter_context(_opened(name, parent, beginning))
            except (LookupError, InvalidKey):
                return
            yield from self._below(root, f"{beginning}/" if beginning else "", prefix)

    def sweep(self, older_than: float) -> int:
        """Remove partial files whose writer is gone, last written `older_than` seconds ago or earlier."""
        removed = 0
        with told(self.root), self._root(create=True) as root, self._partials(root) as partials:
            for name in _names(partials):
                # Another sweep may be faster.
                with contextlib.suppress(FileNotFoundError):
                    removed += _remove_left_behind(partials, name, older_than)
        return removed

    def _below(self, folder: int, path: str, prefix: str) -> Iterator[str]:
        """The keys in an open folder and beneath it."""
        with told(self.root), os.scandir(folder) as entries:
            for entry in entries:
                key = path + entry.name
                if entry.is_file(follow_symlinks=False):
                    if key.startswith(prefix) and is_key(key):
                        yield key
                elif entry.is_dir(follow_symlinks=False) and key.startswith(prefix) and is_key(key):
                    # It may have been removed since it was read, or something else may stand there.
                    with contextlib.suppress(*_GONE), _opened(entry.name, folder, key) as inner:
                        yield from self._below(inner, f"{key}/", prefix)

    @contextlib.contextmanager
    def _root(self, *, create: bool) -> Iterator[int]:
        if create:
            self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, _FOLDER)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _partials(self, root: int) -> Iterator[int]:
        with contextlib.suppress(FileExistsError):
            os.mkdir(PARTIAL, 0o777, dir_fd=root)
            _flush(root)
        with _opened(PARTIAL, root, PARTIAL) as partials:
            yield partials

    @contextlib.contextmanager
    def _parent(self, root: int, key: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """The folder of a key, open, and the key's last name."""
        *folders, name = key.split("/")
        with contextlib.ExitStack() as stack:
            folder = root
            for number, one in enumerate(folders):
                self._only_exactly(folder, one, key, create=create)
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(one, 0o777, dir_fd=folder)
                        _flush(folder)
                try:
                    folder = stack.enter_context(_opened(one, folder, key, "/".join(folders[: number + 1])))
                except InvalidKey:
                    if create:
                        raise
                    # Beneath a content there is none: nothing is wrong with asking.
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key) from None
            yield folder, name

    def _refuse_to_replace(self, parent: int, name: str, key: str) -> None:
        self._only_exactly(parent, name, key, create=True)
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                raise InvalidKey(f"the key {shown(key)} cannot be stored here: there are keys beneath {shown(key)}/.")
            if not stat.S_ISREG(found.st_mode):
                _refuse_no_file(found.st_mode, key)

    def _only_exactly(self, folder: int, name: str, key: str, *, create: bool = False) -> None:
        """On a file system that folds case, take a name for what it is and not for its twin."""
        if self._folds_case is None and (self.root / PARTIAL).exists():
            # The one folder that is certainly there once something was stored, by a name that it does not have.
            self._folds_case = (self.root / PARTIAL.upper()).exists()
        if not self._folds_case:
            return
        names = _names(folder)
        if name in names:
            return
        twins = [other for other in names if _folded(other) == _folded(name)]
        if twins and create:
            raise InvalidKey(
                f"the key {shown(key)} cannot be stored here: {shown(name)} differs from {shown(twins[0])} in case "
                f"alone, and the file system of {self.root} takes them for one."
            )
        if twins:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def _remove_empty(self, root: int, key: str) -> None:
        folders = key.split("/")[:-1]
        # Somebody stores into it, or has removed it already: both are as it should be.
        with contextlib.suppress(OSError):
            while folders:
                with self._parent(root, "/".join(folders)) as (parent, name):
                    os.rmdir(name, dir_fd=parent)
                folders.pop()

    def _close(self, partial: Partial) -> None:
        descriptor, partial.descriptor = partial.descriptor, -1
        os.close(descriptor)


def _remove_left_behind(partials: int, name: str, older_than: float) -> bool:
    """Remove a partial file if nobody writes it; answers whether it was removed."""
    descriptor = os.open(name, _READ, dir_fd=partials)
    try:
        age = time.time() - os.fstat(descriptor).st_mtime
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            older_than = max(older_than, _SURELY_LEFT_BEHIND)
        if age < older_than:
            return False
        os.unlink(name, dir_fd=partials)
        return True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened(name: str, parent: int, key: str, path: str = "") -> Iterator[int]:
    """A folder in an open one, without following a link."""
    try:
        descriptor = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        _refuse_link(parent, name, key, error)
        if error.errno == errno.ENOTDIR:
            raise InvalidKey(
                f"the key {shown(key)} cannot be here: {shown(path or name)} is a content itself, and no folder."
            ) from None
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_link(parent: int, name: str, key: str, error: OSError) -> None:
    """Say so if it is a symbolic link that stood in the way; ELOOP and ENOTDIR both may mean that."""
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}:
        with contextlib.suppress(OSError):
            _refuse_no_file(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode, key, links_only=True)


def _refuse_no_file(mode: int, key: str, *, links_only: bool = False) -> None:
    if stat.S_ISLNK(mode):
        raise Refusal(f"on the way to {shown(key)} stands a symbolic link, which is never followed. Remove it.")
    if links_only:
        return
    if stat.S_ISDIR(mode):
        # A folder is no content: nothing is stored under this key.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
    raise StorageRefused(f"{shown(key)} is neither a file nor a folder, and is not touched. Remove it.")


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def _flush(folder: int) -> None:
    """Let the names in a folder be on the disk."""
    try:
        os.fsync(folder)
    except OSError as error:
        # Some file systems cannot, and keep their names in another way.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
