"""What each bot made of its limits: messages accepted, the highest rate, calls limited, Stars spent."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

STARS_PER_MESSAGE = 0.1


@dataclass(slots=True)
class BotTraffic:
    """One bot's. A message is what counts at Telegram: an album is as many as it has items, an edit is none.

    `highest_rate` is the most messages accepted in any second; `limited` counts every 429, scripted ones too;
    `limited_by_chat` has the chats as the client wrote them; `paid` are the messages that cost Stars.
    """

    messages: int = 0
    highest_rate: int = 0
    limited: int = 0
    limited_by_chat: Counter[int | str | None] = field(default_factory=Counter)
    paid: int = 0
    _second: deque[float] = field(default_factory=deque)

    @property
    def stars(self) -> float:
        """Stars spent."""
        return round(self.paid * STARS_PER_MESSAGE, 1)

    def sent(self, messages: int, now: float) -> None:
        """Count accepted messages; `now` is in seconds of the monotonic clock."""
        self.messages += messages
        second = self._second
        if messages == 1:
            second.append(now)
        else:
            second.extend([now] * messages)
        while second and second[0] <= now - 1:
            second.popleft()
        self.highest_rate = max(self.highest_rate, len(second))

    def as_json(self, *, by_chat: bool) -> dict[str, Any]:
        """For the control API."""
        document: dict[str, Any] = {
            "messages": self.messages,
            "highest_rate": self.highest_rate,
            "limited": self.limited,
            "stars": self.stars,
        }
        if by_chat:
            document["limited_by_chat"] = {
                str(chat): number for chat, number in self.limited_by_chat.items() if chat is not None
            }
        return document


class Traffic(dict[int, BotTraffic]):
    """By the bot's id; a bot is there once something was accepted from it, or limited."""

    def __missing__(self, bot_id: int) -> BotTraffic:
        traffic = self[bot_id] = BotTraffic()
        return traffic

    def limited(self, bot_id: int, chat_id: int | str | None) -> None:
        """Count a 429."""
        traffic = self[bot_id]
        traffic.limited += 1
        traffic.limited_by_chat[chat_id] += 1
