"""What a notification says: its parameters as JSON, and what Telegram would certainly refuse in them. Pure.

The Bot API is open and grows, so nothing is refused here that a server might take: lengths are lower bounds wherever
markup makes the exact one uncertain. The one exception is MARKUP_LIMIT, far beyond what a message of 4096 needs.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from dovecote.model import Attachment, StoredFile
from dovecote.references import (
    ALBUM_KINDS,
    MARK,
    NAMED,
    SCHEME,
    SENDS,
    THUMBNAIL,
    Slot,
    is_reference,
    place_of,
    reference,
    slots,
)

TEXT_LIMIT: Final = 4096
CAPTION_LIMIT: Final = 1024
PARAMS_LIMIT: Final = 1024 * 1024
# Characters of a text together with its markup. Without a bound, a megabyte of signs is work for what shows nothing.
MARKUP_LIMIT: Final = 16 * TEXT_LIMIT
ALBUM: Final = range(2, 11)
DEEPEST: Final = 64
# In one call.
FILES: Final = 50
FILE_IDS: Final = range(1, 2**63)
NAME_LENGTH: Final = 255
INTEGERS: Final = range(-(2**63), 2**64)
# The characters that take two UTF-16 code units.
TWO_UNITS: Final = range(0x10000, 0x110000)

# What says its `text`, as Telegram writes it.
TEXTS: Final = {"sendmessage": "sendMessage", "editmessagetext": "editMessageText"}
# No file stands in any parameter of these, nor in a parameter of these names whatever the method is.
TEXTUAL: Final = frozenset({"sendmessage", "editmessagetext", "editmessagecaption", "editmessagereplymarkup"})
WORDS: Final = frozenset({"text", "caption", "parse_mode", "title", "performer"})
# Methods that take a caption and no text; names are compared in lower case, as Telegram does.
CAPTIONED: Final = frozenset(
    {
        "sendphoto",
        "senddocument",
        "sendvideo",
        "sendaudio",
        "sendvoice",
        "sendanimation",
        "sendpaidmedia",
        "sendmediagroup",
        "copymessage",
        "editmessagecaption",
    }
)

_TAG = re.compile(r"<[^>]*>")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});?")
# What certainly shows nothing: addresses of links, languages of code blocks, and the signs themselves. Nothing is
# given back once it is taken (`*+`), and an address that does not end runs to the end of the text, where it is told
# from one that does by its group: each character is looked at a bounded number of times, whatever the text.
_HIDDEN_BY_MARKDOWN = re.compile(r"\]\((?:[^)\\]++|\\.)*+(?P<end>\)?)|```[^\n`]*+\n|[\\*_~|`\[\]()>!]", re.DOTALL)
_HIDDEN_WITHOUT_ADDRESSES = re.compile(r"```[^\n`]*+\n|[\\*_~|`\[\]()>!]")


class Fault(Exception):
    """A field that cannot be, before it is known where in a sequence it stands. Not for callers."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlist = self.maxtuple = self.maxdict = 3
        self.maxlevel = 3


_SHORT = _Short()


def shown(value: object) -> str:
    """The value for an error message: short, and printable whatever it is."""
    try:
        return _SHORT.repr(value)
    except Exception:  # noqa: BLE001 (a repr is foreign code, and an error message must not fail)
        return f"a {type(value).__name__}"


def sound(value: str, field: str) -> str:
    """`value` itself, if a database can hold it; raises Fault."""
    if "\0" in value:
        raise Fault(field, f"{shown(value)} holds the character NUL, which no message can: remove it.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Fault(
                field,
                f"{shown(value)} holds half of a surrogate pair at {error.start}, so it is no text:"
                " decode it anew or remove that.",
            ) from None
    return value


def plain_params(params: object) -> dict[str, Any]:
    """`params` as JSON knows it, without what is None at the top, which means not given. Raises Fault."""
    if type(params) is dict and not params:
        return {}
    if not isinstance(params, Mapping):
        raise Fault(
            "params",
            f'{shown(params)} is no mapping: write the method\'s parameters as {{"disable_notification": True}}.',
        )
    members = _plain_members(params, ("params", None), DEEPEST)
    return {name: value for name, value in members.items() if value is not None}


# A place in the parameters: a name or a number, and the place that it is in. Written out only for an error.
_Place = tuple[Any, "_Place | None"]


def _field(place: _Place) -> str:
    step, outer = place
    if outer is None:
        return "params"
    return f'{_field(outer)}["{shown(step)[1:-1]}"]' if isinstance(step, str) else f"{_field(outer)}[{step}]"


def _plain_members(members: Mapping[Any, Any], place: _Place, depth: int) -> dict[str, Any]:
    answer = {}
    for name, value in members.items():
        if not isinstance(name, str):
            raise Fault(
                _field(place), f"{shown(name)} is no name: JSON has only text as names, write {shown(shown(name))}."
            )
        answer[_plain_text(name, place)] = _plain(value, (name, place), depth - 1)
    return answer


def _plain_text(value: str, place: _Place) -> str:
    plain = value if type(value) is str else str.__str__(value)
    if plain.startswith(SCHEME) and is_reference(plain):
        raise Fault(
            _field(place),
            f"{shown(plain)} is how the outbox names a stored file: pass an Attachment of that file, or give its id to"
            " `dovecote send --file` or `dovecote schedule add --file`.",
        )
    return plain if plain.isascii() and "\0" not in plain else sound(plain, _field(place))


def _plain(value: Any, place: _Place, depth: int) -> Any:
    if isinstance(value, str):
        return _plain_text(value, place)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _plain_number(value, place)
    if depth <= 0:
        raise Fault(_field(place), f"it is nested more than {DEEPEST} deep, or contains itself: flatten it.")
    if isinstance(value, (list, tuple)):
        return [_plain(item, (number, place), depth - 1) for number, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _plain_members(value, place, depth)
    return _reference(value, _field(place))


def _plain_number(value: float, place: _Place) -> float:
    if isinstance(value, int):
        number = int(value)  # A range looks through all of its numbers for what is no plain int.
        if number not in INTEGERS:
            raise Fault(_field(place), "the integer has more than 64 bits: write it as text if the method takes text.")
        return number
    if not math.isfinite(value):
        raise Fault(_field(place), f"{float(value)} is no number that JSON has: leave the parameter out.")
    return float(value)


def _reference(attachment: object, field: str) -> str:
    if not isinstance(attachment, Attachment):
        raise Fault(field, f"{shown(attachment)} cannot be written as JSON: {_remedy(attachment)}")
    stored = attachment.file
    # Whoever has no type checker may have put anything there.
    file: object = stored.id if isinstance(stored, StoredFile) else stored
    name: object = attachment.name
    if name is None and isinstance(stored, StoredFile):
        name = stored.name
    if type(file) is not int or file not in FILE_IDS:
        raise Fault(field, f"{shown(stored)} is no stored file: give what files.put answered, or its id.")
    if name is not None:
        if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH or not name.isprintable():
            raise Fault(
                field,
                f"{shown(name)} is no name of a file: give 1 to {NAME_LENGTH} characters that can be printed, such as"
                " invoice.pdf.",
            )
        sound(name, field)
    if type(attachment.cache) is not bool:
        raise Fault(field, f"cache is {shown(attachment.cache)}: give True or False.")
    return reference(Attachment(file, name=name, cache=attachment.cache), file)


def _remedy(value: object) -> str:
    if hasattr(value, "model_dump"):
        return 'pass its `model_dump(mode="json", exclude_none=True)`.'
    if hasattr(value, "to_dict"):
        return "pass its `to_dict()`."
    if hasattr(value, "timestamp") and hasattr(value, "utcoffset"):
        return "pass `int(value.timestamp())`, Telegram's way to write an instant."
    if isinstance(value, (bytes, bytearray, memoryview)) or hasattr(value, "read"):
        return "an upload cannot wait in the outbox; put it with files.put and pass an Attachment of that file."
    if isinstance(value, (set, frozenset)):
        return "pass a list."
    return "pass text, a number, True or False, or lists and dicts of these."


def params_json(params: dict[str, Any]) -> str:
    """The plain `params` as JSON text; raises Fault for more than Telegram takes in one call."""
    written = orjson.dumps(params)
    if len(written) > PARAMS_LIMIT:
        raise Fault("params", f"they are {len(written)} bytes of JSON, and Telegram takes {PARAMS_LIMIT} in one call.")
    return written.decode()


def weigh(method: str, params: dict[str, Any], text_field: str) -> int:
    """How many messages it makes, once nothing in it is certain to be refused. Raises Fault.

    `method` is in lower case; `text_field` is what the caller calls `params["text"]`.
    """
    text = params.get("text")
    if method in TEXTS and (text is not None or method == "sendmessage"):
        if not isinstance(text, str):
            raise Fault("text", f"{shown(text)} is no text, and {TEXTS[method]} is nothing without it: give text=...")
        _check_length(text, params.get("parse_mode"), text_field, TEXT_LIMIT)
        if not rendered(text, params.get("parse_mode")).strip():
            raise Fault(
                text_field, f"{shown(text)} shows nothing, and Telegram refuses an empty message: write a text."
            )
    elif text is not None and method in CAPTIONED:
        raise Fault(text_field, f'{shown(text)}: {method} has a caption and no text: write params={{"caption": ...}}.')
    _check_caption(params, 'params["caption"]')
    return _album_size(params) if method == "sendmediagroup" else 1


def _album_size(params: dict[str, Any]) -> int:
    field, media = 'params["media"]', params.get("media")
    if isinstance(media, str):  # The Bot API takes a list as JSON text as well.
        try:
            media = orjson.loads(media)
        except orjson.JSONDecodeError:
            raise Fault(field, f"{shown(media)} is neither a list nor JSON text of one.") from None
    if not isinstance(media, list) or len(media) not in ALBUM:
        what = f"{len(media)} items" if isinstance(media, list) else shown(media)
        raise Fault(field, f"{what}: an album is a list of 2 to 10 items.")
    kinds: set[str] = set()
    for place, item in enumerate(media):
        if isinstance(item, dict):
            kinds.add(str(item.get("type")))
            _check_caption(item, f'{field}[{place}]["caption"]')
    for kind in ("audio", "document"):
        if kind in kinds and len(kinds) > 1:
            others = " and ".join(shown(other)[1:-1] for other in sorted(kinds - {kind}))
            raise Fault(field, f"an album of {kind}s holds nothing else, and this one holds {others}: send two albums.")
    return len(media)


def attached(method: str, params: dict[str, Any], written: str) -> list[Slot]:
    """The stored files that stand in the plain `params`, whose JSON text is `written`. Raises Fault.

    A file has to stand where the method takes one, and a thumbnail beside a file that has one.
    """
    if MARK not in written:
        return []
    found = slots(method, params)
    if len(found) > FILES:
        raise Fault("params", f"they hold {len(found)} files, and Telegram takes {FILES} in one call: send fewer.")
    for slot in found:
        _check_place(slot, method)
    return found


def _check_place(slot: Slot, method: str) -> None:
    own = SENDS.get(method.lower())
    if method.lower() in TEXTUAL or slot.member in WORDS:
        raise Fault(
            place_of(slot.field),
            "a text stands here and no file, and what would be read is how the outbox names it: send it as a photo or a"
            " document, with sendPhoto or sendDocument.",
        )
    if own is not None and slot.kind is None and slot.beside.get(own) is None:
        raise Fault(place_of(slot.field), f"{method} sends a {own}: give the file as {own}.")
    if slot.kind == THUMBNAIL:
        beside = own or slot.beside.get("type")
        if beside in SENDS.values() and beside not in NAMED:
            raise Fault(place_of(slot.field), f"a {beside} has no thumbnail of one's own: leave it out.")
    if method.lower() == "sendmediagroup" and slot.member == "media" and slot.beside.get("type") not in ALBUM_KINDS:
        raise Fault(
            place_of(slot.field),
            f"{shown(slot.beside.get('type'))} is no type of an album's item: write photo, video, audio or document.",
        )


def _check_caption(params: dict[str, Any], field: str) -> None:
    caption = params.get("caption")
    if isinstance(caption, str):
        _check_length(caption, params.get("parse_mode"), field, CAPTION_LIMIT)


def _check_length(text: str, parse_mode: object, field: str, limit: int) -> None:
    if len(text) * 2 <= limit:
        return
    if parse_mode and len(text) > MARKUP_LIMIT:
        raise Fault(
            field,
            f"{shown(text)} has {len(text)} characters with its markup, and at most {MARKUP_LIMIT} are looked at:"
            " shorten it or send it in parts.",
        )
    length = len(rendered(text, parse_mode).strip().encode("utf-16-le")) // 2
    if length > limit:
        raise Fault(
            field,
            f"{shown(text)} is {length} UTF-16 code units long, and Telegram takes {limit}:"
            " shorten it or send it in parts.",
        )


def rendered(text: str, parse_mode: object) -> str:
    """The text that is shown, or less of it where markup leaves that uncertain."""
    match parse_mode.lower() if isinstance(parse_mode, str) else None:
        case None | "":
            return text
        case "html":
            # After the last > no tag ends, and looking for one from each < would take the square of the length.
            tagged, end, rest = text.rpartition(">")
            return _ENTITY.sub(_character, _TAG.sub("", tagged + end) + rest)
        case "markdown" | "markdownv2":
            return _HIDDEN_BY_MARKDOWN.sub(_shown_by_markdown, text)
        case _:  # A mode of a newer API: it alone knows.
            return text[:1]


def _shown_by_markdown(hidden: re.Match[str]) -> str:
    """Nothing, but for an address without an end, which is none: what is behind it is shown, its signs apart.

    Where one does not end, no later one does, so that rest need not be searched for addresses again.
    """
    return _HIDDEN_WITHOUT_ADDRESSES.sub("", hidden[0]) if hidden["end"] == "" else ""


def _character(entity: re.Match[str]) -> str:
    """One character for an entity; which one matters only for the length in UTF-16."""
    digits = entity[0].rstrip(";")[1:]
    if not digits.startswith("#"):
        return "&"
    code = int(f"0{digits[1:]}", 16) if digits[1] in "xX" else int(digits[1:])
    return "\U0001f600" if code in TWO_UNITS else "&"
