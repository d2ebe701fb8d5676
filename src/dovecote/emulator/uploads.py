"""Which files were uploaded, and how often; and when Telegram would have taken the same one again.

Whoever uploads the same file again and again is slowed down by Telegram: the answer to the next one comes later. What
has arrived is counted, whatever became of the message that it came with.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dovecote.emulator.limits import UploadLimit
    from dovecote.emulator.multipart import Upload


@dataclass(slots=True)
class Uploaded:
    """One content: its size in bytes, and how often each bot has uploaded it."""

    sha256: str
    size: int
    bots: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How often it was uploaded."""
        return self.bots.total()

    def as_json(self) -> dict[str, Any]:
        """For the control API."""
        bots = {str(bot): count for bot, count in self.bots.items()}
        return {"sha256": self.sha256, "size": self.size, "count": self.count, "bots": bots}


class Uploads:
    """The contents that were uploaded, in the order in which each came first; and who is uploading now."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Forget what was uploaded."""
        self.by_sha256: dict[str, Uploaded] = {}
        self._free_at: dict[tuple[int, str], float] = {}

    @contextmanager
    def arriving(self, token: str) -> Iterator[None]:
        """An upload of the bot with that token comes in meanwhile."""
        self._under_way[token] += 1
        try:
            yield
        finally:
            self._under_way[token] -= 1
            if not self._under_way[token]:
                del self._under_way[token]

    def are_too_many(self, limit: UploadLimit | None, token: str) -> bool:
        """Whether more of that bot's uploads come in at this moment than Telegram takes."""
        return limit is not None and self._under_way[token] > limit.parallel

    def count(self, bot_id: int, uploads: Mapping[str, Upload]) -> None:
        """Count what has arrived with one request."""
        for upload in uploads.values():
            found = self.by_sha256.setdefault(upload.sha256, Uploaded(upload.sha256, upload.size))
            found.bots[bot_id] += 1

    def wait(self, limit: UploadLimit, bot_id: int, uploads: Iterable[Upload], now: float) -> float:
        """How many seconds later than `now` Telegram answers, since it has taken these contents lately."""
        longest = 0.0
        for upload in uploads:
            key = bot_id, upload.sha256
            starts_at = max(now, self._free_at.get(key, now))
            self._free_at[key] = starts_at + limit.spacing(upload.size)
            longest = max(longest, starts_at - now)
        return longest

    def as_json(self) -> list[dict[str, Any]]:
        """For the control API."""
        return [uploaded.as_json() for uploaded in self.by_sha256.values()]
