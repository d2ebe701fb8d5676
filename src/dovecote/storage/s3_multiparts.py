"""The uploads in several parts that killed processes have left in a bucket: to be listed and ended.

The S3 client can do neither, so these few requests are signed and made here.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING, Final

from dovecote.errors import StorageUnavailable
from dovecote.storage.s3_errors import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.storage.s3_client import Addresses
    from dovecote.storage.s3_errors import Place
    from dovecote.storage.signatures import Credentials, Signer

_TIMEOUT: Final = timedelta(seconds=30)
_GOOD_FOR: Final = timedelta(minutes=5)
_UPLOAD: Final = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
_GONE: Final = 404


async def abort_multiparts(
    at: Addresses,
    place: Place,
    *,
    signer: Signer,
    credentials: Credentials,
    prefix: str,
    now: datetime,
    older_than: timedelta,
) -> int:
    """End every upload under `prefix` that began `older_than` before `now` or earlier; answers how many it was."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - quick to import this module

    ended = 0
    query = {"uploads": "", "prefix": f"{prefix}/" if prefix else ""}
    async with ClientBuilder().timeout(_TIMEOUT).follow_redirects(enable=False).build() as client:

        async def ask(method: str, url: str, query: Mapping[str, str]) -> tuple[int, str]:
            signed = signer.presigned(credentials, method, url, now=now, expires_in=_GOOD_FOR, query=query)
            try:
                answer = await client.request(method, signed).build().send()
                return answer.status, await answer.text()
            except Exception as error:  # noqa: BLE001 - the client has many, and all mean the same here
                # Its text holds the address, and so the signature.
                raise StorageUnavailable(f"{place} cannot be reached just now ({type(error).__name__}).") from None

        while True:
            status, text = await ask("GET", f"{at.base}/" if at.in_host else at.base, query)
            if status >= 300:  # noqa: PLR2004 - redirects and refusals alike
                raise translated(f"status code: {status} {text}", "", place, None)
            found = [upload for upload in map(_parsed, _UPLOAD.findall(text)) if now - upload[2] >= older_than]
            for key, upload_id, _ in found:
                status, text_of_end = await ask("DELETE", at.url(key), {"uploadId": upload_id})
                if status >= 300 and status != _GONE:  # noqa: PLR2004
                    raise translated(f"status code: {status} {text_of_end}", "", place, None)
                ended += status != _GONE
            if _field(text, "IsTruncated") != "true":
                return ended
            query |= {
                "key-marker": _field(text, "NextKeyMarker"),
                "upload-id-marker": _field(text, "NextUploadIdMarker"),
            }


def _parsed(upload: str) -> tuple[str, str, datetime]:
    initiated = datetime.fromisoformat(_field(upload, "Initiated"))
    return _field(upload, "Key"), _field(upload, "UploadId"), initiated


def _field(text: str, name: str) -> str:
    match = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return unescape(match[1]) if match else ""
