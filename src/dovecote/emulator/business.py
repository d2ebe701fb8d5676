"""Business accounts: whose account a bot is connected to, and what it may do there.

The chats of an account are apart from the bot's own: the same person's chat is another one in each. Their messages are
numbered by the account, so they are kept under the account's number as a bot's are under the bot's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable

ACTIVE_SECONDS: Final = 24 * 3600
"""A bot may write into a chat where the other side has written so lately."""
RIGHTS: Final = (
    "can_reply",
    "can_read_messages",
    "can_delete_sent_messages",
    "can_delete_all_messages",
    "can_edit_name",
    "can_edit_bio",
    "can_edit_profile_photo",
    "can_edit_username",
    "can_change_gift_settings",
    "can_view_gifts_and_stars",
    "can_convert_gifts_to_stars",
    "can_transfer_and_upgrade_gifts",
    "can_transfer_stars",
    "can_manage_stories",
)
# Those of the methods about a chat that know `business_connection_id`; to the others it is as unknown as any other.
TAKING: Final = frozenset(
    {
        "editMessageCaption",
        "editMessageChecklist",
        "editMessageLiveLocation",
        "editMessageMedia",
        "editMessageReplyMarkup",
        "editMessageText",
        "pinChatMessage",
        "readBusinessMessage",
        "sendAnimation",
        "sendAudio",
        "sendChatAction",
        "sendChecklist",
        "sendContact",
        "sendDice",
        "sendDocument",
        "sendGame",
        "sendLivePhoto",
        "sendLocation",
        "sendMediaGroup",
        "sendMessage",
        "sendPaidMedia",
        "sendPhoto",
        "sendPoll",
        "sendRichMessage",
        "sendSticker",
        "sendVenue",
        "sendVideo",
        "sendVideoNote",
        "sendVoice",
        "stopMessageLiveLocation",
        "stopPoll",
        "unpinChatMessage",
    }
)


@dataclass(slots=True)
class BusinessConnection:
    """A bot in an account. `user` is whose account it is; the date is in seconds since 1970."""

    id: str
    bot: int
    user: int
    date: int
    rights: frozenset[str]
    is_enabled: bool = True

    def check(self, right: str) -> None:
        """Raises Refusal when the bot may not do that, or nothing any more."""
        if not self.is_enabled:
            raise Refusal(400, "Bad Request: BUSINESS_CONNECTION_INVALID")
        if right not in self.rights:
            raise Refusal(403, "Forbidden: BOT_ACCESS_FORBIDDEN")

    def as_json(self, user: dict[str, Any]) -> dict[str, Any]:
        """It, as the Bot API writes it; `user` is whose account it is."""
        return {
            "id": self.id,
            "user": user,
            "user_chat_id": self.user,
            "date": self.date,
            "rights": {name: True for name in RIGHTS if name in self.rights},
            "can_reply": "can_reply" in self.rights,
            "is_enabled": self.is_enabled,
        }


class Business:
    """The connections, and when somebody last wrote to an account."""

    def __init__(self) -> None:
        self._connections: dict[str, BusinessConnection] = {}
        self._written: dict[tuple[int, int], float] = {}

    def connect(self, bot: int, user: int, rights: Iterable[str] | None, date: int) -> BusinessConnection:
        """Let the bot into an account, with all rights or these. Raises ValueError for a right that there is not."""
        given = frozenset(RIGHTS if rights is None else rights)
        unknown = sorted(given - set(RIGHTS))
        if unknown:
            raise ValueError(f"rights {', '.join(unknown)}: use those of {', '.join(RIGHTS)}.")
        identifier = f"emulated-{bot}-{user}"
        self._connections[identifier] = BusinessConnection(identifier, bot, user, date, given)
        return self._connections[identifier]

    def of(self, bot: int, user: int) -> BusinessConnection:
        """The bot in that account. Raises ValueError when it is not there."""
        found = self._connections.get(f"emulated-{bot}-{user}")
        if found is None or not found.is_enabled:
            raise ValueError(f"business {user}: bot {bot} is not connected to that account; let the user connect it.")
        return found

    def has(self, bot: int, user: int) -> bool:
        """Whether the bot is in that account."""
        found = self._connections.get(f"emulated-{bot}-{user}")
        return found is not None and found.is_enabled

    def find(self, bot: int, identifier: str) -> BusinessConnection:
        """The connection, one of the bot's. Raises Refusal."""
        found = self._connections.get(identifier)
        if found is None or found.bot != bot:
            raise bad_request("Business connection not found")
        return found

    def note_contact(self, user: int, chat: int, now: float) -> None:
        """Somebody writes to the account."""
        self._written[user, chat] = now

    def check_chat(self, connection: BusinessConnection, chat: dict[str, Any], now: float, right: str) -> None:
        """Raises Refusal when the bot may not do that in the chat."""
        if chat["type"] != "private":
            raise bad_request("Chat must be a private chat")
        if chat["id"] == connection.user:
            raise bad_request("Messages must not be sent to self")
        connection.check(right)
        if now - self._written.get((connection.user, chat["id"]), float("-inf")) > ACTIVE_SECONDS:
            raise Refusal(400, "Bad Request: BUSINESS_PEER_USAGE_MISSING")
