"""The Bot API's methods, a table: importing a module of this package adds its methods to the registry."""

from dovecote.emulator.methods import asking, copying, editing, media, polls, sending, updates
from dovecote.emulator.methods.registry import METHODS, Call, Method, method

__all__ = [
    "METHODS",
    "Call",
    "Method",
    "asking",
    "copying",
    "editing",
    "media",
    "method",
    "polls",
    "sending",
    "updates",
]
