"""The table of methods, and what one is given. A method is a function from a call to its result; it raises Refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dovecote.emulator.business import TAKING
from dovecote.emulator.reading import integer_parameter, text_parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovecote.emulator.business import BusinessConnection
    from dovecote.emulator.multipart import Upload
    from dovecote.emulator.world import World


class Call:
    """One call of a bot. The method leaves in it which messages it made or changed, for the record."""

    __slots__ = ("account", "bot_id", "message_ids", "method", "parameters", "space", "uploads", "world")

    def __init__(
        self,
        world: World,
        bot_id: int,
        method: Method,
        parameters: Mapping[str, Any],
        uploads: Mapping[str, Upload],
    ) -> None:
        self.method = method
        self.world = world
        self.bot_id = bot_id
        self.parameters = parameters
        self.uploads = uploads
        self.message_ids: tuple[int, ...] = ()
        self.space = 0
        self.account: BusinessConnection | None = None

    @property
    def viewer(self) -> int:
        """Whose chats the call is about: the bot's, or those of the business account that it acts for."""
        return self.bot_id if self.account is None else self.account.user

    def chat(self, name: str = "chat_id") -> dict[str, Any]:
        """The chat that the parameter names. Raises Refusal."""
        if self.parameters.get("business_connection_id") and self.method.name in TAKING:
            return self._account_chat(name)
        chat = self.world.chat(self.parameters.get(name))
        recipients = self.world.recipients
        if recipients:
            # Where a copy is taken from, nothing is written.
            here = name == "chat_id"
            thread = integer_parameter(self.parameters, "message_thread_id") if here else 0
            recipients.check(self.bot_id, chat, thread=thread, writes=here and self.method.writes)
        return chat

    def _account_chat(self, name: str) -> dict[str, Any]:
        """The chat of the business account that the call acts for. Raises Refusal."""
        world = self.world
        self.account = world.business.find(self.bot_id, text_parameter(self.parameters, "business_connection_id"))
        chat = world.chat(self.parameters.get(name))
        right = "can_read_messages" if self.method.name == "readBusinessMessage" else "can_reply"
        world.business.check_chat(self.account, chat, world.clock.time(), right)
        return chat


@dataclass(frozen=True, slots=True)
class Method:
    """A method under Telegram's spelling. One that acts is counted among the accepted; one that only asks is not.

    `sends`: it puts messages into a chat; `writes`: it sends, or shows the bot as writing; `edits`: it changes a
    message.
    """

    name: str
    run: Callable[[Call], Any]
    acts: bool
    sends: bool
    writes: bool
    edits: bool


# They show something, such as the bot as writing, and put no message into the chat.
UNSENT = frozenset({"sendChatAction", "sendChatJoinRequestWebApp", "sendMessageDraft", "sendRichMessageDraft"})

METHODS: dict[str, Method] = {}


def method(name: str, *, acts: bool = True) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    """Add the function to the table, under the name in lower case."""

    def add(run: Callable[[Call], Any]) -> Callable[[Call], Any]:
        writes = name.startswith(("send", "copy", "forward"))
        sends = writes and name not in UNSENT
        METHODS[name.lower()] = Method(name, run, acts, sends, writes, edits=name.startswith("edit"))
        return run

    return add
