"""The Bot API's methods, a table: importing a module of this package adds its methods to the registry."""

from dovecote.emulator.methods import (
    asking,
    chats,
    copying,
    editing,
    media,
    members,
    paying,
    pinning,
    polls,
    replacing,
    sending,
    settings,
    sticker_changes,
    stickers,
    updates,
)
from dovecote.emulator.methods.registry import METHODS, Call, Method, method

__all__ = [
    "METHODS",
    "Call",
    "Method",
    "asking",
    "chats",
    "copying",
    "editing",
    "media",
    "members",
    "method",
    "paying",
    "pinning",
    "polls",
    "replacing",
    "sending",
    "settings",
    "sticker_changes",
    "stickers",
    "updates",
]
