"""What the repository as a whole keeps to: it speaks of the project alone, and its public names are pinned."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import dovecote

ROOT = Path(__file__).parent.parent

# In pieces, for this file is searched as well.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home|Users)" + r"/[\w.-]")
REGISTRY = re.compile("|".join([r"py" + r"pi\.org", "python" + "hosted", r"registry\.npm" + r"js"]))

PUBLIC = [
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


def breaches(pattern: re.Pattern[str], texts: dict[str, str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def tracked_texts() -> dict[str, str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert "pyproject.toml" in names
    return {name: (ROOT / name).read_text(encoding="utf-8", errors="replace") for name in names}


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert breaches(MACHINE_PATH, {"a": "see /ro" + "ot/x", "b": "https://example.org/ho" + "me/x"}) == [
        "a:1: see /ro" + "ot/x"
    ]

    assert breaches(MACHINE_PATH, tracked_texts()) == []


def test_no_file_names_a_package_registrys_host() -> None:
    assert breaches(REGISTRY, {"a": "x\nfrom files.python" + "hosted.org"}) == ["a:2: from files.python" + "hosted.org"]

    assert breaches(REGISTRY, tracked_texts()) == []


def test_the_public_names_are_these() -> None:
    assert sorted(getattr(dovecote, "__all__", [])) == PUBLIC


def test_every_public_name_is_there() -> None:
    assert [name for name in PUBLIC if not hasattr(dovecote, name)] == []
