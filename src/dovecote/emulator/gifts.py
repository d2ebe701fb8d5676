"""Gifts that bots send, and the Stars that they pay with.

The catalogue is the emulator's own: Telegram's changes from week to week. A bot has no Stars until it is given some.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import File
from dovecote.emulator.refusal import Refusal
from dovecote.emulator.stickers import sticker_fields

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Gift:
    """A gift of the catalogue and what it costs, in Stars."""

    id: str
    emoji: str
    stars: int

    def as_json(self, bot_id: int) -> dict[str, Any]:
        """The gift, as that bot sees it."""
        file = File("sticker", self.id.encode()[-9:], None)
        sticker = sticker_fields(file, "animated", "regular", bot_id) | {"emoji": self.emoji}
        return {"id": self.id, "sticker": sticker, "star_count": self.stars}


CATALOGUE: Final = {
    gift.id: gift
    for gift in (
        Gift("5000000000000000001", "💝", 15),
        Gift("5000000000000000002", "🧸", 15),
        Gift("5000000000000000003", "🎁", 25),
        Gift("5000000000000000004", "🌹", 25),
        Gift("5000000000000000005", "🎂", 50),
        Gift("5000000000000000006", "🏆", 100),
    )
}


@dataclass(frozen=True, slots=True)
class Given:
    """A gift that somebody has: a user, or a channel. The date is in seconds since 1970."""

    gift: Gift
    sender: int
    date: int
    text: str
    entities: tuple[dict[str, Any], ...]


class Gifts:
    """What was given, by who has it, and the Stars of bots."""

    def __init__(self) -> None:
        self._given: defaultdict[int, list[Given]] = defaultdict(list)
        self.stars: defaultdict[int, int] = defaultdict(int)

    def find(self, gift_id: str) -> Gift:
        """The gift. Raises Refusal when there is none."""
        found = CATALOGUE.get(gift_id)
        if found is None:
            raise Refusal(400, "Bad Request: STARGIFT_INVALID")
        return found

    def pay(self, bot_id: int, stars: int) -> None:
        """Take Stars from a bot. Raises Refusal when it has fewer."""
        if self.stars[bot_id] < stars:
            raise Refusal(400, "Bad Request: BALANCE_TOO_LOW")
        self.stars[bot_id] -= stars

    def give(self, owner: int, given: Given) -> None:
        """Somebody has it now."""
        self._given[owner].append(given)

    def of(self, owner: int) -> Iterable[Given]:
        """What somebody has, the latest first."""
        return reversed(self._given[owner])
