"""Dovecote delivers notifications for Telegram bots, from the application's own transaction."""

from importlib import import_module
from typing import TYPE_CHECKING

from dovecote.errors import (
    DovecoteError,
    InvalidConfiguration,
    InvalidJob,
    InvalidNotification,
    MissingExtra,
    NotConfigured,
    NotMigrated,
    StoreUnavailable,
    TokenUnreadable,
    UnknownBot,
    UnknownJob,
    UnknownNotification,
    UnsupportedConnection,
    WrongDatabase,
)
from dovecote.model import (
    Attempt,
    Bot,
    ClaimedNotification,
    DeliveryPolicy,
    Notification,
    NotificationRecord,
    Priority,
    Recipient,
    State,
    Stats,
    Waiting,
    WaitReason,
)
from dovecote.version import __version__

if TYPE_CHECKING:
    from dovecote.app import Dovecote, process_notifications_batch
    from dovecote.batch import BatchSummary
    from dovecote.service import Service
    from dovecote.unit_of_work import UnitOfWork
    from dovecote.worker import Worker
else:
    # What needs the database toolkit is imported when it is asked for: `dovecote --help` is not to wait for it.
    _LATER = {
        "BatchSummary": "dovecote.batch",
        "Dovecote": "dovecote.app",
        "Service": "dovecote.service",
        "UnitOfWork": "dovecote.unit_of_work",
        "Worker": "dovecote.worker",
        "process_notifications_batch": "dovecote.app",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # The composition root in any case: it tells UnitOfWork which Dovecote is meant.
        import_module("dovecote.app")
        return getattr(import_module(_LATER[name]), name)


__all__ = [
    "Attempt",
    "BatchSummary",
    "Bot",
    "ClaimedNotification",
    "DeliveryPolicy",
    "Dovecote",
    "DovecoteError",
    "InvalidConfiguration",
    "InvalidJob",
    "InvalidNotification",
    "MissingExtra",
    "NotConfigured",
    "NotMigrated",
    "Notification",
    "NotificationRecord",
    "Priority",
    "Recipient",
    "Service",
    "State",
    "Stats",
    "StoreUnavailable",
    "TokenUnreadable",
    "UnitOfWork",
    "UnknownBot",
    "UnknownJob",
    "UnknownNotification",
    "UnsupportedConnection",
    "WaitReason",
    "Waiting",
    "Worker",
    "WrongDatabase",
    "__version__",
    "process_notifications_batch",
]
