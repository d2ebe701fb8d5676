"""AWS Signature Version 4, as far as S3 needs it for what others do in our name: presigned requests and POST policies.

Pure: the time and the credentials come in, text goes out. The S3 client signs its own requests; it cannot sign a
content type or a size, and so a direct upload is signed here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_SIGNED: Final = timedelta(days=7)
"""No signature of this version is good for longer."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key. Only its public half is ever shown."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def quoted(path: str) -> str:
    """A key or a path as it stands in a URL, and in what is signed."""
    return quote(path, safe="/-._~")


class Signer:
    """Signs for one region of S3."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._key: tuple[str, Credentials, bytes] | None = None

    def presigned(
        self,
        credentials: Credentials,
        method: str,
        url: str,
        *,
        now: datetime,
        expires_in: timedelta,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """`url`, whose path is quoted already, made good for `method` until `now + expires_in`.

        Whoever uses it must send `headers` as they are here. Raises ValueError for a lifetime outside of 1 s to 7 days.
        """
        _refuse_lifetime(expires_in)
        stamp = _stamp(now)
        parts = urlsplit(url)
        path = parts.path or "/"
        signed = {name.lower(): value.strip() for name, value in (headers or {}).items()} | {"host": parts.netloc}
        names = ";".join(sorted(signed))
        # Each upload answers a signed URL, so what needs no quoting is not quoted.
        pairs = [
            f"X-Amz-Algorithm={_ALGORITHM}",
            f"X-Amz-Credential={quote(credentials.access_key_id, safe='-._~')}%2F{self._scope(stamp, '%2F')}",
            f"X-Amz-Date={stamp}",
            f"X-Amz-Expires={int(expires_in.total_seconds())}",
        ]
        if credentials.session_token is not None:
            pairs.append(f"X-Amz-Security-Token={quote(credentials.session_token, safe='-._~')}")
        pairs.append(f"X-Amz-SignedHeaders={names.replace(';', '%3B')}")
        if query:
            pairs += [f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in query.items()]
            pairs.sort(key=lambda pair: pair.partition("=")[0])
        encoded = "&".join(pairs)
        lines = "".join([f"{name}:{signed[name]}\n" for name in sorted(signed)])
        request = f"{method}\n{path}\n{encoded}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = self._signature(credentials, stamp, f"{_ALGORITHM}\n{stamp}\n{self._scope(stamp)}\n{digest}")
        return f"{parts.scheme}://{parts.netloc}{path}?{encoded}&X-Amz-Signature={signature}"

    def form(
        self,
        credentials: Credentials,
        *,
        bucket: str,
        fields: Mapping[str, str],
        largest: int,
        now: datetime,
        expires_in: timedelta,
    ) -> dict[str, str]:
        """The fields of a form that uploads 0 to `largest` bytes to `bucket`, each of `fields` exactly as it is here.

        `fields` holds at least the `key`. Raises ValueError for a lifetime outside of 1 s to 7 days.
        """
        _refuse_lifetime(expires_in)
        stamp = _stamp(now)
        complete = {
            **fields,
            "x-amz-algorithm": _ALGORITHM,
            "x-amz-credential": f"{credentials.access_key_id}/{self._scope(stamp)}",
            "x-amz-date": stamp,
        }
        if credentials.session_token is not None:
            complete["x-amz-security-token"] = credentials.session_token
        conditions: list[object] = [{"bucket": bucket}, *({name: value} for name, value in complete.items())]
        conditions.append(["content-length-range", 0, largest])
        expiration = (now + expires_in).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        policy = base64.b64encode(json.dumps({"expiration": expiration, "conditions": conditions}).encode()).decode()
        return {**complete, "policy": policy, "x-amz-signature": self._signature(credentials, stamp, policy)}

    def _scope(self, stamp: str, slash: str = "/") -> str:
        return f"{stamp[:8]}{slash}{self.region}{slash}s3{slash}aws4_request"

    def _signature(self, credentials: Credentials, stamp: str, text: str) -> str:
        day = stamp[:8]
        if self._key is None or self._key[:2] != (day, credentials):
            key = f"AWS4{credentials.secret_access_key}".encode()
            for part in (day, self.region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (day, credentials, key)
        return hmac.digest(self._key[2], text.encode(), "sha256").hex()


def _refuse_lifetime(expires_in: timedelta) -> None:
    if not timedelta(seconds=1) <= expires_in <= LONGEST_SIGNED:
        raise ValueError(f"a signed URL is good for 1 second to 7 days, not for {expires_in}")


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
