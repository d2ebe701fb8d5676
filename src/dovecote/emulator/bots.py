"""What bots say of themselves: commands, names, descriptions, menu buttons, rights that they suggest."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


class Bots:
    """By the bot's id, and whatever else a setting is kept for: a language, a scope of chats, a chat."""

    def __init__(self) -> None:
        self.commands: dict[tuple[int, str, str], list[dict[str, Any]]] = {}
        self.texts: dict[tuple[int, str, str], str] = {}
        self.menu_buttons: dict[tuple[int, int], dict[str, Any]] = {}
        self.rights: dict[tuple[int, bool], dict[str, bool]] = {}
        self.photos: defaultdict[int, list[list[dict[str, Any]]]] = defaultdict(list)

    def text(self, bot_id: int, name: str, language: str) -> str | None:
        """A text in that language, or the one for all others."""
        return self.texts.get((bot_id, name, language)) or self.texts.get((bot_id, name, ""))
