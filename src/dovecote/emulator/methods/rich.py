"""Rich messages: sent, changed, and drafted while they are being written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import file_parameter
from dovecote.emulator.methods.media import content_of
from dovecote.emulator.methods.posting import post
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import integer_parameter, json_of, required_text, string_field
from dovecote.emulator.refusal import Refusal, bad_request
from dovecote.emulator.rich import RichMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.emulator.methods.registry import Call

# A block names some files otherwise than a message does.
_KINDS: Final = {"voice_note": "voice"}


def rich_message(call: Call, *, drafted: bool = False) -> dict[str, Any]:
    """The parameter `rich_message` as a message shows it. Raises Refusal."""

    def media(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
        name = _KINDS.get(kind, kind)
        value = string_field(given, "media") or string_field(given, kind)
        file = file_parameter(name, value, {} if drafted else call.uploads, call.bot_id)
        if file is None:
            raise ValueError("media not found")
        content = content_of(name, file, given, call.uploads, call.bot_id)
        shown = {kind: content[name]}
        return shown | ({"has_spoiler": True} if content.get("has_media_spoiler") else {})

    given = json_of(required_text(call.parameters, "rich_message"), "rich message")
    return RichMessage(media, drafted=drafted, now=call.world.clock.time()).read(given)


@method("sendRichMessage")
def send_rich_message(call: Call) -> Any:
    """A message of blocks: headings, lists, tables, files."""
    return post(call, {"rich_message": rich_message(call)})


@method("sendRichMessageDraft")
def send_rich_message_draft(call: Call) -> Any:
    """What the bot is seen writing, in a private chat: it is shown for a while and is no message."""
    if not integer_parameter(call.parameters, "draft_id"):
        raise Refusal(400, "Bad Request: DRAFT_ID_INVALID")
    rich_message(call, drafted=True)
    if call.chat()["type"] != "private":
        raise bad_request("Drafts can be sent to private chats only")
    return True
