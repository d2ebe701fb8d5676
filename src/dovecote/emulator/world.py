"""The emulated Telegram: bots, chats, and the messages that are in them.

By default every chat exists. A chat's kind follows from its id as it does at Telegram: positive is private, below
-10^12 a supergroup (or a channel, when it was first met under its @name), and any other negative number a basic group.
Message ids are counted per bot in private chats and basic groups and per chat elsewhere, again as at Telegram.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from dovecote.emulator.bots import Bots
from dovecote.emulator.business import Business
from dovecote.emulator.downloads import Downloads
from dovecote.emulator.ephemerals import Ephemerals
from dovecote.emulator.games import Games
from dovecote.emulator.gifts import Gifts
from dovecote.emulator.inbox import Inboxes
from dovecote.emulator.people import People
from dovecote.emulator.queries import Queries
from dovecote.emulator.reading import text_of
from dovecote.emulator.recipients import Recipients
from dovecote.emulator.refusal import bad_request
from dovecote.emulator.stickers import StickerSets
from dovecote.emulator.stories import Stories

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from random import Random

SUPERGROUPS_BELOW = -(10**12)
LARGEST_CHAT_ID = 2**52
NAMES_KEPT = 100_000
RECEIVED_KEPT = 200_000
"""Messages that people have written: no record stands for them, whose going would take them along."""


class Clock:
    """The emulator's time, in one place so that a suite can bring its own.

    `scale` is how many of its seconds pass in one of the event loop's: pauses in answers are that much shorter.
    """

    scale: float = 1.0

    def monotonic(self) -> float:
        """Seconds that never go back; on Linux comparable over the processes of a machine."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()


class ScaledClock(Clock):
    """Time that runs `scale` times as fast from now on. It is comparable with no other clock."""

    def __init__(self, scale: float) -> None:
        if not scale > 0:
            raise ValueError(f"scale {scale}: use more than 0.")
        self.scale = scale
        self._monotonic = time.monotonic()
        self._time = time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic + (time.monotonic() - self._monotonic) * self.scale

    def time(self) -> float:
        """Seconds since 1970, running away from the world's."""
        return self._time + self.monotonic() - self._monotonic


class Messages:
    """Messages by the space that their ids are counted in. A message is kept as the JSON that was answered."""

    def __init__(self) -> None:
        self._spaces: dict[int, dict[int, bytes]] = {}
        self._last: dict[int, int] = {}
        self._received: deque[tuple[int, int]] = deque()

    @staticmethod
    def space(viewer: int, chat_id: int) -> int:
        """Which numbering the chat's messages belong to. A viewer is a bot, or whose business account it is."""
        return chat_id if chat_id < SUPERGROUPS_BELOW else viewer

    def next_id(self, space: int) -> int:
        """A message id that is new there."""
        number = self._last.get(space, 0) + 1
        self._last[space] = number
        return number

    def put(self, space: int, message_id: int, message: bytes) -> None:
        """Keep a message, or its edited form."""
        kept = self._spaces.get(space)
        if kept is None:
            kept = self._spaces[space] = {}
        kept[message_id] = message

    def receive(self, space: int, message_id: int, message: bytes) -> None:
        """Keep a message that somebody has written; beyond RECEIVED_KEPT the oldest of them goes."""
        self.put(space, message_id, message)
        self._received.append((space, message_id))
        if len(self._received) > RECEIVED_KEPT:
            oldest, number = self._received.popleft()
            self.forget(oldest, [number])

    def of_chat(self, viewer: int, chat_id: int) -> Iterator[dict[str, Any]]:
        """The messages of a chat that the viewer can see, in order, as they are now."""
        for found in list(self._spaces.get(self.space(viewer, chat_id), {}).values()):
            message: dict[str, Any] = orjson.loads(found)
            if message["chat"]["id"] == chat_id:
                yield message

    def find(self, viewer: int, chat_id: int, message_id: int) -> dict[str, Any] | None:
        """The message, if the viewer can see it in that chat."""
        message = self.numbered(self.space(viewer, chat_id), message_id)
        return message if message is not None and message["chat"]["id"] == chat_id else None

    def numbered(self, space: int, message_id: int) -> dict[str, Any] | None:
        """The message of that number, in whatever chat it is."""
        found = self._spaces.get(space, {}).get(message_id)
        if found is None:
            return None
        message: dict[str, Any] = orjson.loads(found)
        return message

    def forget(self, space: int, message_ids: Iterable[int]) -> None:
        """Drop messages; those that are gone already are skipped."""
        kept = self._spaces.get(space)
        if kept is not None:
            for message_id in message_ids:
                kept.pop(message_id, None)
            if not kept:
                del self._spaces[space]


class World:
    """Everything that calls read and change. `local` is the folder of a local Bot API server's files."""

    def __init__(self, clock: Clock, random: Random, *, local: Path | None = None) -> None:
        self.clock = clock
        self.random = random
        self.messages = Messages()
        self.recipients = Recipients()
        self.downloads = Downloads(local)
        self.people = People()
        self.bots = Bots()
        self.inboxes = Inboxes()
        self.queries = Queries()
        self.business = Business()
        self.games = Games()
        self.ephemerals = Ephemerals()
        self.stories = Stories()
        self.gifts = Gifts()
        self.sticker_sets = StickerSets()
        self.invite_links: dict[tuple[int, str], dict[str, Any]] = {}
        self.pins: dict[tuple[int, int], list[int]] = {}
        self.reactions: dict[tuple[int, int, int, int], tuple[str, ...]] = {}
        self.votes: dict[tuple[str, int], tuple[int, ...]] = {}
        self._users: dict[int, orjson.Fragment] = {}
        self._names: dict[int, str] = {}
        self._full: dict[int, dict[str, Any]] = {}
        self._albums = 0

    def bot(self, bot_id: int) -> dict[str, Any]:
        """The bot as a User."""
        return {"id": bot_id, "is_bot": True, "first_name": f"Bot {bot_id}", "username": f"bot{bot_id}_bot"}

    def bot_json(self, bot_id: int) -> orjson.Fragment:
        """The bot as a User, ready to be put into an answer."""
        user = self._users.get(bot_id)
        if user is None:
            user = self._users[bot_id] = orjson.Fragment(orjson.dumps(self.bot(bot_id)))
        return user

    def chat(self, given: Any) -> dict[str, Any]:
        """The chat that a `chat_id` names. Raises Refusal: empty, or not found."""
        if type(given) is not int:
            given = self._chat_id(given)
        if given == 0 or abs(given) > LARGEST_CHAT_ID:
            raise bad_request("Chat not found")
        known = self.people.chats.get(given)
        if known is not None:
            return known
        if given > 0:
            return {"id": given, "first_name": f"User {given}", "type": "private"}
        if given > SUPERGROUPS_BELOW:
            return {"id": given, "title": f"Group {-given}", "type": "group"}
        name = self._names.get(given)
        if name is not None:
            return {"id": given, "title": name, "username": name, "type": "channel"}
        return {"id": given, "title": f"Group {SUPERGROUPS_BELOW - given}", "type": "supergroup"}

    def group(self, number: int, **names: Any) -> dict[str, Any]:
        """Give a group or a channel a `title` and the like; answers the chat."""
        chat = {**self.chat(number), **names}
        self.people.chats[chat["id"]] = chat
        return chat

    def full(self, number: int) -> dict[str, Any]:
        """What getChat tells of a chat beyond its name, as far as a bot has set it."""
        return self._full.setdefault(number, {})

    def supergroup(self, number: int, to: int | None) -> dict[str, Any]:
        """What a basic group becomes, under its title. Raises ValueError when `to` is no supergroup's number."""
        there = SUPERGROUPS_BELOW + number if to is None else to
        if there >= SUPERGROUPS_BELOW:
            raise ValueError(f"to {there}: a supergroup's number is below {SUPERGROUPS_BELOW}.")
        return self.group(there, title=self.chat(number)["title"], type="supergroup")

    def _chat_id(self, given: Any) -> int:
        text = "" if given is None else text_of(given).strip()
        if not text:
            raise bad_request("chat_id is empty")
        if text.startswith("@"):
            name = text[1:]
            if not name.isascii() or not name.replace("_", "").isalnum():
                raise bad_request("Chat not found")
            number = SUPERGROUPS_BELOW - 1 - zlib.crc32(name.lower().encode())
            if number not in self._names and len(self._names) < NAMES_KEPT:
                self._names[number] = name
            return number
        try:
            return int(text)
        except ValueError:
            return 0

    def next_album(self) -> str:
        """A media group's id that is new."""
        self._albums += 1
        return str(13_000_000_000_000_000 + self._albums)
