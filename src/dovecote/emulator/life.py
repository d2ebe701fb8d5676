"""What goes on outside of the bots, for the Python API and the control API: people, what they do, what is in chats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.emulator.happenings import Happenings
from dovecote.emulator.inbox import LARGEST_BACKLOG
from dovecote.emulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.emulator.events import AnyEvent, Happened
    from dovecote.emulator.tokens import Tokens
    from dovecote.emulator.world import World


class Life:
    """`world` answers the world of now: a reset makes a new one."""

    def __init__(self, world: Callable[[], World], tokens: Tokens) -> None:
        self._world = world
        self._tokens = tokens

    def bot(self, given: int | None) -> int:
        """The bot that is meant; without a number the only one. Raises ValueError when there is none, or several."""
        if given is not None:
            return given
        known = self._tokens.bots()
        if len(known) != 1:
            there = ", ".join(map(str, known)) or "none yet"
            raise ValueError(f"bot: name the bot by its id; those that there are: {there}.")
        return known[0]

    def happen(self, event: AnyEvent) -> Happened:
        """Let somebody do something. Raises ValueError for what cannot be."""
        return Happenings(self._world(), self.bot).happen(event)

    def describe(self, number: int, **names: Any) -> dict[str, Any]:
        """Give a user, or a group or channel, names; answers it. Raises ValueError for a number that is none."""
        try:
            if number > 0:
                self._world().people.describe(number, **names)
                return self._world().people.user(number)
            return self._world().group(number, **names)
        except Refusal as refusal:
            raise ValueError(f"{number}: {refusal.description.removeprefix('Bad Request: ')}.") from None

    def give_stars(self, bot: int | None, amount: int) -> int:
        """Give a bot Stars; answers how many it has. Raises ValueError."""
        if amount <= 0:
            raise ValueError(f"amount {amount}: use 1 or more.")
        stars, number = self._world().gifts.stars, self.bot(bot)
        stars[number] += amount
        return stars[number]

    def messages(
        self, bot: int | None, chat: int | str, business: int | None = None, receiver: int | None = None
    ) -> list[dict[str, Any]]:
        """The messages of a chat as they are now; of a chat of somebody's business account; those that one alone sees.

        Raises ValueError.
        """
        try:
            if receiver is not None:
                return self._world().ephemerals.seen((self.bot(bot), self._world().chat(chat)["id"], receiver))
            viewer = self.bot(bot) if business is None else business
            return list(self._world().messages.of_chat(viewer, self._world().chat(chat)["id"]))
        except Refusal as refusal:
            raise ValueError(f"chat {chat}: {refusal.description.removeprefix('Bad Request: ')}.") from None

    def updates(self, bot: int | None) -> list[dict[str, Any]]:
        """The updates that wait for a bot. Raises ValueError."""
        return self._world().inboxes[self.bot(bot)].first(LARGEST_BACKLOG)

    def receive_file(
        self, bot_id: int, *, kind: str, content: bytes, size: int | None, name: str | None
    ) -> dict[str, Any]:
        """Let somebody send a file to a bot. Raises ValueError for what cannot be."""
        return self._world().downloads.receive(bot_id, kind=kind, content=content, size=size, name=name)
