"""What goes wrong next: Telegram's refusals and broken connections, as one line of a test each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovecote.emulator import Answer, Match, Recipient, Rule

if TYPE_CHECKING:
    from dovecote.emulator import Emulator


class Faults:
    """`chat` limits one to a chat, as the bot writes it; without it the next request of any bot meets it.

    `times` is how many requests meet it. For anything else there is the emulator's own script.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def too_many_requests(self, *, retry_after: int = 1, chat: int | str | None = None, times: int = 1) -> None:
        """Answer 429: the bot is told to wait for `retry_after` seconds. Nothing is sent, no attempt is spent."""
        answer = Answer.error(429, f"Too Many Requests: retry after {retry_after}", retry_after=retry_after)
        self._script(answer, chat, times)

    def refused(
        self,
        *,
        code: int = 403,
        description: str = "Forbidden: bot was blocked by the user",
        chat: int | str | None = None,
        times: int = 1,
    ) -> None:
        """Answer with an error in Telegram's words; by default, that the recipient has blocked the bot."""
        self._script(Answer.error(code, description), chat, times)

    def answer_lost(self, *, chat: int | str | None = None, times: int = 1) -> None:
        """Accept the message and lose the answer: it was sent, and the bot cannot know."""
        self._script(Answer(mode="drop"), chat, times)

    def server_error(self, *, chat: int | str | None = None, times: int = 1) -> None:
        """Answer 502 with a page of a server in front of Telegram's; nothing is sent."""
        self._script(Answer.bad_gateway(), chat, times)

    def blocked(self, chat: int | str) -> None:
        """Let the recipient have blocked the bot, until `reachable`."""
        self._emulator.recipients(Recipient(chat, "blocked"))

    def reachable(self, chat: int | str) -> None:
        """Let the recipient take messages again."""
        self._emulator.recipients(Recipient(chat, None))

    def _script(self, answer: Answer, chat: int | str | None, times: int) -> None:
        self._emulator.script(Rule(answer, Match(chat_id=chat), times=times))
