"""Dovecote delivers notifications for Telegram bots, from the application's own transaction."""

from dovecote.app import Dovecote, process_notifications_batch
from dovecote.batch import BatchSummary
from dovecote.errors import (
    DovecoteError,
    InvalidConfiguration,
    InvalidNotification,
    MissingExtra,
    NotConfigured,
    NotMigrated,
    StoreUnavailable,
    TokenUnreadable,
    UnknownBot,
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
    State,
    Stats,
)
from dovecote.service import Service
from dovecote.unit_of_work import UnitOfWork
from dovecote.version import __version__
from dovecote.worker import Worker

__all__ = [
    "Attempt",
    "BatchSummary",
    "Bot",
    "ClaimedNotification",
    "DeliveryPolicy",
    "Dovecote",
    "DovecoteError",
    "InvalidConfiguration",
    "InvalidNotification",
    "MissingExtra",
    "NotConfigured",
    "NotMigrated",
    "Notification",
    "NotificationRecord",
    "Priority",
    "Service",
    "State",
    "Stats",
    "StoreUnavailable",
    "TokenUnreadable",
    "UnitOfWork",
    "UnknownBot",
    "UnknownNotification",
    "UnsupportedConnection",
    "Worker",
    "WrongDatabase",
    "__version__",
    "process_notifications_batch",
]
