"""Everything that Dovecote raises on purpose.

DovecoteError
├── InvalidNotification      a field of a notification cannot be; raised before anything is written
├── UnknownBot               no bot has that name
├── UnknownNotification      no notification has that id
├── InvalidConfiguration     every fault of the configuration at once
├── UnsupportedConnection    enqueue was given something that it cannot write through
├── WrongDatabase            the connection leads to a database that is not the outbox's
├── NotMigrated              the database has no Dovecote schema, or another version of it
├── MissingExtra             an optional part is not installed; names the command that installs it
├── StoreUnavailable         the database cannot be reached just now
├── InvalidToken             what was given as a bot's token is none
├── TokenUnreadable          a bot's token cannot be decrypted or its variable is not set
├── NotConfigured            UnitOfWork() or process_notifications_batch() before there is a Dovecote
├── LeaseStoreUnavailable    Redis or Valkey cannot be reached just now
├── InvalidSchedule          a field of a schedule cannot be
├── UnknownSchedule          no schedule has that name
├── InvalidJob               a job, or an argument of it, that cannot be kept as JSON; or one that cannot be run here
├── UnknownJob               no job has that id
├── InvalidKey               a key that no file storage could keep safely
├── FileMissing              there is no content under that key
├── FileDamaged              what the store holds is not what was put there
├── FileInUse                a file that a notification still needs cannot be deleted
├── UnknownFile              no file has that id
├── FileTooLarge             a file over a limit, with the limit and what lifts it
├── StorageUnavailable       the file storage cannot be reached just now, or its disk is full
└── StorageRefused           the file storage refuses: credentials, bucket, clock, rights

Messages name the bad value and the remedy, and never contain a bot token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class DovecoteError(Exception):
    """The root of the tree."""


class InvalidNotification(DovecoteError, ValueError):
    """A field of a notification cannot be. `index` is its place in the sequence that was enqueued."""

    def __init__(self, field: str, problem: str, *, index: int | None = None) -> None:
        """Say which `field`, and in `problem` the value and the remedy."""
        where = field if index is None else f"notification {index}: {field}"
        super().__init__(f"{where}: {problem}")
        self.field = field
        self.index = index


class UnknownBot(DovecoteError, LookupError):
    """No bot has that name."""

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        """Name the bots that there are, so that a slip of the pen shows."""
        there = ", ".join(f'"{bot}"' for bot in known) or "none yet"
        super().__init__(f'no bot is named "{name}" (there are: {there}). Add one with `dovecote bot add {name}`.')


class UnknownNotification(DovecoteError, LookupError):
    """No notification has that id, neither in the outbox nor in the history."""

    def __init__(self, notification_id: int) -> None:
        """Name the id."""
        super().__init__(
            f"no notification has the id {notification_id}: it was never enqueued, was rolled back, or was pruned."
        )


class InvalidConfiguration(DovecoteError, ValueError):
    """The configuration has faults; all of them are listed."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Take every fault as a sentence."""
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class UnsupportedConnection(DovecoteError, TypeError):
    """Enqueue was given something that it cannot write through."""


class WrongDatabase(DovecoteError):
    """The connection leads to a database that is not the outbox's, so the commit would not cover both."""


class NotMigrated(DovecoteError):
    """The database has no Dovecote schema, or another version of it."""


class MissingExtra(DovecoteError, ImportError):
    """An optional part is not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        """Name the command that installs it."""
        super().__init__(f"{purpose} needs an extra: pip install 'dovecote[{extra}]'")


class StoreUnavailable(DovecoteError, ConnectionError):
    """The database cannot be reached just now. Nothing has happened, or the whole cycle has."""


class InvalidToken(DovecoteError, ValueError):
    """What was given as a bot's token is none. The message does not hold it."""


class TokenUnreadable(DovecoteError):
    """A bot's token cannot be decrypted, or the variable that holds it is not set."""


class NotConfigured(DovecoteError):
    """There is no Dovecote yet that a call without one could mean."""


class LeaseStoreUnavailable(DovecoteError, ConnectionError):
    """Redis or Valkey cannot be reached just now. Whether the lease was renewed is unknown."""


class InvalidSchedule(DovecoteError, ValueError):
    """A field of a schedule cannot be."""

    def __init__(self, field: str, problem: str) -> None:
        """Say which `field`, and in `problem` the value and the remedy."""
        super().__init__(f"{field}: {problem}")
        self.field = field


class UnknownSchedule(DovecoteError, LookupError):
    """No schedule has that name."""

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(f'no schedule is named "{name}": `dovecote schedule list` shows those that there are.')


class InvalidJob(DovecoteError, ValueError):
    """A job cannot be kept as JSON or be run under an election. The message names the argument and the remedy."""


class UnknownJob(DovecoteError, LookupError):
    """No job has that id."""

    def __init__(self, job_id: str) -> None:
        """Name it."""
        super().__init__(f'no job has the id "{job_id}": `dovecote job list` shows those that there are.')


class InvalidKey(DovecoteError, ValueError):
    """A key that no file storage could keep safely. The message says which rule it breaks."""


class FileMissing(DovecoteError, LookupError):
    """There is no content under that key."""


class FileDamaged(DovecoteError):
    """What the store holds is not what was put there: its size or its SHA-256 differs."""


class FileInUse(DovecoteError):
    """A file that a notification still needs cannot be deleted."""


class UnknownFile(DovecoteError, LookupError):
    """No file has that id."""


class FileTooLarge(DovecoteError, ValueError):
    """A file is over a limit; the message names the limit and what lifts it."""


class StorageUnavailable(DovecoteError, ConnectionError):
    """The file storage cannot be reached just now, or its disk is full. What was there before is untouched."""


class StorageRefused(DovecoteError):
    """The file storage refuses what is asked: wrong credentials, no such bucket, a clock that is off, no right."""
