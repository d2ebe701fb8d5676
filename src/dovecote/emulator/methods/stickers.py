"""Methods of sticker sets: uploading, making a set, asking for one, and what changes or removes a whole set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import File, file_parameter, upload_of
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import (
    boolean_parameter,
    integer_parameter,
    json_of,
    string_field,
    text_of,
    text_parameter,
)
from dovecote.emulator.refusal import Refusal, bad_request
from dovecote.emulator.stickers import (
    CUSTOM_EMOJI_SIDE,
    MOST_STICKERS,
    Sticker,
    StickerSet,
    check_name,
    check_upload,
    is_emoji,
    picture_size,
)

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

FORMATS: Final = frozenset({"static", "animated", "video"})
KINDS: Final = {"": "regular", "regular": "regular", "mask": "mask", "custom_emoji": "custom_emoji"}
LONGEST_TITLE: Final = 64
MOST_AT_ONCE: Final = 50
MOST_EMOJI: Final = 20
POINTS: Final = ("forehead", "eyes", "mouth", "chin")
# Bytes of the small picture that stands for a set, by its format.
LARGEST_THUMBNAIL: Final = {"static": 128 * 1024, "animated": 32 * 1024, "video": 32 * 1024}
MOST_CUSTOM_EMOJI: Final = 200


def sticker_user(call: Call) -> int:
    """The user that a set is made for. Raises Refusal for none, and for one that the bot has never met."""
    number = integer_parameter(call.parameters, "user_id")
    if number <= 0:
        raise bad_request("Invalid user_id specified")
    if call.world.recipients.state(call.bot_id, number) == "never_started":
        raise Refusal(400, "Bad Request: PEER_ID_INVALID")
    return number


def sticker_format(given: str, *, auto: bool = False) -> str:
    """A format's name. Raises Refusal for any other."""
    if given not in FORMATS and not (auto and given in {"", "auto"}):
        raise bad_request("Invalid sticker format specified")
    return given or "auto"


@method("uploadStickerFile")
def upload_sticker_file(call: Call) -> Any:
    """A file for a sticker, whose file_id is good in sets."""
    sticker_user(call)
    form = sticker_format(text_parameter(call.parameters, "sticker_format"))
    upload = upload_of(call.parameters.get("sticker"), call.uploads, name="sticker")
    if upload is None:
        raise bad_request("There is no sticker file in the request")
    check_upload(upload, form, None)
    file = file_parameter("sticker", call.parameters.get("sticker"), call.uploads, call.bot_id, name="sticker")
    if file is None:
        raise bad_request("There is no sticker file in the request")
    call.world.sticker_sets.note_format(file.digest, form)
    return _sized(file, form, call).fields(call.bot_id)


def _sized(file: File, form: str, call: Call, value: Any = None) -> File:
    """The file with a picture's width and height, which its file_id carries on."""
    upload = upload_of(value or call.parameters.get("sticker"), call.uploads, name="" if value else "sticker")
    if upload is None or form != "static":
        return file
    width, height = picture_size(upload)
    return replace(file, width=width, height=height)


def input_sticker(call: Call, given: Any, kind: str, default: str = "") -> Sticker:
    """An InputSticker, for a set of that kind. Raises ValueError in Telegram's words, and Refusal for the file."""
    if not isinstance(given, Mapping):
        raise ValueError("InputSticker must be an Object")  # noqa: TRY004 - Telegram's words travel as ValueError here
    value = string_field(given, "sticker")
    file = file_parameter("sticker", value, call.uploads, call.bot_id)
    if file is None:
        raise ValueError("sticker not found")
    form = string_field(given, "format", required=not default) or default
    if form not in FORMATS and form != "auto":
        raise ValueError("Invalid sticker format specified")
    emoji = emoji_list(given.get("emoji_list"))
    mask = mask_position(given.get("mask_position"))
    keywords(given.get("keywords"))
    form = _checked(call, value, file, form, kind)
    sticker = Sticker(_sized(file, form, call, value), form, emoji, mask if kind == "mask" else None)
    return call.world.sticker_sets.numbered(sticker, kind)


def _checked(call: Call, value: str, file: File, form: str, kind: str) -> str:
    """The sticker's format. Raises Refusal for a file that cannot be one of that format."""
    upload = upload_of(value, call.uploads)
    if upload is not None:
        form = check_upload(upload, form, kind)
        call.world.sticker_sets.note_format(file.digest, form)
    elif form == "auto":
        form = call.world.sticker_sets.format_of(file.digest)
    elif form != "static" and file.size is None and value.startswith("http"):
        raise bad_request("Animated stickers can't be uploaded by URL")
    return form


def emoji_list(given: Any) -> tuple[str, ...]:
    """1-20 emoji. Raises ValueError in Telegram's words."""
    if given is None:
        raise ValueError('Can\'t find field "emoji_list"')
    if not isinstance(given, list):
        raise ValueError('Field "emoji_list" must be of type Array')  # noqa: TRY004 - as above
    if not given:
        raise ValueError("emoji list must be non-empty")
    if len(given) > MOST_EMOJI:
        raise ValueError("too many emoji specified")
    for emoji in given:
        if not isinstance(emoji, str):
            raise ValueError("emoji must be a string")  # noqa: TRY004 - as above
        if not is_emoji(emoji):
            raise ValueError("expected a Unicode emoji")
    return tuple(given)


def keywords(given: Any) -> None:
    """Words that a sticker is searched by; no bot can ask for them. Raises ValueError in Telegram's words."""
    if given is None:
        return
    if not isinstance(given, list):
        raise ValueError('Field "keywords" must be of type Array')  # noqa: TRY004 - as above
    if not all(isinstance(word, str) for word in given):
        raise ValueError("keyword must be a string")


def mask_position(given: Any) -> dict[str, Any] | None:
    """Where a mask sits on a face. Raises ValueError in Telegram's words."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ValueError("MaskPosition must be an Object")  # noqa: TRY004 - as above
    point = string_field(given, "point", required=True).strip().lower()
    if point not in POINTS:
        raise ValueError("Wrong point specified in MaskPosition")
    position: dict[str, Any] = {"point": point}
    for name in ("x_shift", "y_shift", "scale"):
        value = given.get(name)
        if value is None:
            raise ValueError(f'Can\'t find field "{name}"')
        try:
            position[name] = float(value)
        except (TypeError, ValueError):
            raise ValueError(f'Field "{name}" must be of type Number') from None
    return position


def given_json(parameters: Mapping[str, Any], name: str, what: str) -> Any:
    """A parameter's JSON value, None when it is absent or empty. Raises Refusal naming `what`."""
    value = parameters.get(name)
    return None if value is None or value == "" else json_of(value, what)


@method("createNewStickerSet")
def create_new_sticker_set(call: Call) -> Any:
    """A set with its first stickers."""
    parameters = call.parameters
    sticker_user(call)
    given = _stickers(parameters)
    kind = KINDS.get(text_parameter(parameters, "sticker_type"))
    if kind is None:
        raise bad_request("Unsupported sticker type specified")
    default = text_parameter(parameters, "sticker_format")
    try:
        stickers = [input_sticker(call, one, kind, default) for one in given]
    except ValueError as error:
        raise bad_request(f"Can't parse InputSticker: {error}") from None
    title = text_parameter(parameters, "title").strip()[:LONGEST_TITLE]
    if not title:
        raise bad_request("Sticker set title can't be empty")
    name = text_parameter(parameters, "name").strip()
    if not name:
        raise bad_request("Sticker set name can't be empty")
    if not stickers:
        raise bad_request("At least 1 sticker must be specified")
    check_name(name, call.world.bot(call.bot_id)["username"])
    repainted = boolean_parameter(parameters, "needs_repainting") and kind == "custom_emoji"
    call.world.sticker_sets.create(StickerSet(name, title, kind, call.bot_id, repainted, stickers))
    return True


def _stickers(parameters: Mapping[str, Any]) -> list[Any]:
    given = given_json(parameters, "stickers", "stickers")
    if given is None:
        raise bad_request("There is no sticker file in the request")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of InputSticker")
    if len(given) > MOST_AT_ONCE:
        raise bad_request("Too many stickers specified")
    return given


@method("getStickerSet", acts=False)
def get_sticker_set(call: Call) -> Any:
    """A set, whichever bot has made it."""
    return call.world.sticker_sets.find(text_parameter(call.parameters, "name")).as_json(call.bot_id)


@method("getCustomEmojiStickers", acts=False)
def get_custom_emoji_stickers(call: Call) -> Any:
    """Custom emoji by their identifiers; those that nobody has made are left out."""
    given = json_of(call.parameters.get("custom_emoji_ids", ""), "custom emoji identifiers")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of custom emoji identifiers")
    for number in given:
        if not isinstance(number, str):
            raise bad_request("Custom emoji identifier must be of type String")
        if not number.lstrip("-").isdigit():
            raise bad_request("Invalid custom emoji identifier specified")
    if len(given) > MOST_CUSTOM_EMOJI:
        raise bad_request("Too many custom emoji identifiers specified")
    return call.world.sticker_sets.custom_emoji(given, call.bot_id)


def own_set(call: Call) -> StickerSet:
    """The set that the call names, one of the bot's. Raises Refusal."""
    name = text_parameter(call.parameters, "name")
    if not name:
        raise bad_request("Sticker set name can't be empty")
    return call.world.sticker_sets.own(name, call.bot_id)


def check_room(made: StickerSet) -> None:
    """Raises Refusal when no other sticker goes into the set."""
    if len(made.stickers) >= MOST_STICKERS[made.kind]:
        raise Refusal(400, "Bad Request: STICKERS_TOO_MUCH")


@method("setStickerSetTitle")
def set_sticker_set_title(call: Call) -> Any:
    """Another title."""
    title = text_parameter(call.parameters, "title").strip()[:LONGEST_TITLE]
    if not title:
        raise bad_request("Sticker set title can't be empty")
    own_set(call).title = title
    return True


@method("setStickerSetThumbnail")
def set_sticker_set_thumbnail(call: Call) -> Any:
    """Another small picture for the set; without a file, that of its first sticker again."""
    sticker_user(call)
    form = sticker_format(text_parameter(call.parameters, "format"), auto=True)
    value = call.parameters.get("thumbnail")
    upload = upload_of(value, call.uploads, name="thumbnail")
    made = own_set(call)
    if upload is None:
        made.thumbnail = None if not value else file_parameter("thumbnail", value, call.uploads, call.bot_id)
        return True
    if form == "auto":
        form = "static"
    if upload.size > LARGEST_THUMBNAIL[form]:
        raise bad_request("File is too big")
    if form == "static":
        try:
            sides = picture_size(upload)
        except Refusal:
            raise Refusal(400, "Bad Request: STICKER_THUMB_PNG_NOPNG") from None
        if sides != (CUSTOM_EMOJI_SIDE, CUSTOM_EMOJI_SIDE):
            raise Refusal(400, "Bad Request: STICKER_PNG_DIMENSIONS")
    made.thumbnail = file_parameter("thumbnail", value, call.uploads, call.bot_id, name="thumbnail")
    return True


@method("setCustomEmojiStickerSetThumbnail")
def set_custom_emoji_sticker_set_thumbnail(call: Call) -> Any:
    """One of a set's custom emoji stands for it; without an identifier, the first again."""
    made = own_set(call)
    if made.kind != "custom_emoji":
        raise Refusal(400, "Bad Request: STICKERSET_INVALID")
    wanted = text_parameter(call.parameters, "custom_emoji_id")
    if not wanted:
        made.thumbnail = None
        return True
    for sticker in made.stickers:
        if sticker.custom_emoji_id == wanted:
            made.thumbnail = sticker.file
            return True
    raise Refusal(400, "Bad Request: DOCUMENT_INVALID")


@method("deleteStickerSet")
def delete_sticker_set(call: Call) -> Any:
    """A set goes."""
    call.world.sticker_sets.delete(own_set(call))
    return True


def _supergroup(call: Call) -> dict[str, Any]:
    chat = call.chat()
    if chat["type"] != "supergroup":
        raise bad_request("method is available only for supergroups")
    return call.world.full(chat["id"])


@method("setChatStickerSet")
def set_chat_sticker_set(call: Call) -> Any:
    """The set of a supergroup; getChat tells it."""
    full = _supergroup(call)
    name = text_of(call.parameters.get("sticker_set_name", ""))
    full["sticker_set_name"] = call.world.sticker_sets.find(name).name
    return True


@method("deleteChatStickerSet")
def delete_chat_sticker_set(call: Call) -> Any:
    """A supergroup has none."""
    _supergroup(call).pop("sticker_set_name", None)
    return True
