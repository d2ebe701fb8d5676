"""Methods that send files: one each, and albums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dovecote.emulator.files import File, file_parameter, photo_sizes, thumbnail_parameter
from dovecote.emulator.methods.posting import album_head, post, put, replied
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import (
    boolean_parameter,
    integer_parameter,
    json_of,
    required_text,
    string_field,
    text_parameter,
)
from dovecote.emulator.refusal import bad_request
from dovecote.emulator.stickers import STICKER_SIDE
from dovecote.emulator.text import caption, caption_fields, check_caption

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call
    from dovecote.emulator.multipart import Upload

ALBUM = range(2, 11)
ALBUM_KINDS = frozenset({"photo", "live_photo", "video", "audio", "document"})
# What a client says about its file; Telegram believes it.
NUMBERS = {
    "video": ("duration", "width", "height"),
    "audio": ("duration",),
    "voice": ("duration",),
    "animation": ("duration", "width", "height"),
    "video_note": ("duration", "length"),
    "live_photo": ("duration", "width", "height"),
}
# What a thumbnail may be uploaded with.
THUMBED = frozenset({"document", "video", "audio", "animation", "video_note"})
SPOILED = frozenset({"video", "animation", "live_photo"})
CAPTIONLESS = frozenset({"sticker", "video_note"})
DEFAULT_TYPES = {
    "video": "video/mp4",
    "audio": "audio/mpeg",
    "voice": "audio/ogg",
    "animation": "video/mp4",
    "live_photo": "video/mp4",
}
# What is said of no round film: its name, its type.
NAMELESS = frozenset({"voice", "video_note", "live_photo"})


def content_of(
    kind: str, file: File, parameters: Mapping[str, Any], uploads: Mapping[str, Upload], bot_id: int
) -> dict[str, Any]:
    """The members of a message that carry the file."""
    fields = file.fields(bot_id)
    if kind in THUMBED and file.given_id is None:
        fields |= thumbnail_parameter(parameters.get("thumbnail"), uploads, bot_id)
    if kind == "photo":
        return {"photo": photo_sizes(file, bot_id), **_spoiler(parameters)}
    if kind == "sticker":
        return {"sticker": fields | _sticker(file, text_parameter(parameters, "emoji"))}
    media_type = file.content_type or DEFAULT_TYPES.get(kind)
    if media_type and kind != "video_note":
        fields["mime_type"] = media_type
    if file.name and kind not in NAMELESS:
        fields["file_name"] = file.name
    if kind == "document":
        return {"document": fields}
    described: dict[str, Any] = {name: integer_parameter(parameters, name) for name in NUMBERS[kind]}
    if kind == "audio":
        described |= {
            name: text_parameter(parameters, name)
            for name in ("performer", "title")
            if text_parameter(parameters, name)
        }
    content: dict[str, Any] = {kind: fields | described}
    if kind == "animation":
        # Telegram shows it twice, for clients from before animations.
        content["document"] = fields
    if kind == "live_photo":
        content[kind] |= _still(parameters, uploads, bot_id)
    return content | _spoiler(parameters) if kind in SPOILED else content


def _still(parameters: Mapping[str, Any], uploads: Mapping[str, Upload], bot_id: int) -> dict[str, Any]:
    """The picture that a live photo is seen as before it moves."""
    photo = file_parameter("photo", parameters.get("photo"), uploads, bot_id, name="photo")
    if photo is None:
        raise bad_request("There is no photo in the request")
    return {"photo": photo_sizes(photo, bot_id)}


def _sticker(file: File, emoji: str) -> dict[str, Any]:
    name = (file.name or "").lower()
    described: dict[str, Any] = {
        "type": "regular",
        "width": file.width or STICKER_SIDE,
        "height": file.height or STICKER_SIDE,
        "is_animated": name.endswith(".tgs"),
        "is_video": name.endswith(".webm"),
    }
    return described | ({"emoji": emoji} if emoji else {})


def _spoiler(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"has_media_spoiler": True} if boolean_parameter(parameters, "has_spoiler") else {}


def _send_file(call: Call, kind: str) -> Any:
    parameters = call.parameters
    file = file_parameter(kind, parameters.get(kind), call.uploads, call.bot_id, name=kind)
    if file is None:
        raise bad_request(f"There is no {kind} in the request")
    content = content_of(kind, file, parameters, call.uploads, call.bot_id)
    if kind == "sticker":
        content["sticker"] |= call.world.sticker_sets.described(file.digest, call.bot_id)
    if kind in CAPTIONLESS:
        return post(call, content)
    formatted = caption(parameters)
    content |= caption_fields(formatted, parameters)
    return post(call, content, lambda: check_caption(formatted))


@method("sendPhoto")
def send_photo(call: Call) -> Any:
    """A picture."""
    return _send_file(call, "photo")


@method("sendDocument")
def send_document(call: Call) -> Any:
    """Any file."""
    return _send_file(call, "document")


@method("sendVideo")
def send_video(call: Call) -> Any:
    """A film."""
    return _send_file(call, "video")


@method("sendAudio")
def send_audio(call: Call) -> Any:
    """Music."""
    return _send_file(call, "audio")


@method("sendVoice")
def send_voice(call: Call) -> Any:
    """A voice message."""
    return _send_file(call, "voice")


@method("sendAnimation")
def send_animation(call: Call) -> Any:
    """A film without sound that repeats."""
    return _send_file(call, "animation")


@method("sendSticker")
def send_sticker(call: Call) -> Any:
    """A sticker."""
    return _send_file(call, "sticker")


@method("sendVideoNote")
def send_video_note(call: Call) -> Any:
    """A round film."""
    return _send_file(call, "video_note")


@method("sendLivePhoto")
def send_live_photo(call: Call) -> Any:
    """A picture that moves."""
    return _send_file(call, "live_photo")


@method("sendMediaGroup")
def send_media_group(call: Call) -> Any:
    """An album: one call, a message for each of its 2-10 items."""
    parameters = call.parameters
    required_text(parameters, "media")
    given = json_of(parameters["media"], "media")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of InputMedia")
    items = [_album_item(call, item) for item in given]
    chat = call.chat()
    reply = replied(call, chat)
    if len(items) not in ALBUM:
        many = "many" if len(items) >= ALBUM.stop else "few"
        raise bad_request(f"Too {many} messages to send as an album")
    kinds = {kind for kind, _ in items}
    for kind in ("audio", "document"):
        if kind in kinds and len(kinds) > 1:
            raise bad_request(f"{kind.capitalize()} can't be mixed with other media types")
    for item in given:
        check_caption(caption(item))
    album = call.world.next_album()
    sent: list[Any] = []
    for _, content in items:
        head = album_head(call, chat) | {"media_group_id": album}
        if reply is not None:
            head["reply_to_message"] = reply
        sent.append(put(call, chat, head | content))
    return sent


def _album_item(call: Call, item: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(item, Mapping) and item.get("type") == "animation":
        raise bad_request("Can't parse InputMedia: type \"animation\" can't be used in sendMediaGroup")
    return input_media(call, item, ALBUM_KINDS)


def input_media(call: Call, item: Any, kinds: frozenset[str]) -> tuple[str, dict[str, Any]]:
    """An InputMedia: its kind, and the members that it gives a message. Raises Refusal."""
    if not isinstance(item, Mapping):
        raise bad_request("Can't parse InputMedia: expected an Object")
    try:
        kind = string_field(item, "type", required=True)
        media = string_field(item, "media")
    except ValueError as error:
        raise bad_request(f"Can't parse InputMedia: {error}") from None
    if kind not in kinds:
        raise bad_request(f'Can\'t parse InputMedia: type "{kind}" is unsupported')
    file = file_parameter(kind, media, call.uploads, call.bot_id)
    if file is None:
        raise bad_request("Can't parse InputMedia: media not found")
    return kind, content_of(kind, file, item, call.uploads, call.bot_id) | caption_fields(caption(item), item)
