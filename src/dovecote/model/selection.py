"""Which of the settled notifications are meant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Those of a bot, whose last error holds `error` (in any case of letters) or has that code, settled in a span.

    None does not restrict; `since` is included, `until` is not. `label` is one of those that it was enqueued with,
    `broadcast` the name of the broadcast that made it: a recall and an edit have names of their own.
    """

    bot: str | None = None
    error: str | None = None
    error_code: int | None = None
    label: str | None = None
    broadcast: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it restricts nothing."""
        return self == Selection()


EVERYTHING = Selection()
