"""Everything that Dovecote raises on purpose.

DovecoteError
├── InvalidNotification      a field of a notification cannot be; raised before anything is written
├── UnknownBot               no bot has that name
├── BotExists                there is a bot of that name already
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
├── InvalidBroadcast         a field of a broadcast cannot be, or it is not in the state for that
├── UnknownBroadcast         no broadcast has that name
├── InvalidRecipient         every fault of what is told of a recipient at once
├── UnknownRecipient         nothing is known of that chat of a bot
├── InvalidJob               a job, or an argument of it, that cannot be kept as JSON; or one that cannot be run here
├── UnknownJob               no job has that id
├── InvalidKey               a key that no file storage could keep safely
├── FileMissing              there is no content under that key
├── FileDamaged              what the store holds is not what was put there
├── FileInUse                a file that a notification still needs cannot be deleted
├── UnknownFile              no file has that id
├── FileTooLarge             a file over a limit, with the limit and what lifts it
├── UrlNotFetched            a URL of a file leads to nothing that can be sent
├── UnknownUpload            there is no such direct upload, or its time is over
├── StoresDiffer             the files are in another store than the one that is configured
├── TelegramRefused          Telegram does not give a file; its own words
├── TelegramUnavailable      Telegram cannot be reached just now, or its answer broke off
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


class BotExists(DovecoteError, ValueError):
    """There is a bot of that name already."""

    def __init__(self, name: str) -> None:
        """Name it, and say how to change it."""
        super().__init__(
            f'there is a bot named "{name}" already: choose another name; `dovecote bot token {name}` gives it another'
            f" token, `dovecote bot limits {name}` other limits."
        )


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


class InvalidBroadcast(DovecoteError, ValueError):
    """A field of a broadcast cannot be, or the broadcast is not in a state for what is asked."""

    def __init__(self, field: str, problem: str) -> None:
        """Say which `field`, and in `problem` the value and the remedy."""
        super().__init__(f"{field}: {problem}")
        self.field = field


class UnknownBroadcast(DovecoteError, LookupError):
    """No broadcast has that name."""

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(f'no broadcast is named "{name}": `dovecote broadcast list` shows those that there are.')


class InvalidRecipient(DovecoteError, ValueError):
    """What is told of a recipient has faults; all of them are listed."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Take every fault as a sentence that begins with its field."""
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class UnknownRecipient(DovecoteError, LookupError):
    """Nothing is known of that chat of a bot."""

    def __init__(self, bot: str, chat: str) -> None:
        """Name both."""
        super().__init__(
            f'nothing is known of the recipient {chat} of the bot "{bot}": tell of it with `dovecote recipient set'
            f" --bot {bot} --chat {chat}`."
        )


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
    """A file that a notification or a schedule still needs cannot be deleted."""

    def __init__(self, file_id: int, notification_id: int | None = None, *, schedule: str | None = None) -> None:
        """Name the file, and a notification or a schedule that needs it."""
        super().__init__(
            f"file {file_id} is needed by notification {notification_id}, which is still in the outbox: delete it once"
            f" that one is settled (`dovecote notification show {notification_id}`)."
            if schedule is None
            else f'file {file_id} is sent by the schedule "{schedule}": delete that one or let it send another file,'
            f" then delete this one (`dovecote schedule show {schedule}`)."
        )
        self.file_id = file_id
        self.notification_id = notification_id
        self.schedule = schedule


class UnknownFile(DovecoteError, LookupError):
    """No file has that id."""

    def __init__(self, file_id: int, *, name: str | None = None) -> None:
        """Name the id; with `name`, the file is there and has no such name."""
        if name is None:
            problem = f"no file has the id {file_id}: it was deleted or collected, or never put."
        else:
            problem = f'file {file_id} has no name "{name}".'
        super().__init__(f"{problem} `dovecote file list` shows those that there are.")


class UnknownUpload(DovecoteError, LookupError):
    """There is no direct upload of that name, or it was not completed in time."""


class StoresDiffer(DovecoteError):
    """The files are in another store than the one that is configured."""


class TelegramRefused(DovecoteError):
    """Telegram does not give a file. The message holds Telegram's own words and, where there is one, a remedy."""


class TelegramUnavailable(DovecoteError, ConnectionError):
    """Telegram cannot be reached just now, or its answer broke off. `retry_after` is in seconds, where it tells one."""

    def __init__(self, problem: str, *, retry_after: float | None = None) -> None:
        """Say what happened."""
        super().__init__(problem)
        self.retry_after = retry_after


class FileTooLarge(DovecoteError, ValueError):
    """A file is over a limit; the message names the limit and what lifts it."""


class UrlNotFetched(DovecoteError):
    """A URL of a file leads to nothing that can be sent. `again` says that another try may succeed."""

    def __init__(self, problem: str, *, again: bool = False) -> None:
        """Say what stands in the way; the message holds no query of the URL, which may be a secret."""
        super().__init__(problem)
        self.again = again


class StorageUnavailable(DovecoteError, ConnectionError):
    """The file storage cannot be reached just now, or its disk is full. What was there before is untouched."""


class StorageRefused(DovecoteError):
    """The file storage refuses what is asked: wrong credentials, no such bucket, a clock that is off, no right."""
