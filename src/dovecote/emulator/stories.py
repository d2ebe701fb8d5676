"""Stories of business accounts: what bots have posted for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Story:
    """A story of the account of `user`. It can be seen until `expires`, in seconds since 1970."""

    user: int
    number: int
    content: dict[str, Any]
    expires: float


class Stories:
    """By the account and the number, which each account counts for itself."""

    def __init__(self) -> None:
        self._stories: dict[tuple[int, int], Story] = {}
        self._last: dict[int, int] = {}

    def add(self, user: int, content: dict[str, Any], expires: float) -> Story:
        """A new one."""
        number = self._last[user] = self._last.get(user, 0) + 1
        story = self._stories[user, number] = Story(user, number, content, expires)
        return story

    def find(self, user: int, number: int) -> Story | None:
        """The story."""
        return self._stories.get((user, number))

    def delete(self, story: Story) -> None:
        """It goes."""
        del self._stories[story.user, story.number]
