"""Whom the bots meet: people and groups with names of their own, and who is what in a chat.

Whoever was never described has a made-up name, and is a member of every group; a bot is an administrator of every
group, until somebody says otherwise.
"""

from __future__ import annotations

from typing import Any, Final

RIGHTS: Final = (
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_send_welcome_messages",
)
SUPERGROUP_RIGHTS: Final = ("can_pin_messages", "can_manage_topics", "can_manage_tags")
CHANNEL_RIGHTS: Final = ("can_post_messages", "can_edit_messages", "can_manage_direct_messages")
PRESENT: Final = frozenset({"creator", "administrator", "member", "restricted"})


def administrator(kind: str, rights: dict[str, bool] | None = None, **others: Any) -> dict[str, Any]:
    """An administrator's status in a chat of this kind; all rights unless `rights` has those that are given."""
    names = RIGHTS + (CHANNEL_RIGHTS if kind == "channel" else SUPERGROUP_RIGHTS)
    given = {name: rights is None or rights.get(name, False) for name in names}
    given["can_manage_chat"] = True
    return {"status": "administrator", "can_be_edited": False, "is_anonymous": False, **given, **others}


class People:
    """Users and chats that were described, by id, and statuses by chat and user."""

    def __init__(self) -> None:
        self.chats: dict[int, dict[str, Any]] = {}
        self._users: dict[int, dict[str, Any]] = {}
        self._members: dict[int, dict[int, dict[str, Any]]] = {}

    def user(self, number: int) -> dict[str, Any]:
        """Somebody as a User."""
        return self._users.get(number) or {"id": number, "is_bot": False, "first_name": f"User {number}"}

    def describe(self, number: int, **names: Any) -> None:
        """Give somebody names: `first_name`, `last_name`, `username`, `language_code`, `is_premium`; None is none."""
        user = {**self.user(number), **names}
        self._users[number] = {name: value for name, value in user.items() if value is not None}
        told = ("first_name", "last_name", "username")
        chat = {name: user[name] for name in told if user.get(name) is not None}
        self.chats[number] = {"id": number, **chat, "type": "private"}

    def member(self, chat: dict[str, Any], number: int, *, bot: bool = False) -> dict[str, Any]:
        """What somebody is in a chat, without the member `user`."""
        known = self._members.get(chat["id"], {}).get(number)
        if known is not None:
            return known
        return administrator(chat["type"]) if bot and chat["type"] != "private" else {"status": "member"}

    def set_member(self, chat: dict[str, Any], number: int, status: dict[str, Any]) -> None:
        """Make somebody something in a chat."""
        self._members.setdefault(chat["id"], {})[number] = status

    def move(self, chat: dict[str, Any], to: dict[str, Any]) -> None:
        """A group has become another: its members are there."""
        self._members[to["id"]] = dict(self.members(chat))

    def members(self, chat: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """Those of whom it was ever said what they are there, by id."""
        return self._members.get(chat["id"], {})
