"""What an S3 store says, in the errors of the port and in words that name a remedy.

The client raises one class for most failures, and puts the store's answer into its text; the code there decides. No
text of the client is passed on as it is: it may hold addresses that are signed.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import unescape
from typing import Final

from dovecote.errors import FileDamaged, FileMissing, InvalidKey, StorageRefused, StorageUnavailable
from dovecote.storage.keys import shown

_CODE: Final = re.compile(r"<Code>\s*([A-Za-z0-9.]{1,60})\s*</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,200})</Message>")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_REASONS: Final = (
    ("Connection refused", "the connection is refused"),
    ("dns error", "its name is not known"),
    ("failed to lookup address", "its name is not known"),
    ("certificate", "its certificate is not trusted"),
    ("TimedOut", "it does not answer in time"),
    ("timed out", "it does not answer in time"),
    ("Connection reset", "the connection is reset"),
    ("IncompleteMessage", "the answer breaks off"),
    ("IncompleteBody", "the answer breaks off"),
    ("end of file before message length", "the answer breaks off"),
    ("Content-Range header not present", "it does not go on where the answer broke off"),
    ("non-partial response", "it answers with the whole where a part was asked for"),
)
_CLOCK: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestNotYetValid", "RequestInTheFuture"})
_TRANSIENT: Final = frozenset({"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted"})
_REDIRECT: Final = "redirect without LOCATION"
_METADATA_SERVICE: Final = "169.254.169.254"


@dataclass(frozen=True, slots=True)
class Place:
    """Which store is spoken to, for messages."""

    bucket: str
    endpoint: str
    region: str
    access_key_id: str | None

    def __str__(self) -> str:
        return f'bucket "{self.bucket}" at {self.endpoint}'


class told(AbstractContextManager[None]):  # noqa: N801 - it is read as a verb; a class, since it is entered with every request
    """Translate what the client raises in the body. `key` is what it was about."""

    __slots__ = ("_key", "_place")

    def __init__(self, place: Place, key: str | None = None) -> None:
        self._place = place
        self._key = key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if kind is None or error is None:
            return
        from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra

        if isinstance(error, BaseError | FileNotFoundError | TimeoutError):
            raise translated(str(error), kind.__name__, self._place, self._key) from None


def translated(text: str, kind: str, place: Place, key: str | None) -> Exception:  # noqa: PLR0911 - a table of causes
    """The port's error for a failure of the client: its text, and the name of its class."""
    code = match[1] if (match := _CODE.search(text)) else ""
    status = int(match[1]) if (match := _STATUS.search(text)) else 0
    of_key = f" for {shown(key)}" if key else ""
    if _METADATA_SERVICE in text:
        return no_credentials(place)
    if kind == "PreconditionError" or status == 412:  # noqa: PLR2004
        return FileDamaged(f"{shown(key or '')} was changed in {place} while it was read: read it again.")
    if kind == "InvalidPathError":
        return StorageRefused(
            f"{place} holds an object of somebody else's whose key the client cannot read, so the keys cannot be "
            "listed. Give Dovecote a prefix of its own."
        )
    refusal = _refusal("PermanentRedirect" if _REDIRECT in text else code, place)
    if refusal:
        return StorageRefused(refusal)
    if code == "KeyTooLongError":
        return InvalidKey(f"the key {shown(key or '')} is too long for {place}, with its prefix.")
    if kind == "FileNotFoundError" or status == 404:  # noqa: PLR2004
        return FileMissing(f"there is no content under the key {shown(key or '')} in {place}.")
    said = unescape(match[1]) if (match := _MESSAGE.search(text)) else ""
    words = " ".join(part for part in (str(status or ""), code, said and f"({said})") if part)
    if code in _TRANSIENT or status >= 500 or status == 429:  # noqa: PLR2004
        return StorageUnavailable(f"{place} cannot answer just now{of_key}: {words}. Try again.")
    if status in {401, 403} or kind in {"PermissionDeniedError", "UnauthenticatedError"}:
        return StorageRefused(
            f"{place} refuses{of_key}: {words}. The right is lacking to {_whose(place)}, or its secret is wrong."
        )
    if 300 <= status < 500:  # noqa: PLR2004
        return StorageRefused(f"{place} refuses{of_key}: {words or kind}. Compare endpoint, region and settings.")
    return StorageUnavailable(f"{place} cannot be reached just now{of_key}: {_reason(text)}. Try again.")


def no_credentials(place: Place) -> StorageRefused:
    """Nobody has given any, and the machine lends none."""
    return StorageRefused(
        f"no credentials were found for {place}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "storage.access_key_id and storage.secret_access_key, or name a profile."
    )


def _refusal(code: str, place: Place) -> str:
    """What is said about a code that means a refusal, "" for another."""
    who = _whose(place)
    if code in _CLOCK:
        return (
            f"{place} refuses because of the time ({code}): this machine's clock differs from the store's by more than "
            "it allows, 15 minutes as a rule. Set the clock."
        )
    return {
        "NoSuchBucket": f'there is no bucket "{place.bucket}" at {place.endpoint}: make it, or name another.',
        "InvalidBucketName": f'"{place.bucket}" is no name that a bucket at {place.endpoint} can have.',
        "InvalidAccessKeyId": f"{place} does not know {who}: give the access key of this store.",
        "SignatureDoesNotMatch": (
            f"{place} refuses the signature: the secret of {who} is wrong, "
            f'or "{place.region}" is not the region of the bucket.'
        ),
        "ExpiredToken": f"the session token of {who} has expired: get new credentials.",
        "InvalidToken": f"{place} does not accept the session token of {who}: get new credentials.",
        "AuthorizationHeaderMalformed": (
            f'{place} refuses the signature: "{place.region}" is not the region of the bucket.'
        ),
        "PermanentRedirect": f'{place} is in another region than "{place.region}": name its region or its endpoint.',
        "NoSuchUpload": f"{place} has lost the upload in several parts, or somebody ended it: upload it again.",
    }.get(code, "")


def _whose(place: Place) -> str:
    return f'the access key "{place.access_key_id}"' if place.access_key_id else "the access key"


def _reason(text: str) -> str:
    return next((words for sign, words in _REASONS if sign in text), "the connection failed")
