"""How limits are written on the command line: a pace as `30` or `off`, a limit per chat as `3/3s` or `off`."""

from __future__ import annotations

import math
import re
from contextlib import suppress

import typer

OFF = "off"
_LIMIT = re.compile(r"(\d{1,9})/(.+)", re.ASCII)

Limit = tuple[int, float] | None


def read_pace(text: str, option: str) -> float | None:
    """Messages per second, or None for `off`. Raises BadParameter, which names `option`."""
    if text.lower() == OFF:
        return None
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0 < pace < math.inf:
        raise typer.BadParameter(f'"{text}": give messages per second above 0, such as 30, or off.', param_hint=option)
    return pace


def read_limit(text: str, option: str) -> Limit:
    """(messages, seconds), or None for `off`. Raises BadParameter, which names `option`."""
    from dovecote.config import parse_duration

    if text.lower() == OFF:
        return None
    match = _LIMIT.fullmatch(text)
    seconds = 0.0
    if match:
        with suppress(ValueError):
            seconds = parse_duration(match[2]).total_seconds()
    if match and int(match[1]) and seconds:
        return int(match[1]), seconds
    raise typer.BadParameter(
        f'"{text}": give messages and a time, both above 0, such as 3/3s or 20/60s, or off.', param_hint=option
    )


def pace_text(pace: float | None) -> str:
    """A pace as it is written, with its unit."""
    return OFF if pace is None else f"{pace:g}/s"


def limit_text(limit: Limit) -> str:
    """A limit as it is written."""
    return OFF if limit is None else f"{limit[0]}/{limit[1]:g}s"
