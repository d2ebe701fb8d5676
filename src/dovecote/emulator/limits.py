"""Telegram's limits: what they are, and the judge of each call.

All are off until they are switched on. What counts is a message: an album, and a copy or forward of several, count as
many as they have. A call is judged before it is executed, and what passes has spent its share even when Telegram then
refuses it; what is answered 429 has spent nothing. Time is the emulator's clock, so a scaled clock scales all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import TypeAdapter

from dovecote.emulator.buckets import TINY, Buckets, Windows
from dovecote.emulator.documents import STRICT, merged
from dovecote.emulator.reading import boolean_parameter, json_of
from dovecote.emulator.refusal import Refusal, too_many_requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ConfigDict

    from dovecote.emulator.methods import Method

FREE_RATE = FREE_CAPACITY = 30.0
SEVERAL = {
    "sendMediaGroup": "media",
    "copyMessages": "message_ids",
    "forwardMessages": "message_ids",
}

# These have no parameter `allow_paid_broadcast`: it is as unknown to them as any other that is not theirs.
NEVER_PAID = {"forwardMessage", "forwardMessages", "copyMessages"}

Key = int | tuple[int, int]


@dataclass(frozen=True, slots=True)
class BotLimit:
    """A token bucket: `capacity` messages at once, refilled at `rate` per second.

    `retry_after` is what a 429 says, in seconds; None: the true wait, rounded up. A call of more messages than the
    bucket holds passes when it is full, and is paid back afterwards.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    rate: float = 30.0
    capacity: float = 30.0
    retry_after: int | None = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _positive("rate", self.rate)
        _at_least_one("capacity", self.capacity)
        _at_least_one("retry_after", self.retry_after)


@dataclass(frozen=True, slots=True)
class PaidLimit(BotLimit):
    """The bucket of calls with `allow_paid_broadcast`, which are not held to the bot's own."""

    rate: float = 1000.0
    capacity: float = 1000.0


@dataclass(frozen=True, slots=True)
class PrivateLimit(BotLimit):
    """A bucket for each private chat of a bot."""

    rate: float = 1.0
    capacity: float = 3.0
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """At most `messages`, edits among them, in any `seconds`, for each group, supergroup or channel of a bot.

    `retry_after` is what a 429 says, in seconds; None: the true wait, rounded up.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    messages: int = 20
    seconds: float = 60.0
    retry_after: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _at_least_one("messages", self.messages)
        _positive("seconds", self.seconds)
        _at_least_one("retry_after", self.retry_after)


@dataclass(frozen=True, slots=True)
class Penalty:
    """What sending on during a `retry_after` costs: the wait begins anew, `growth` times as long, up to `longest`.

    The first `grace` seconds after each 429 cost nothing: what arrives then was already under way. All in seconds.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    growth: float = 2.0
    grace: float = 0.25
    longest: float = 3600.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _at_least_one("growth", self.growth)
        if not self.grace >= 0:
            raise ValueError(f"grace {self.grace}: use 0 or more seconds.")
        _at_least_one("longest", self.longest)


@dataclass(frozen=True, slots=True)
class UploadLimit:
    """A bot's same file is taken once per `per_byte` seconds for each byte, at least `shortest`, at most `longest`.

    More than `parallel` uploads at a time are answered 429 with `retry_after`, in seconds.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    per_byte: float = 1e-7
    shortest: float = 0.2
    longest: float = 0.9
    parallel: int = 100
    retry_after: int = 60

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("per_byte", "shortest", "longest"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} {getattr(self, name)}: use 0 or more.")
        _at_least_one("parallel", self.parallel)
        _at_least_one("retry_after", self.retry_after)

    def spacing(self, size: int) -> float:
        """The seconds between two uploads of one file of so many bytes."""
        return min(self.longest, max(self.shortest, size * self.per_byte))


@dataclass(frozen=True, slots=True)
class Limits:
    """Which limits there are; None is no limit. `paid` off: `allow_paid_broadcast` changes nothing."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    bot: BotLimit | None = None
    private: PrivateLimit | None = None
    group: GroupLimit | None = None
    paid: PaidLimit | None = None
    penalty: Penalty | None = None
    upload: UploadLimit | None = None

    @classmethod
    def telegram(cls) -> Self:
        """All of them, as Telegram is known to have them."""
        return cls(BotLimit(), PrivateLimit(), GroupLimit(), PaidLimit(), Penalty(), UploadLimit())

    def __bool__(self) -> bool:
        return any((self.bot, self.private, self.group, self.paid, self.upload))


_LIMITS: TypeAdapter[Limits] = TypeAdapter(Limits)
NO_LIMITS = Limits()


def parse_limits(document: Any, current: Limits = NO_LIMITS) -> Limits:
    """`current` with those limits that a JSON object gives; null is no limit. Raises InvalidDocument."""
    return merged(_LIMITS, current, document, "limits")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} {value}: use more than 0.")


def _at_least_one(name: str, value: float | None) -> None:
    if value is not None and not value >= 1:
        raise ValueError(f"{name} {value}: use 1 or more.")


def weight(method: str, parameters: Mapping[str, Any]) -> int:
    """How many messages a call of a sending method is."""
    name = SEVERAL.get(method)
    if name is None:
        return 1
    try:
        given = json_of(parameters.get(name), name)
    except Refusal:
        return 1
    return max(len(given), 1) if isinstance(given, list) else 1


class Limiter:
    """Judges calls by the limits. Every bucket is full when it begins."""

    def __init__(self, limits: Limits) -> None:
        bot = limits.bot
        # What a paid broadcast has for nothing is what the bot may send anyway.
        self._free = Buckets(FREE_RATE, FREE_CAPACITY) if bot is None else Buckets(bot.rate, bot.capacity)
        self._bots = None if bot is None else _Gate(self._free, bot.retry_after, limits.penalty)
        self._privates = self._groups = self._paid = None
        if (private := limits.private) is not None:
            self._privates = _Gate(Buckets(private.rate, private.capacity), private.retry_after, limits.penalty)
        if (group := limits.group) is not None:
            self._groups = _Gate(Windows(group.messages, group.seconds), group.retry_after, limits.penalty)
        if (paid := limits.paid) is not None:
            self._paid = _Gate(Buckets(paid.rate, paid.capacity), paid.retry_after, limits.penalty)

    def admit(self, bot_id: int, chat_id: int | None, method: Method, parameters: Mapping[str, Any], now: float) -> int:
        """Let a call pass or raise Refusal (429). Answers how many of its messages cost Stars if they are accepted.

        `chat_id` is None where the call names no chat; `now` is in seconds of the monotonic clock.
        """
        if method.sends:
            messages = weight(method.name, parameters)
        elif method.edits and chat_id is not None and chat_id < 0:
            messages = 1
        else:
            return 0
        paid = self._paid
        payable = method.sends and method.name not in NEVER_PAID
        if paid is not None and not (payable and boolean_parameter(parameters, "allow_paid_broadcast")):
            paid = None
        # An edit counts in its group alone.
        whole = (paid or self._bots) if method.sends else None
        chats = None if chat_id is None else self._privates if chat_id > 0 else self._groups
        chat = (bot_id, chat_id or 0)
        if whole is not None:
            whole.judge(bot_id, messages, now)
        if chats is not None:
            chats.judge(chat, messages, now)
            chats.shares.take(chat, messages, now)
        if whole is not None:
            whole.shares.take(bot_id, messages, now)
        return 0 if paid is None else self._charged(bot_id, messages, now)

    def _charged(self, bot_id: int, messages: int, now: float) -> int:
        """Those of the messages that the free share has no room for."""
        room = min(messages, self._free.room(bot_id, now))
        if room:
            self._free.take(bot_id, room, now)
        return messages - room


@dataclass(slots=True)
class _Wait:
    """A 429 that is running: how long it was made, when it was said, and when it ends."""

    seconds: float
    since: float
    until: float


class _Gate:
    """One limit with its waits. A key is a bot, or a bot and a chat."""

    __slots__ = ("_penalty", "_retry_after", "_waits", "shares")

    def __init__(self, shares: Buckets | Windows, retry_after: int | None, penalty: Penalty | None) -> None:
        self.shares = shares
        self._retry_after = retry_after
        self._penalty = penalty
        self._waits: dict[Key, _Wait] = {}

    def judge(self, key: Key, messages: int, now: float) -> None:
        """Raises Refusal (429) when the call may not pass; takes nothing."""
        if self._waits and (running := self._waits.get(key)) is not None:
            if now < running.until:
                raise too_many_requests(self._prolonged(running, now))
            del self._waits[key]
        wait = self.shares.wait(key, messages, now)
        if wait <= 0:
            return
        seconds = ceil(wait - TINY) if self._retry_after is None else self._retry_after
        if self._penalty is not None:
            self._waits[key] = _Wait(seconds, now, now + seconds)
        raise too_many_requests(seconds)

    def _prolonged(self, running: _Wait, now: float) -> int:
        penalty = self._penalty
        if penalty is not None and now - running.since > penalty.grace:
            running.seconds = max(min(running.seconds * penalty.growth, penalty.longest), running.until - now)
            running.since = now
            running.until = now + running.seconds
        return ceil(running.until - now - TINY)
