"""Recipients that are not as they should be: blocked, gone, moved, without rights. What Telegram says to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from dovecote.emulator.documents import STRICT, InvalidDocument, validated
from dovecote.emulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal[
    "blocked",
    "deactivated",
    "never_started",
    "kicked",
    "not_member",
    "deleted",
    "restricted",
    "not_found",
    "migrated",
    "topic_closed",
    "topic_not_found",
]
Kind = Literal["group", "supergroup", "channel"]

# These hinder sending alone; the others hinder every call that names the chat.
_SENDING: Mapping[str, tuple[int, str]] = {
    "blocked": (403, "Forbidden: bot was blocked by the user"),
    "deactivated": (403, "Forbidden: user is deactivated"),
    "never_started": (403, "Forbidden: bot can't initiate conversation with a user"),
    "restricted": (400, "Bad Request: not enough rights to send text messages to the chat"),
    "topic_closed": (400, "Bad Request: TOPIC_CLOSED"),
    "topic_not_found": (400, "Bad Request: message thread not found"),
}
_ANY: Mapping[str, tuple[int, str]] = {
    "kicked": (403, "Forbidden: bot was kicked from the {kind} chat"),
    "not_member": (403, "Forbidden: bot is not a member of the {kind} chat"),
    "deleted": (403, "Forbidden: the group chat was deleted"),
    "not_found": (400, "Bad Request: chat not found"),
    "migrated": (400, "Bad Request: group chat was upgraded to a supergroup chat"),
}
_PRIVATE = frozenset({"blocked", "deactivated", "never_started"})
_EITHER = frozenset({"not_found"})
_TOPICS = frozenset({"topic_closed", "topic_not_found"})


@dataclass(frozen=True, slots=True)
class Recipient:
    """The state of a chat; None: as usual again.

    `bot` is the id of the bot that it concerns (None: every bot), `thread` the topic that it concerns (0: the whole
    chat), `migrate_to` the supergroup that a migrated group has become. Telegram's words name the kind of a group;
    `kind` is for what the id does not tell, a channel without an @name.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    chat_id: int | str
    state: State | None
    bot: int | None = None
    thread: int = 0
    migrate_to: int | None = None
    kind: Kind | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if isinstance(self.chat_id, str) and not self.chat_id.startswith("@"):
            raise ValueError(f'chat_id "{self.chat_id}": use a number or an @name.')
        if self.state is not None and self.state not in _SENDING and self.state not in _ANY:
            raise ValueError(f'state "{self.state}": use one of {", ".join((*_SENDING, *_ANY))}.')
        private = isinstance(self.chat_id, int) and self.chat_id > 0
        if self.state is not None and self.state not in _EITHER and private != (self.state in _PRIVATE):
            there = "a private chat, whose id is positive" if self.state in _PRIVATE else "a group or a channel"
            raise ValueError(f"chat_id {self.chat_id}: only {there}, can be {self.state}.")
        if (self.state == "migrated") != (self.migrate_to is not None):
            raise ValueError(f"migrate_to {self.migrate_to}: it belongs to the state migrated, and to no other.")
        if self.state in _TOPICS and self.thread <= 0:
            raise ValueError(f"thread {self.thread}: the state {self.state} needs the topic's message_thread_id.")


_RECIPIENTS: TypeAdapter[list[Recipient]] = TypeAdapter(list[Recipient])
_RECIPIENT: TypeAdapter[Recipient] = TypeAdapter(Recipient)


def parse_recipients(document: Any) -> list[Recipient]:
    """Recipients from JSON: one, or a list of them. Raises InvalidDocument."""
    given = document if isinstance(document, list) else [document]
    if not given:
        raise InvalidDocument("recipients: send one recipient or a list of recipients.")
    return validated(_RECIPIENTS, given, "recipients")


class Recipients:
    """The recipients that are in a state, by chat."""

    def __init__(self) -> None:
        self._by_chat: dict[int, dict[tuple[int | None, int], Recipient]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_chat)

    def put(self, number: int, recipient: Recipient) -> None:
        """Set the state of the chat with this number; it takes the place of one for the same bot and topic."""
        states = self._by_chat.setdefault(number, {})
        if recipient.state is None:
            states.pop((recipient.bot, recipient.thread), None)
        else:
            states[recipient.bot, recipient.thread] = recipient
        if not states:
            del self._by_chat[number]

    def state(self, bot_id: int, number: int) -> State | None:
        """The state of a whole chat for a bot."""
        states = self._by_chat.get(number, {})
        found = states.get((bot_id, 0)) or states.get((None, 0))
        return None if found is None else found.state

    def as_json(self) -> list[dict[str, Any]]:
        """All of them, for the control API."""
        return [
            _RECIPIENT.dump_python(one, mode="json") for states in self._by_chat.values() for one in states.values()
        ]

    def check(self, bot_id: int, chat: Mapping[str, Any], *, thread: int, writes: bool) -> None:
        """Raises Refusal when the chat is in a state that hinders the bot; `writes`: the call sends to it."""
        states = self._by_chat.get(chat["id"])
        if states is None:
            return
        # What concerns the whole chat is said before what concerns a topic, and the bot's own before everybody's.
        for topic in (0, thread) if thread else (0,):
            for bot in (bot_id, None):
                recipient = states.get((bot, topic))
                if recipient is not None:
                    _refuse(recipient, chat, writes=writes)


def _refuse(recipient: Recipient, chat: Mapping[str, Any], *, writes: bool) -> None:
    state = recipient.state or ""
    answer = _ANY.get(state) or (_SENDING.get(state) if writes else None)
    if answer is None:
        return
    code, description = answer
    parameters = {"migrate_to_chat_id": recipient.migrate_to} if recipient.migrate_to is not None else {}
    raise Refusal(code, description.format(kind=recipient.kind or chat["type"]), **parameters)
