"""Dovecote delivers notifications for Telegram bots, from the application's own transaction."""

from importlib import import_module
from typing import TYPE_CHECKING

from dovecote.errors import (
    DovecoteError,
    FileDamaged,
    FileInUse,
    FileMissing,
    FileTooLarge,
    InvalidConfiguration,
    InvalidJob,
    InvalidKey,
    InvalidNotification,
    InvalidRecipient,
    MissingExtra,
    NotConfigured,
    NotMigrated,
    StorageRefused,
    StorageUnavailable,
    StoresDiffer,
    StoreUnavailable,
    TelegramRefused,
    TelegramUnavailable,
    TokenUnreadable,
    UnknownBot,
    UnknownFile,
    UnknownJob,
    UnknownNotification,
    UnknownRecipient,
    UnknownUpload,
    UnsupportedConnection,
    WrongDatabase,
)
from dovecote.model import (
    AttachedFile,
    Attachment,
    Attempt,
    Bot,
    ClaimedNotification,
    DeliveryPolicy,
    Notification,
    NotificationRecord,
    Priority,
    Quiet,
    QuietHours,
    Recipient,
    State,
    Stats,
    StoredFile,
    UploadTicket,
    Waiting,
    WaitReason,
)
from dovecote.version import __version__

if TYPE_CHECKING:
    from dovecote.app import Dovecote, process_notifications_batch
    from dovecote.batch import BatchSummary
    from dovecote.ports import FileStorage
    from dovecote.service import Service
    from dovecote.storage.local import LocalStorage
    from dovecote.storage.s3 import S3Storage
    from dovecote.unit_of_work import UnitOfWork
    from dovecote.worker import Worker
else:
    # What needs the database toolkit is imported when it is asked for: `dovecote --help` is not to wait for it.
    _LATER = {
        "BatchSummary": "dovecote.batch",
        "Dovecote": "dovecote.app",
        "FileStorage": "dovecote.ports",
        "LocalStorage": "dovecote.storage.local",
        "S3Storage": "dovecote.storage.s3",
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
    "AttachedFile",
    "Attachment",
    "Attempt",
    "BatchSummary",
    "Bot",
    "ClaimedNotification",
    "DeliveryPolicy",
    "Dovecote",
    "DovecoteError",
    "FileDamaged",
    "FileInUse",
    "FileMissing",
    "FileStorage",
    "FileTooLarge",
    "InvalidConfiguration",
    "InvalidJob",
    "InvalidKey",
    "InvalidNotification",
    "InvalidRecipient",
    "LocalStorage",
    "MissingExtra",
    "NotConfigured",
    "NotMigrated",
    "Notification",
    "NotificationRecord",
    "Priority",
    "Quiet",
    "QuietHours",
    "Recipient",
    "S3Storage",
    "Service",
    "State",
    "Stats",
    "StorageRefused",
    "StorageUnavailable",
    "StoreUnavailable",
    "StoredFile",
    "StoresDiffer",
    "TelegramRefused",
    "TelegramUnavailable",
    "TokenUnreadable",
    "UnitOfWork",
    "UnknownBot",
    "UnknownFile",
    "UnknownJob",
    "UnknownNotification",
    "UnknownRecipient",
    "UnknownUpload",
    "UnsupportedConnection",
    "UploadTicket",
    "WaitReason",
    "Waiting",
    "Worker",
    "WrongDatabase",
    "__version__",
    "process_notifications_batch",
]
