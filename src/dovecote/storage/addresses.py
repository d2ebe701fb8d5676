"""A storage by its URL: `file:///folder` or `s3://bucket/prefix?endpoint=https://...&region=...`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from dovecote.errors import InvalidConfiguration, InvalidKey
from dovecote.storage.keys import normalised
from dovecote.storage.local import LocalStorage
from dovecote.storage.s3 import S3Storage
from dovecote.storage.s3_client import encryption_faults, endpoint_faults

if TYPE_CHECKING:
    from dovecote.storage.signatures import Credentials

S3_PARAMETERS: Final = (
    *("endpoint", "region", "path_style", "profile", "server_side_encryption", "kms_key_id"),
    *("timeout", "retry_for"),
)
_YES_OR_NO: Final = {"true": True, "false": False}
_SECRETS: Final = ("secret", "password", "token", "access_key")


def storage_faults(url: str) -> list[str]:
    """What is wrong with a storage's URL, as parts of a sentence. No value of a parameter is in them."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return ["it is no URL"]
    if parts.username is not None or parts.password is not None:
        return ["it holds credentials, which belong into storage.access_key_id and storage.secret_access_key"]
    if parts.fragment:
        return ["it has a #, which is written %23 in a URL"]
    match parts.scheme:
        case "file":
            return _file_faults(url)
        case "s3":
            return _s3_faults(url)
        case _:
            return ["it is neither a file:// nor an s3:// URL"]


def opened(
    url: str,
    *,
    public_url: str | None = None,
    credentials: Credentials | None = None,
    url_lifetime: timedelta = timedelta(hours=1),
) -> LocalStorage | S3Storage:
    """The storage that a URL means; nothing is connected yet. Raises InvalidConfiguration, MissingExtra."""
    faults = storage_faults(url)
    if faults:
        raise InvalidConfiguration([f"the URL of the storage is refused: {', and '.join(faults)}."])
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalStorage(Path(unquote(parts.path)), public_url=public_url)
    given: dict[str, Any] = dict(parse_qsl(parts.query))
    if "path_style" in given:
        given["path_style"] = _YES_OR_NO[given["path_style"]]
    for name in ("timeout", "retry_for"):
        if name in given:
            given[name] = timedelta(seconds=float(given[name]))
    if credentials is not None:
        given |= {
            "access_key_id": credentials.access_key_id,
            "secret_access_key": credentials.secret_access_key,
            "session_token": credentials.session_token,
        }
    return S3Storage(
        parts.netloc, prefix=unquote(parts.path), public_url=public_url, url_lifetime=url_lifetime, **given
    )


def _file_faults(url: str) -> list[str]:
    parts = urlsplit(url)
    faults = []
    if parts.netloc not in {"", "localhost"}:
        faults.append("it names a host, and a folder is on this machine: write three slashes, file:///folder")
    if not unquote(parts.path).strip("/"):
        faults.append("it names no folder")
    if "\0" in unquote(parts.path):
        faults.append("no name of a folder has a NUL")
    if parts.query:
        faults.append("a folder's URL takes no parameters")
    return faults


def _s3_faults(url: str) -> list[str]:
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    faults = [] if parts.netloc and ":" not in parts.netloc else ["it names no bucket: s3://bucket/prefix"]
    for name in given:
        if name.lower().startswith(_SECRETS):
            faults.append(f"its {name} belongs into storage.access_key_id or storage.secret_access_key")
        elif name not in S3_PARAMETERS:
            faults.append(f'it has the unknown parameter "{name}" (known are {", ".join(S3_PARAMETERS)})')
    if "endpoint" in given:
        faults += [fault.rstrip(".") for fault in endpoint_faults(given["endpoint"])]
    encryption = encryption_faults(given.get("server_side_encryption"), given.get("kms_key_id"))
    faults += [f"its {fault.rstrip('.')}" for fault in encryption]
    if given.get("path_style", "true") not in _YES_OR_NO:
        faults.append("its path_style is neither true nor false")
    for name in ("timeout", "retry_for"):
        if name in given and not _is_seconds(given[name]):
            faults.append(f"its {name} is no number of seconds above zero")
    if prefix := unquote(parts.path).strip("/"):
        try:
            normalised(prefix)
        except InvalidKey as error:
            faults.append(f"its prefix cannot be: {str(error).rstrip('.')}")
    return faults


def _is_seconds(text: str) -> bool:
    try:
        return 0 < float(text) <= 24 * 3600
    except ValueError:
        return False
