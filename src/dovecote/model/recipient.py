"""Recipients: what is known of a chat of a bot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from enum import Enum, StrEnum


class Unchanged(Enum):
    """What is not given, where None means that there is none."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


class Quiet(StrEnum):
    """What the quiet hours of its recipient mean for a notification, where it says so itself."""

    DEFER = "defer"
    """It waits until they end."""
    SILENT = "silent"
    """It is sent without a sound."""
    PASS = "pass"  # noqa: S105 (no password)
    """It is sent as at any other time."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A time of the day in which a recipient wants no sound, as its clocks show it: from `begins` up to `ends`.

    Both are whole minutes, and `ends` may be the earlier one: then midnight lies between them. What comes meanwhile
    waits until they end, or is sent without a sound (`silent`). With `urgent` what is urgent passes.
    """

    begins: time
    ends: time
    silent: bool = False
    urgent: bool = False

    def __str__(self) -> str:
        words = [word for word, is_so in (("silent", self.silent), ("urgent", self.urgent)) if is_so]
        return " ".join([f"{self.begins:%H:%M}-{self.ends:%H:%M}", *words])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A chat of a bot. `chat` is its number or @name, or a topic of a group as chat/thread.

    `disabled_at` says since when it takes nothing more, None that it does not refuse; `reason` is a `Refusal` of
    Telegram's then, or the words of whoever disabled it. `told_at` is since when it lives in its zone, None for one
    that nobody has told of: schedules and broadcasts for everybody do not mean it. `seen_at` is when the application
    heard of it last, `delivered_at` when something arrived there last, `blocked_at` when it blocked the bot last.
    """

    bot: str
    chat: str
    disabled_at: datetime | None = None
    reason: str | None = None
    zone: str | None = None
    language: str | None = None
    labels: tuple[str, ...] = ()
    opted_out: tuple[str, ...] = ()
    quiet_hours: QuietHours | None = None
    told_at: datetime | None = None
    seen_at: datetime | None = None
    delivered_at: datetime | None = None
    blocked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What erasing a recipient removed, and in `in_flight` how much of it a worker has in hand: erase again then.

    `notifications` are those that waited, `history` those that were settled and of which only numbers are left.
    `files` are stored files that nobody else was sent. What only you can judge is named: `kept_files` that were sent to
    it and are kept until you delete them, `schedules` of the settings file, and `jobs` that hold its number.
    """

    notifications: int = 0
    history: int = 0
    broadcasts: int = 0
    keys: int = 0
    schedules_changed: int = 0
    in_flight: int = 0
    files: tuple[int, ...] = ()
    kept_files: tuple[int, ...] = ()
    schedules: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientChange:
    """What is told of a recipient; what is `UNCHANGED` stays. `seen` is an instant, or True for now.

    `disabled` is since when it takes nothing more and why, None that it is sent to again.
    """

    chat: str
    zone: str | Unchanged | None = UNCHANGED
    language: str | Unchanged | None = UNCHANGED
    labels: Sequence[str] | Unchanged = UNCHANGED
    opted_out: Sequence[str] | Unchanged = UNCHANGED
    quiet_hours: QuietHours | Unchanged | None = UNCHANGED
    seen: datetime | bool = False
    disabled: tuple[datetime, str] | Unchanged | None = UNCHANGED
