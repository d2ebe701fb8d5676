"""Sticker sets: what bots have made of the stickers that they uploaded.

A sticker is known by its content, as a file_id says it: so each bot that looks at a set gets file_ids of its own. There
are no sets but those that bots make here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import image_size
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from dovecote.emulator.files import File
    from dovecote.emulator.multipart import Upload

FIRST_CUSTOM_EMOJI: Final = 5 * 10**18
STICKER_SIDE: Final = 512
CUSTOM_EMOJI_SIDE: Final = 100
LARGEST: Final = {"static": 512 * 1024, "animated": 64 * 1024, "video": 256 * 1024}
MOST_STICKERS: Final = {"regular": 120, "mask": 120, "custom_emoji": 200}

_GZIP: Final = b"\x1f\x8b"
_WEBM: Final = b"\x1a\x45\xdf\xa3"
_NAME: Final = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
_LONGEST_NAME: Final = 64
_KEYCAP: Final = re.compile(r"[0-9#*]\ufe0f?\u20e3")
_JOINED: Final = frozenset({"\u200d", "\ufe0f"})
_EMOJI_PLANES: Final = range(0x1F000, 0x1FB00)
_TAGS: Final = range(0xE0020, 0xE0080)


@dataclass(frozen=True, slots=True)
class Sticker:
    """A sticker of a set. `format` is static, animated or video."""

    file: File
    format: str
    emoji: tuple[str, ...]
    mask_position: dict[str, Any] | None = None
    custom_emoji_id: str | None = None


@dataclass(slots=True)
class StickerSet:
    """A set, in the order in which it is shown. `kind` is regular, mask or custom_emoji; `bot` has made it."""

    name: str
    title: str
    kind: str
    bot: int
    needs_repainting: bool = False
    stickers: list[Sticker] = field(default_factory=list)
    thumbnail: File | None = None

    def sticker_json(self, sticker: Sticker, bot_id: int) -> dict[str, Any]:
        """A sticker of it, as that bot sees it."""
        described = sticker_fields(sticker.file, sticker.format, self.kind, bot_id)
        described |= {"emoji": sticker.emoji[0], "set_name": self.name}
        if sticker.mask_position is not None:
            described["mask_position"] = sticker.mask_position
        if sticker.custom_emoji_id is not None:
            described["custom_emoji_id"] = sticker.custom_emoji_id
            if self.needs_repainting:
                described["needs_repainting"] = True
        return described

    def as_json(self, bot_id: int) -> dict[str, Any]:
        """The set, as that bot sees it."""
        thumbnail: dict[str, Any] = {}
        if self.thumbnail is not None:
            sides = {"width": CUSTOM_EMOJI_SIDE, "height": CUSTOM_EMOJI_SIDE}
            thumbnail = {"thumbnail": self.thumbnail.fields(bot_id) | sides}
        return {
            "name": self.name,
            "title": self.title,
            "sticker_type": self.kind,
            "stickers": [self.sticker_json(sticker, bot_id) for sticker in self.stickers],
            **thumbnail,
        }


def sticker_fields(file: File, form: str, kind: str, bot_id: int) -> dict[str, Any]:
    """The members that every sticker has. Sizes nobody told are the usual ones."""
    side = CUSTOM_EMOJI_SIDE if kind == "custom_emoji" else STICKER_SIDE
    return file.fields(bot_id) | {
        "type": kind,
        "width": file.width or side,
        "height": file.height or side,
        "is_animated": form == "animated",
        "is_video": form == "video",
    }


class StickerSets:
    """The sets by name, whose letters may be large or small, and where each sticker is."""

    def __init__(self) -> None:
        self._sets: dict[str, StickerSet] = {}
        self._formats: dict[bytes, str] = {}
        self._custom_emoji = FIRST_CUSTOM_EMOJI

    def find(self, name: str) -> StickerSet:
        """The set. Raises Refusal when there is none."""
        found = self._sets.get(name.strip().lower())
        if found is None:
            raise Refusal(400, "Bad Request: STICKERSET_INVALID")
        return found

    def own(self, name: str, bot_id: int) -> StickerSet:
        """The set, one that the bot has made. Raises Refusal."""
        found = self.find(name)
        if found.bot != bot_id:
            raise Refusal(400, "Bad Request: STICKERSET_INVALID")
        return found

    def create(self, made: StickerSet) -> None:
        """Add a set. Raises Refusal when its name is taken."""
        if made.name.lower() in self._sets:
            raise bad_request("sticker set name is already occupied")
        self._sets[made.name.lower()] = made

    def delete(self, made: StickerSet) -> None:
        """Drop a set."""
        del self._sets[made.name.lower()]

    def numbered(self, sticker: Sticker, kind: str) -> Sticker:
        """The sticker with an identifier of its own, if it is a custom emoji."""
        if kind != "custom_emoji":
            return sticker
        self._custom_emoji += 1
        return replace(sticker, custom_emoji_id=str(self._custom_emoji))

    def note_format(self, digest: bytes, form: str) -> None:
        """Remember of what format an uploaded sticker is."""
        self._formats[digest] = form

    def format_of(self, digest: bytes) -> str:
        """Of what format a sticker was when it was uploaded; static when nobody knows."""
        return self._formats.get(digest, "static")

    def place(self, digest: bytes, bot_id: int | None = None) -> tuple[StickerSet, int] | None:
        """The set that a sticker is in and its place there; with a bot, among the sets of that one."""
        for one in self._sets.values():
            if bot_id in {None, one.bot}:
                for index, sticker in enumerate(one.stickers):
                    if sticker.file.digest == digest:
                        return one, index
        return None

    def described(self, digest: bytes, bot_id: int) -> dict[str, Any]:
        """What a message tells of a sticker because of the set that it is in."""
        found = self.place(digest)
        if found is None:
            return {}
        owner, index = found
        told = owner.sticker_json(owner.stickers[index], bot_id)
        return {name: value for name, value in told.items() if not name.startswith("file_")}

    def custom_emoji(self, wanted: list[str], bot_id: int) -> list[dict[str, Any]]:
        """Those of the custom emoji that there are, in the order asked for."""
        known = {
            sticker.custom_emoji_id: (one, sticker)
            for one in self._sets.values()
            for sticker in one.stickers
            if sticker.custom_emoji_id is not None
        }
        found = [known[number] for number in wanted if number in known]
        return [one.sticker_json(sticker, bot_id) for one, sticker in found]


def check_name(name: str, username: str) -> None:
    """Raises Refusal for a name that a set of the bot with that username cannot have."""
    ending = f"_by_{username}".lower()
    if not (_NAME.fullmatch(name) and len(name) <= _LONGEST_NAME and name.lower().endswith(ending)):
        raise bad_request("invalid sticker set name is specified")


def is_emoji(text: str) -> bool:
    """Whether a text is one emoji, as far as Unicode's classes tell: no letter, no figure of its own."""
    if _KEYCAP.fullmatch(text):
        return True
    return bool(text) and all(map(_may_be_in_emoji, text)) and not _JOINED.issuperset(text)


def _may_be_in_emoji(letter: str) -> bool:
    code = ord(letter)
    return letter in _JOINED or code in _EMOJI_PLANES or code in _TAGS or unicodedata.category(letter) in {"So", "Sk"}


def check_upload(upload: Upload, form: str, kind: str | None) -> str:
    """The format of an uploaded sticker; `form` auto finds it. Raises Refusal for what is no sticker of that format.

    `kind` is the set's, whose stickers have sizes; None: it is known later.
    """
    if form == "auto":
        form = {_GZIP: "animated", _WEBM[:2]: "video"}.get(upload.head[:2], "static")
    if upload.size > LARGEST[form]:
        raise bad_request("File is too big")
    match form:
        case "animated":
            if not upload.head.startswith(_GZIP):
                raise Refusal(400, "Bad Request: STICKER_TGS_NOTGS")
        case "video":
            if not upload.head.startswith(_WEBM):
                raise Refusal(400, "Bad Request: STICKER_VIDEO_NOWEBM")
        case _:
            _check_picture(upload, kind)
    return form


def picture_size(upload: Upload) -> tuple[int, int]:
    """Width and height of an uploaded PNG or WebP. Raises Refusal for anything else."""
    if not upload.head.startswith((b"\x89PNG", b"RIFF")):
        raise Refusal(400, "Bad Request: STICKER_PNG_NOPNG")
    try:
        return image_size(upload.head)
    except Refusal:
        raise Refusal(400, "Bad Request: STICKER_PNG_NOPNG") from None


def _check_picture(upload: Upload, kind: str | None) -> None:
    width, height = picture_size(upload)
    fits = max(width, height) == STICKER_SIDE
    if kind == "custom_emoji" or (kind is None and not fits):
        fits = width == height == CUSTOM_EMOJI_SIDE
    if not fits:
        raise Refusal(400, "Bad Request: STICKER_PNG_DIMENSIONS")
