"""Links as Telegram takes them, in text and in buttons."""

from __future__ import annotations

import re

USER_LINK = re.compile(r"tg://user/?\?id=(\d+)", re.IGNORECASE)
EMOJI_LINK = re.compile(r"tg://emoji/?\?id=(\d+)", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?!\d)")
_INNER = re.compile(r"(?:tg|ton|tonsite)://[a-z0-9_-]+([/?#].*)?", re.IGNORECASE)
_HTTP = re.compile(
    r"(?P<scheme>https?)://(?:[^/?#@\s]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#:\s]*)(?::(?P<port>\d{1,5}))?"
    r"(?P<rest>[/?#][^\s]*)?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?|_[\w-]{0,62}")


def check_link(url: str) -> str:
    """The link as Telegram stores it. Raises ValueError in Telegram's words."""
    url = url.strip()
    if _INNER.fullmatch(url):
        return url
    scheme = _SCHEME.match(url)
    if scheme is None:
        url = f"http://{url}"
    elif scheme.group(1).lower() not in {"http", "https"}:
        raise ValueError("Unsupported URL protocol")
    found = _HTTP.fullmatch(url)
    if found is None or not _is_public_host(found["host"]):
        raise ValueError("Wrong HTTP URL")
    rest = found["rest"] or "/"
    if not rest.startswith("/"):
        rest = f"/{rest}"
    port = f":{found['port']}" if found["port"] else ""
    return f"{found['scheme'].lower()}://{found['host'].lower()}{port}{rest}"


def checked_link(url: str) -> str:
    """The link as Telegram stores it, or nothing: in marked-up text a wrong link only loses its entity."""
    try:
        return check_link(url)
    except ValueError:
        return ""


def _is_public_host(host: str) -> bool:
    # A name without a dot, such as localhost, leads nowhere from a phone, and Telegram refuses it.
    if host.startswith("["):
        return True
    labels = host.removesuffix(".").split(".")
    return len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels)
