"""The S3 client: where its requests go and how it is set up, whatever the environment says beside that."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from dovecote.errors import InvalidConfiguration, MissingExtra
from dovecote.storage.signatures import quoted

if TYPE_CHECKING:
    from dovecote.storage.signatures import Credentials

_CONNECT: Final = timedelta(seconds=5)
_KMS: Final = "aws:kms"
_ENCRYPTIONS: Final = ("AES256", _KMS, "aws:kms:dsse")
_LONGEST_REQUEST: Final = timedelta(days=1)
"""The client's own limit counts the whole body, however large; what may not last is a stretch without progress."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """`endpoint` as people know it, and `base`, the address of the bucket."""

    endpoint: str
    base: str
    in_host: bool

    def url(self, key: str) -> str:
        """The address of a key, its prefix included."""
        return f"{self.base}/{quoted(key)}"


def addresses(bucket: str, endpoint: str | None, region: str, path_style: bool | None) -> Addresses:  # noqa: FBT001 - three-valued
    """Where a bucket is. Raises InvalidConfiguration for a bucket or an endpoint that cannot be."""
    faults = list(endpoint_faults(endpoint)) if endpoint else []
    if not bucket or not all(letter.isascii() and (letter.isalnum() or letter in ".-_") for letter in bucket):
        faults.append(f'"{bucket}" is no name of a bucket: it has letters, digits, dots and hyphens.')
    if faults:
        raise InvalidConfiguration(faults)
    if endpoint is None:
        endpoint = f"https://s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        # A certificate for *.s3... covers one name in front, not two.
        in_host = "." not in bucket if path_style is None else not path_style
    else:
        endpoint = endpoint.rstrip("/")
        in_host = path_style is False
    parts = urlsplit(endpoint)
    if in_host and _is_address(parts.hostname):
        raise InvalidConfiguration(
            [f"path_style=false puts the bucket into the host's name, and {endpoint} has none: leave path_style out."]
        )
    if path_style is not True and not _is_address(parts.hostname) and parts.netloc.startswith(f"{bucket}."):
        # The bucket's own host was given as the endpoint.
        return Addresses(endpoint, endpoint, in_host=True)
    if in_host:
        return Addresses(endpoint, f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}", in_host=True)
    return Addresses(endpoint, f"{endpoint}/{bucket}", in_host=False)


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def endpoint_faults(endpoint: str) -> list[str]:
    """What is wrong with an endpoint, as sentences; it is not shown where it holds a password."""
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        return ["the endpoint is no address: give one such as https://s3.example.com."]
    if parts.username is not None or parts.password is not None:
        return ["the endpoint holds credentials, which belong elsewhere: see storage.access_key_id."]
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        return [f'the endpoint "{endpoint}" is no address of a server: give one such as https://s3.example.com.']
    return []


def encryption_headers(algorithm: str | None, kms_key_id: str | None) -> dict[str, str]:
    """What every upload says of its encryption. Raises InvalidConfiguration."""
    if faults := encryption_faults(algorithm, kms_key_id):
        raise InvalidConfiguration(faults)
    headers = {}
    if algorithm:
        headers["x-amz-server-side-encryption"] = algorithm
    if kms_key_id:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = kms_key_id
    return headers


def encryption_faults(algorithm: str | None, kms_key_id: str | None) -> list[str]:
    """What is wrong with them, as sentences."""
    if algorithm and algorithm not in _ENCRYPTIONS:
        return [f'server_side_encryption "{algorithm}" is none of {", ".join(_ENCRYPTIONS)}.']
    if kms_key_id and not (algorithm or "").startswith(_KMS):
        # It would be stored without that key, and nobody would notice.
        return [f"kms_key_id is used with server_side_encryption={_KMS} alone: say that as well."]
    return []


def client(
    at: Addresses,
    *,
    bucket: str,
    prefix: str,
    region: str,
    credentials: Credentials | None,
    encryption: str | None,
    kms_key_id: str | None,
    timeout: timedelta,
    retry_for: timedelta,
) -> tuple[Any, Any]:
    """The client's module and its store. Raises MissingExtra, and InvalidConfiguration for what the client refuses."""
    if faults := _header_faults(region, credentials):
        raise InvalidConfiguration(faults)
    try:
        import obstore  # noqa: PLC0415 - an extra
        from obstore.store import S3Store  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("s3", "an S3-compatible store") from error
    config: dict[str, Any] = {
        "bucket": bucket,
        "region": region,
        # Two names for one thing, and the environment may hold the stronger one.
        "endpoint": at.base if at.in_host else at.endpoint,
        "aws_endpoint_url_s3": at.base if at.in_host else at.endpoint,
        "virtual_hosted_style_request": at.in_host,
        # Some stores have no bulk delete, or one that says nothing of failures.
        "disable_bulk_delete": True,
    }
    if credentials is not None:
        config["access_key_id"] = credentials.access_key_id
        config["secret_access_key"] = credentials.secret_access_key
        if credentials.session_token is not None:
            config["session_token"] = credentials.session_token
    if encryption:
        config["server_side_encryption"] = encryption
    if kms_key_id:
        config["sse_kms_key_id"] = kms_key_id
    try:
        store = S3Store(
            prefix=prefix or None,
            config=config,  # type: ignore[arg-type] # made above, from what it knows
            client_options={
                "allow_http": at.endpoint.startswith("http:"),
                "connect_timeout": _CONNECT,
                "read_timeout": timeout,
                "timeout": _LONGEST_REQUEST,
                "default_content_type": "application/octet-stream",
            },
            retry_config={
                "max_retries": 10,
                "retry_timeout": retry_for,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )
    except Exception as error:  # noqa: BLE001 - the client has several, and their texts may hold what it was given
        fault = (
            f'the S3 client refuses the settings of bucket "{bucket}" ({type(error).__name__}): see docs/storage.md.'
        )
        raise InvalidConfiguration([fault]) from None
    return obstore, store


def _header_faults(region: str, credentials: Credentials | None) -> list[str]:
    """What cannot stand in a header: the client would not refuse it, but break down. No value is shown."""
    given = {"region": region}
    if credentials is not None:
        given["access key"] = credentials.access_key_id
        given["secret of the access key"] = credentials.secret_access_key
        given["session token"] = credentials.session_token or ""
    return [
        f"the {what} holds a line break, a space or a letter that is none of ASCII: take it out."
        for what, value in given.items()
        if not (value.isascii() and value.isprintable()) or " " in value
    ]
