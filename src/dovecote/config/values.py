"""What a value of a setting may look like: durations, addresses, keys. Pure functions and the types made of them.

A check raises ValueError; the sentence that a person reads is made where the setting's name is known.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_core import PydanticCustomError

from dovecote.redaction import REDACTED_PASSWORD
from dovecote.storage.addresses import S3_PARAMETERS, storage_faults
from dovecote.stores.addresses import AMBIGUOUS, POSTGRESQL_PARAMETERS, is_ambiguous, parameter_faults

REASON: Final = "reason"
"""The type of a fault whose message a person may read: part of a sentence, without secrets."""
SHORTEST_HTTP_TOKEN: Final = 16
TAKES_DURATION: Final = 'a duration above zero: seconds as a number, or text such as "50ms", "30s", "5m", "12h", "30d"'
TAKES_DURATION_OR_ZERO: Final = TAKES_DURATION.replace("above zero", "of zero or more")

TLS_PARAMETERS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
HARMLESS: Final = TLS_PARAMETERS | {*S3_PARAMETERS, *POSTGRESQL_PARAMETERS}
"""Parameters whose values may be shown."""
SHORTEST_LEASE: Final = timedelta(milliseconds=500)
TAKES_LEASE: Final = 'a duration of half a second or more, such as "15s"'

_LONGEST = timedelta(days=3650)
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SECRET_PARAMETER = re.compile(r"([\w-]*(?:password|secret|token|access_key)[\w-]*=)[^&]*", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&]([^=&?#]*)=)[^&#]*")
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(ms|s|m|h|d|)", re.ASCII)


def parse_duration(value: object) -> timedelta:
    """A duration from a number of seconds or from text such as "50ms", "30s", "5m", "12h", "30d".

    Raises ValueError for anything else, and for what lies outside of 0 to 3650 days.
    """
    seconds: float
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) * _UNITS[match[2]]
    else:
        raise ValueError(TAKES_DURATION_OR_ZERO)
    if not 0 <= seconds <= _LONGEST.total_seconds():
        raise ValueError("a duration lies between 0 and 3650 days")
    return timedelta(seconds=seconds)


def _above_zero(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError(TAKES_DURATION)
    return duration


def _whole(value: object) -> object:
    # `true` and 2.0 would pass for 1 and 2.
    if isinstance(value, bool | float):
        raise ValueError("not a whole number")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


def _database_url(url: str) -> str:
    parts = urlsplit(url)
    _ = parts.port  # raises ValueError for a port that is none
    if not (url.startswith("sqlite:///") and parts.path.strip("/")) and not (
        url.startswith("postgresql://") and (parts.netloc or parts.path.strip("/"))
    ):
        raise ValueError("another scheme, or nothing behind it")
    if "\0" in url:
        raise ValueError("no name of a file has a NUL")
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    faults = parameter_faults(parameters, is_postgresql=url.startswith("postgresql"))
    if is_ambiguous(url):
        faults.append(AMBIGUOUS)
    if faults:
        # Written without braces of a template: a parameter's name is anybody's text.
        raise PydanticCustomError(REASON, "{reason}", {"reason": ", and ".join(faults)})
    return url


def _redis_url(url: str) -> str:
    parts = urlsplit(url)
    _ = parts.port
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname or parts.fragment:
        raise ValueError("no address of a Redis")
    if not re.fullmatch(r"(/\d{0,5})?", parts.path, re.ASCII):
        raise ValueError("behind the host stands a database's number or nothing")
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(parameters.keys() - (TLS_PARAMETERS if parts.scheme == "rediss" else frozenset()))
    if unknown:
        known = f"known are {', '.join(sorted(TLS_PARAMETERS))}" if parts.scheme == "rediss" else "redis:// takes none"
        reason = f'it has the unknown parameter "{unknown[0]}" ({known})'
        raise PydanticCustomError(REASON, "{reason}", {"reason": reason})
    return url


def _lasts(duration: timedelta) -> timedelta:
    if duration < SHORTEST_LEASE:
        raise ValueError(TAKES_LEASE)
    return duration


def _storage_url(url: str) -> str:
    faults = storage_faults(url)
    if faults:
        raise PydanticCustomError(REASON, "{reason}", {"reason": ", and ".join(faults)})
    return url


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    _ = parts.port
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("no address of a server")
    return url.rstrip("/")


def _host(host: str) -> str:
    if ":" in host:
        ipaddress.IPv6Address(host)
    elif not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", host):
        raise ValueError("no host")
    return host


def masked_url(url: str) -> str:
    """`url` without its password, also where it is malformed or the password stands in the query.

    Of a parameter that nobody knows the name alone is left: its value may be a mistyped one's secret.
    """
    if "://" not in url:
        url = re.sub(r"^.*(?=@)", REDACTED_PASSWORD, url, flags=re.DOTALL)
    url = re.sub(r"(://[^:@]*:).*(?=@)", rf"\1{REDACTED_PASSWORD}", url, flags=re.DOTALL)
    url = _SECRET_PARAMETER.sub(rf"\1{REDACTED_PASSWORD}", url)
    return _PARAMETER.sub(lambda found: found[0] if found[2] in HARMLESS else f"{found[1]}{REDACTED_PASSWORD}", url)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`. A name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _not_empty(value: object) -> object:
    return None if value == "" else value


def _http_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if len(text) < SHORTEST_HTTP_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("too short, or not fit for a header")
    return token


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def fernet_key(key: SecretStr) -> SecretStr:
    """`key` if it is one: 32 bytes in URL-safe Base64. Raises ValueError, without the key, if it is none."""
    try:
        size = len(base64.b64decode(key.get_secret_value().encode("ascii"), altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error):
        size = 0
    if size != 32:  # noqa: PLR2004 - the size of a Fernet key, here and nowhere else
        raise ValueError("no Fernet key")
    return key


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_above_zero)]
DurationOrZero = Annotated[timedelta, BeforeValidator(parse_duration)]
Whole = Annotated[int, BeforeValidator(_whole)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
RedisUrl = Annotated[Annotated[str, AfterValidator(_redis_url)] | None, BeforeValidator(_not_empty)]
LeaseDuration = Annotated[Duration, AfterValidator(_lasts)]
StorageUrl = Annotated[Annotated[str, AfterValidator(_storage_url)] | None, BeforeValidator(_not_empty)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
PublicUrl = Annotated[BaseUrl | None, BeforeValidator(_not_empty)]
Secret = Annotated[SecretStr | None, BeforeValidator(_not_empty)]
Text = Annotated[str | None, BeforeValidator(_not_empty)]
Host = Annotated[str, AfterValidator(_host)]
HttpToken = Annotated[Annotated[SecretStr, AfterValidator(_http_token)] | None, BeforeValidator(_not_empty)]
FernetKeys = Annotated[tuple[Annotated[SecretStr, AfterValidator(fernet_key)], ...], BeforeValidator(_split)]
KeysFile = Annotated[Path | None, BeforeValidator(_not_empty)]
FetchUrls = Annotated[Literal["public", "any", "never"], BeforeValidator(_lower)]
LogFormat = Annotated[Literal["console", "json"], BeforeValidator(_lower)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)]
