"""What a chat is called and how one comes in: titles, pictures, permissions, invite links, topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import file_parameter, photo_sizes
from dovecote.emulator.methods.members import permissions_parameter
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import boolean_parameter, integer_parameter, text_parameter
from dovecote.emulator.recipients import Recipient
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

LONGEST_TOPIC: Final = 128
FIRST_COLOR: Final = 7322096


def _group(call: Call, what: str) -> dict[str, Any]:
    chat = call.chat()
    if chat["type"] == "private":
        raise bad_request(f"Can't change private chat {what}")
    return chat


@method("setChatTitle")
def set_chat_title(call: Call) -> Any:
    """Another title."""
    chat = _group(call, "title")
    title = text_parameter(call.parameters, "title").strip()
    if not title:
        raise bad_request("Title must be non-empty")
    call.world.group(chat["id"], title=title)
    return True


@method("setChatDescription")
def set_chat_description(call: Call) -> Any:
    """Another description."""
    chat = _group(call, "description")
    description = text_parameter(call.parameters, "description").strip()
    full = call.world.full(chat["id"])
    if description == full.get("description", ""):
        raise bad_request("chat description is not modified")
    full["description"] = description
    return True


@method("setChatPermissions")
def set_chat_permissions(call: Call) -> Any:
    """What members may do."""
    permissions = permissions_parameter(call)
    call.world.full(_group(call, "permissions")["id"])["permissions"] = permissions
    return True


@method("setChatPhoto")
def set_chat_photo(call: Call) -> Any:
    """Another picture."""
    chat = _group(call, "photo")
    photo = file_parameter("photo", call.parameters.get("photo"), call.uploads, call.bot_id, name="photo")
    if photo is None or photo.given_id is not None or photo.size is None:
        raise bad_request("photo must be uploaded as a file")
    sizes = photo_sizes(photo, call.bot_id)
    shown: dict[str, str] = {}
    for name, size in (("small", sizes[0]), ("big", sizes[-1])):
        shown |= {f"{name}_file_id": size["file_id"], f"{name}_file_unique_id": size["file_unique_id"]}
    call.world.full(chat["id"])["photo"] = shown
    return True


@method("deleteChatPhoto")
def delete_chat_photo(call: Call) -> Any:
    """No picture."""
    call.world.full(_group(call, "photo")["id"]).pop("photo", None)
    return True


def _link(call: Call) -> dict[str, Any]:
    chat = call.chat()
    if chat["type"] == "private":
        raise bad_request("Can't invite members to a private chat")
    link: dict[str, Any] = {
        "invite_link": f"https://t.me/+emulated{call.world.random.getrandbits(48):012x}",
        "creator": call.world.bot(call.bot_id),
        "creates_join_request": boolean_parameter(call.parameters, "creates_join_request"),
        "is_primary": False,
        "is_revoked": False,
    }
    _describe(call, link)
    call.world.invite_links[chat["id"], link["invite_link"]] = link
    return link


def _describe(call: Call, link: dict[str, Any]) -> None:
    if text_parameter(call.parameters, "name"):
        link["name"] = text_parameter(call.parameters, "name")
    for name in ("expire_date", "member_limit", "subscription_period", "subscription_price"):
        if integer_parameter(call.parameters, name):
            link[name] = integer_parameter(call.parameters, name)


def _known_link(call: Call) -> dict[str, Any]:
    link = call.world.invite_links.get((call.chat()["id"], text_parameter(call.parameters, "invite_link")))
    if link is None:
        raise Refusal(400, "Bad Request: INVITE_HASH_EXPIRED")
    return link


@method("exportChatInviteLink")
def export_chat_invite_link(call: Call) -> Any:
    """The chat's own link, new."""
    link = _link(call)
    link["is_primary"] = True
    return link["invite_link"]


@method("createChatInviteLink")
def create_chat_invite_link(call: Call) -> Any:
    """Another link."""
    if boolean_parameter(call.parameters, "creates_join_request") and integer_parameter(
        call.parameters, "member_limit"
    ):
        raise bad_request("Member limit can't be specified for links requiring administrator approval")
    return _link(call)


@method("createChatSubscriptionInviteLink")
def create_chat_subscription_invite_link(call: Call) -> Any:
    """A link that costs Stars."""
    return _link(call)


@method("editChatInviteLink")
def edit_chat_invite_link(call: Call) -> Any:
    """Change a link."""
    link = _known_link(call)
    _describe(call, link)
    link["creates_join_request"] = boolean_parameter(call.parameters, "creates_join_request")
    return link


@method("editChatSubscriptionInviteLink")
def edit_chat_subscription_invite_link(call: Call) -> Any:
    """Change a link that costs Stars."""
    link = _known_link(call)
    _describe(call, link)
    return link


@method("revokeChatInviteLink")
def revoke_chat_invite_link(call: Call) -> Any:
    """Nobody comes in by it any more."""
    link = _known_link(call)
    link["is_revoked"] = True
    return link


def _forum(call: Call) -> dict[str, Any]:
    chat = call.chat()
    if chat["type"] != "supergroup":
        raise bad_request("the chat is not a forum")
    return chat


@method("createForumTopic")
def create_forum_topic(call: Call) -> Any:
    """A topic."""
    chat = _forum(call)
    name = text_parameter(call.parameters, "name").strip()
    if not name or len(name) > LONGEST_TOPIC:
        raise bad_request("Topic name must be non-empty" if not name else "Topic name is too long")
    topic: dict[str, Any] = {
        # A topic is named by its first message's id.
        "message_thread_id": call.world.messages.next_id(call.world.messages.space(call.bot_id, chat["id"])),
        "name": name,
        "icon_color": integer_parameter(call.parameters, "icon_color", FIRST_COLOR),
    }
    if text_parameter(call.parameters, "icon_custom_emoji_id"):
        topic["icon_custom_emoji_id"] = text_parameter(call.parameters, "icon_custom_emoji_id")
    return topic


def _topic(call: Call) -> tuple[dict[str, Any], int]:
    chat = _forum(call)
    thread = integer_parameter(call.parameters, "message_thread_id")
    if thread <= 0:
        raise Refusal(400, "Bad Request: TOPIC_ID_INVALID")
    return chat, thread


@method("deleteForumTopic")
def delete_forum_topic(call: Call) -> Any:
    """A topic goes; what is sent into it afterwards is refused."""
    chat, thread = _topic(call)
    call.world.recipients.put(chat["id"], Recipient(chat["id"], "topic_not_found", thread=thread))
    return True


def _unchanged(name: str, *, general: bool) -> None:
    """A method that shows in no answer of the emulator: it is checked and counted."""

    def run(call: Call) -> Any:
        if general:
            _forum(call)
        else:
            _topic(call)
        return True

    method(name)(run)


# Administrators write into closed and hidden topics, and a bot is one.
for _name in ("editForumTopic", "closeForumTopic", "reopenForumTopic"):
    _unchanged(_name, general=False)
for _name in (
    "editGeneralForumTopic",
    "closeGeneralForumTopic",
    "reopenGeneralForumTopic",
    "hideGeneralForumTopic",
    "unhideGeneralForumTopic",
):
    _unchanged(_name, general=True)
