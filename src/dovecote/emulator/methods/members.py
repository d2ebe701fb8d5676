"""Who is in a chat and what they may do there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.methods.asking import PERMISSIONS
from dovecote.emulator.methods.registry import method
from dovecote.emulator.methods.settings import rights_of
from dovecote.emulator.people import PRESENT, administrator
from dovecote.emulator.reading import boolean_parameter, integer_parameter, json_of, text_parameter
from dovecote.emulator.recipients import Recipient
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

LONGEST_TITLE: Final = 16


def _user(call: Call) -> int:
    number = integer_parameter(call.parameters, "user_id")
    if number <= 0:
        raise bad_request("Invalid user_id specified")
    return number


def _as_member(call: Call, chat: dict[str, Any], number: int) -> dict[str, Any]:
    people = call.world.people
    is_bot = number == call.bot_id
    user = call.world.bot(number) if is_bot else people.user(number)
    return {"user": user, **people.member(chat, number, bot=is_bot)}


@method("getChatMember", acts=False)
def get_chat_member(call: Call) -> Any:
    """What somebody is there."""
    number = _user(call)
    return _as_member(call, call.chat(), number)


@method("getChatAdministrators", acts=False)
def get_chat_administrators(call: Call) -> Any:
    """The bot, and those who were ever made administrators there."""
    chat = call.chat()
    if chat["type"] == "private":
        raise bad_request("there are no administrators in the private chat")
    numbers = [*call.world.people.members(chat)]
    if call.bot_id not in numbers:
        numbers.append(call.bot_id)
    members = [_as_member(call, chat, number) for number in numbers]
    return [member for member in members if member["status"] in {"creator", "administrator"}]


@method("getChatMemberCount", acts=False)
def get_chat_member_count(call: Call) -> Any:
    """The bot and those of whom it is known that they are there; two in a private chat."""
    chat = call.chat()
    if chat["type"] == "private":
        return 2
    members = {call.bot_id: call.world.people.member(chat, call.bot_id, bot=True), **call.world.people.members(chat)}
    return sum(member["status"] in PRESENT for member in members.values())


def _set(call: Call, status: dict[str, Any], *, only: str = "") -> bool:
    """Make the user that; `only`: refused with these words where the chat is no supergroup."""
    number = _user(call)
    chat = call.chat()
    if chat["type"] == "private":
        raise bad_request("Can't change the status of a member of a private chat")
    if only and chat["type"] not in {"supergroup", "channel"}:
        raise bad_request(only)
    call.world.people.set_member(chat, number, status)
    return True


@method("banChatMember")
def ban_chat_member(call: Call) -> Any:
    """Remove somebody for a time or for ever."""
    return _set(call, {"status": "kicked", "until_date": integer_parameter(call.parameters, "until_date")})


@method("unbanChatMember")
def unban_chat_member(call: Call) -> Any:
    """Let somebody come back; without `only_if_banned` whoever is there has to leave."""
    number = _user(call)
    chat = call.chat()
    banned = call.world.people.member(chat, number)["status"] == "kicked"
    if banned or not boolean_parameter(call.parameters, "only_if_banned"):
        return _set(call, {"status": "left"})
    return True


@method("restrictChatMember")
def restrict_chat_member(call: Call) -> Any:
    """Let somebody do less."""
    permissions = permissions_parameter(call)
    until = integer_parameter(call.parameters, "until_date")
    status = {"status": "restricted", "is_member": True, "until_date": until, **permissions}
    return _set(call, status, only="method is available only for supergroups")


def permissions_parameter(call: Call) -> dict[str, bool]:
    """ChatPermissions. Raises Refusal."""
    given = json_of(call.parameters.get("permissions", ""), "permissions")
    if not isinstance(given, Mapping):
        raise bad_request("Object expected as permissions")
    return {name: boolean_parameter(given, name) for name in PERMISSIONS}


@method("promoteChatMember")
def promote_chat_member(call: Call) -> Any:
    """Let somebody do more; no right at all makes a member again."""
    rights = rights_of(call.parameters, channel=False)
    status = administrator("supergroup", rights, can_be_edited=True) if any(rights.values()) else {"status": "member"}
    return _set(call, status, only="method is available for supergroup and channel chats only")


@method("setChatAdministratorCustomTitle")
def set_chat_administrator_custom_title(call: Call) -> Any:
    """What an administrator is called there."""
    number = _user(call)
    chat = call.chat()
    if chat["type"] != "supergroup":
        raise bad_request("method is available only for supergroups")
    member = call.world.people.member(chat, number)
    if member["status"] != "administrator":
        raise bad_request("user is not an administrator")
    title = text_parameter(call.parameters, "custom_title")
    if len(title) > LONGEST_TITLE:
        raise Refusal(400, "Bad Request: ADMIN_RANK_INVALID")
    call.world.people.set_member(chat, number, {**member, "custom_title": title})
    return True


@method("banChatSenderChat")
def ban_chat_sender_chat(call: Call) -> Any:
    """A channel may not write there any more."""
    call.chat()
    call.world.chat(call.parameters.get("sender_chat_id"))
    return True


@method("unbanChatSenderChat")
def unban_chat_sender_chat(call: Call) -> Any:
    """It may again."""
    return ban_chat_sender_chat(call)


@method("approveChatJoinRequest")
def approve_chat_join_request(call: Call) -> Any:
    """Whoever has asked is a member."""
    return _set(call, {"status": "member"})


@method("declineChatJoinRequest")
def decline_chat_join_request(call: Call) -> Any:
    """Whoever has asked is none."""
    return _set(call, {"status": "left"})


@method("leaveChat")
def leave_chat(call: Call) -> Any:
    """The bot goes; what it sends there afterwards is answered 403."""
    chat = call.chat()
    if chat["type"] == "private":
        raise bad_request("Chat member status can't be changed in private chats")
    call.world.people.set_member(chat, call.bot_id, {"status": "left"})
    call.world.recipients.put(chat["id"], Recipient(chat["id"], "not_member", bot=call.bot_id))
    return True


@method("getUserProfilePhotos", acts=False)
def get_user_profile_photos(call: Call) -> Any:
    """Somebody's pictures: a bot's own, and nobody else's."""
    photos = call.world.bots.photos[number] if (number := _user(call)) in call.world.bots.photos else []
    offset = max(integer_parameter(call.parameters, "offset"), 0)
    limit = min(max(integer_parameter(call.parameters, "limit", 100), 1), 100)
    return {"total_count": len(photos), "photos": photos[offset : offset + limit]}


@method("getUserProfileAudios", acts=False)
def get_user_profile_audios(call: Call) -> Any:
    """Nobody has any here."""
    _user(call)
    return {"total_count": 0, "audios": []}


@method("getUserChatBoosts", acts=False)
def get_user_chat_boosts(call: Call) -> Any:
    """Nobody boosts here."""
    _user(call)
    call.chat()
    return {"boosts": []}
