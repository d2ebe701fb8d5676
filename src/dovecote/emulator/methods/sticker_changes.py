"""Methods that change one sticker of a set, which is named by its file_id: its place, its emoji, itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dovecote.emulator.files import file_parameter
from dovecote.emulator.methods.registry import method
from dovecote.emulator.methods.stickers import (
    check_room,
    emoji_list,
    given_json,
    input_sticker,
    keywords,
    mask_position,
    own_set,
    sticker_user,
)
from dovecote.emulator.reading import integer_parameter, json_of, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call
    from dovecote.emulator.stickers import Sticker, StickerSet


def _given(call: Call, made: StickerSet) -> Sticker:
    given = given_json(call.parameters, "sticker", "sticker")
    if given is None:
        raise bad_request("There is no sticker file in the request")
    try:
        return input_sticker(call, given, made.kind, "auto")
    except ValueError as error:
        raise bad_request(f"Can't parse sticker: {error}") from None


def _place(call: Call, name: str = "sticker") -> tuple[StickerSet, int]:
    """The bot's set that the sticker is in, and its place there. Raises Refusal."""
    file_id = text_parameter(call.parameters, name).strip()
    if not file_id:
        raise bad_request("Sticker is not specified")
    file = file_parameter("sticker", file_id, {}, call.bot_id)
    found = None if file is None else call.world.sticker_sets.place(file.digest, call.bot_id)
    if found is None:
        raise Refusal(400, "Bad Request: STICKER_INVALID")
    return found


@method("addStickerToSet")
def add_sticker_to_set(call: Call) -> Any:
    """One more sticker, the last."""
    sticker_user(call)
    made = own_set(call)
    sticker = _given(call, made)
    check_room(made)
    made.stickers.append(sticker)
    return True


@method("replaceStickerInSet")
def replace_sticker_in_set(call: Call) -> Any:
    """Another sticker in the place of one."""
    sticker_user(call)
    made = own_set(call)
    there, index = _place(call, "old_sticker")
    if there is not made:
        raise Refusal(400, "Bad Request: STICKER_INVALID")
    made.stickers[index] = _given(call, made)
    return True


@method("deleteStickerFromSet")
def delete_sticker_from_set(call: Call) -> Any:
    """A sticker leaves its set."""
    made, index = _place(call)
    del made.stickers[index]
    return True


@method("setStickerPositionInSet")
def set_sticker_position_in_set(call: Call) -> Any:
    """Another place, from 0; one beyond the last is the last."""
    position = integer_parameter(call.parameters, "position", -1)
    if position < 0:
        raise bad_request("Sticker position must be non-negative")
    made, index = _place(call)
    made.stickers.insert(position, made.stickers.pop(index))
    return True


def _changed(call: Call, **changes: Any) -> bool:
    made, index = _place(call)
    made.stickers[index] = replace(made.stickers[index], **changes)
    return True


@method("setStickerEmojiList")
def set_sticker_emoji_list(call: Call) -> Any:
    """Other emoji."""
    given = json_of(call.parameters.get("emoji_list", ""), "emoji list")
    try:
        emoji = emoji_list(given)
    except ValueError as error:
        raise bad_request(f"Can't parse emoji list: {error}") from None
    return _changed(call, emoji=emoji)


@method("setStickerKeywords")
def set_sticker_keywords(call: Call) -> Any:
    """Other words that the sticker is searched by; nothing here shows them."""
    given = given_json(call.parameters, "keywords", "keywords")
    try:
        keywords(given)
    except ValueError as error:
        raise bad_request(str(error)) from None
    return _changed(call)


@method("setStickerMaskPosition")
def set_sticker_mask_position(call: Call) -> Any:
    """Another place of a mask on a face, or none."""
    given = given_json(call.parameters, "mask_position", "mask position")
    try:
        position = mask_position(given)
    except ValueError as error:
        raise bad_request(f"Can't parse mask position: {error}") from None
    made, _ = _place(call)
    if made.kind != "mask":
        raise Refusal(400, "Bad Request: STICKER_INVALID")
    return _changed(call, mask_position=position)
