"""The one normaliser that stands before every backend, so that they all take the same keys and refuse the same ones.

A key is a relative path of names with slashes between them, such as `invoices/2026/17.pdf`. Stores differ in what they
make of odd ones: `..` is refused by one and stored by another, a folder cannot hold names that are longer than 255
bytes or that differ in case alone. What any of them could lose, confuse or let out of its folder is refused here:

- empty keys and empty names, so `/absolute`, `folder/` and `a//b` as well; `.` and `..`;
- backslashes, NUL, control characters, line separators, what is no Unicode text or no character;
- names that Windows reserves (`CON`, `nul.txt`, ...) or changes (a dot or a space at the end);
- names over 255 bytes and keys over 900 bytes of UTF-8; S3 takes 1024 with the prefix;
- names that begin with `.dovecote-`, which the stores need for themselves.

Two spellings of one text, as `é` in one code point or in two, are one key: NFC is what is stored. Keys that differ in
case alone are two keys; a folder on a file system that cannot hold both refuses the second (see local.py). A key that
is the folder of another, `a` beside `a/b`, is refused by whatever cannot hold both, and never harms the other.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from dovecote.errors import InvalidKey

LONGEST_KEY: Final = 900
LONGEST_NAME: Final = 255
RESERVED: Final = ".dovecote-"

_DEVICES = r"CON|PRN|AUX|NUL|CLOCK\$|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]"
_DEVICE = re.compile(rf"(?:{_DEVICES})\s*(?:\.|$)", re.IGNORECASE)
_CONTROLS = {"Cc": "a control character", "Zl": "a line separator", "Zp": "a paragraph separator"}
_NO_CHARACTERS = frozenset(range(0xFDD0, 0xFDF0)) | {
    plane << 16 | last for plane in range(17) for last in (0xFFFE, 0xFFFF)
}
_SHOWN = 80


def normalised(key: str) -> str:
    """The key as every backend has it. Raises InvalidKey with the rule that it breaks."""
    if not isinstance(key, str):
        raise InvalidKey(f"a key is text, and this is {type(key).__name__}.")
    if not key:
        raise InvalidKey("a key cannot be empty.")
    # Judged by its characters first: text that is no Unicode has no normal form.
    if not key.isascii() or not key.isprintable():
        _refuse_characters(key)
        key = unicodedata.normalize("NFC", key)
    if "\\" in key:
        raise _invalid(key, "it has a backslash, which some systems take for a slash; names are separated by /")
    if len(key.encode()) > LONGEST_KEY:
        raise _invalid(key, f"it has {len(key.encode())} bytes in UTF-8, and {LONGEST_KEY} is the most")
    for name in key.split("/"):
        _refuse_name(key, name)
    if key.startswith(RESERVED):
        raise _invalid(key, f"names that begin with {RESERVED} are the storage's own")
    return key


def normalised_prefix(prefix: str) -> str:
    """What keys may begin with: a folder that a key could have, then the beginning of a name. Raises InvalidKey."""
    folder, slash, _ = prefix.rpartition("/")
    if slash:
        normalised(folder)
    _refuse_characters(prefix)
    return unicodedata.normalize("NFC", prefix)


def is_key(text: str) -> bool:
    """Whether `text` is a key as it stands."""
    try:
        return normalised(text) == text
    except InvalidKey:
        return False


def shown(key: str) -> str:
    """A key for an error message: quoted, escaped, and not longer than a line."""
    text = ascii(key) if any(not letter.isprintable() for letter in key) else f'"{key}"'
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _refuse_characters(key: str) -> None:
    for letter in key:
        category = unicodedata.category(letter)
        if category == "Cs":
            raise _invalid(key, f"it is not valid UTF-8: U+{ord(letter):04X} stands for a byte that is no text")
        if category in _CONTROLS:
            what = "a NUL" if letter == "\0" else _CONTROLS[category]
            raise _invalid(key, f"it has {what} (U+{ord(letter):04X})")
        if ord(letter) in _NO_CHARACTERS:
            raise _invalid(key, f"U+{ord(letter):04X} in it is no character")


def _refuse_name(key: str, name: str) -> None:
    if not name:
        where = (
            "it begins with a slash: keys are relative"
            if key.startswith("/")
            else "it ends with a slash: a folder is no key"
            if key.endswith("/")
            else "there is no name between two of its slashes"
        )
        raise _invalid(key, where)
    if name in {".", ".."}:
        raise _invalid(key, f'a name in it is "{name}", which leads elsewhere')
    if len(name.encode()) > LONGEST_NAME:
        raise _invalid(
            key, f"a name in it has {len(name.encode())} bytes in UTF-8, and {LONGEST_NAME} is the most for a file"
        )
    if name[-1] in ". ":
        what = "a dot" if name[-1] == "." else "a space"
        raise _invalid(key, f"a name in it ends with {what}, which Windows takes away")
    if _DEVICE.match(name):
        raise _invalid(key, f"{shown(name)} in it is a device on Windows")


def _invalid(key: str, why: str) -> InvalidKey:
    return InvalidKey(f"the key {shown(key)} cannot be: {why}.")
