"""From the calls of python-telegram-bot to the outbox, and from its messages to the files.

This library has no object for a call that is not made yet. So the call is made, on a bot whose requests end on paper:
it fills in defaults, keyboards and files as the real one does, and what it would have sent is the notification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telegram.error import TelegramError
from telegram.ext import ExtBot
from telegram.request import BaseRequest, RequestData

from dovecote.content import shown
from dovecote.errors import InvalidNotification
from dovecote.integrations.bots.incoming import keep_file
from dovecote.integrations.bots.outgoing import Call, Upload, notification_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Unpack

    from telegram import Bot, Message

    from dovecote.app import Dovecote
    from dovecote.methods import Delivery
    from dovecote.model import Notification, StoredFile


class Outbox:
    """Puts what python-telegram-bot would send into the outbox, as the bot of that name.

    `client` is the application's bot, whose `Defaults` fill in what a call leaves out.
    """

    def __init__(self, dovecote: Dovecote, bot: str, *, client: Bot | None = None) -> None:
        self._dovecote = dovecote
        self._bot = bot
        paper = _Paper()
        self._writer: ExtBot[None] = ExtBot(
            "outbox",  # no token, and never sent
            request=paper,
            get_updates_request=paper,
            defaults=client.defaults if isinstance(client, ExtBot) else None,
        )

    async def enqueue(
        self, connection: Any, call: Callable[[ExtBot[None]], Awaitable[object]], **delivery: Unpack[Delivery]
    ) -> int:
        """Write the call in the transaction of `connection`, and answer the notification's id. See `Dovecote.enqueue`.

        `call` is as `lambda bot: bot.send_photo(42, picture, caption="...")`: one call of the bot that it is given.
        `delivery` is a key, a priority, a time and so on, as in `Notification`. Raises what `notification` and
        `Dovecote.enqueue` raise.
        """
        return await self._dovecote.enqueue(connection, await self.notification(call, **delivery))

    async def notification(
        self, call: Callable[[ExtBot[None]], Awaitable[object]], **delivery: Unpack[Delivery]
    ) -> Notification:
        """The notification that makes the same call, for `Dovecote.enqueue` or a `Schedule`.

        Files are read and stored here, in transactions of their own. One that no notification comes to need is
        collected after a while. Raises InvalidNotification where `call` makes no call, and what `Files.put` raises.
        """
        try:
            answer = await call(self._writer)
        except _Written as written:
            return await notification_of(self._dovecote, self._bot, written.call, delivery)
        raise InvalidNotification(
            "call", f"it answered {shown(answer)} and sent nothing: call a method of the bot that it is given."
        )


class _Written(TelegramError):
    """The request that a call has come to: this library lets an error of its own kind through as it is."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        super().__init__("this call was written and not sent")
        self.call = call


class _Paper(BaseRequest):
    """Where requests end as what they are."""

    __slots__ = ()

    @property
    def read_timeout(self) -> float | None:
        return None

    async def initialize(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to close."""

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *_timeouts: Any, **_named: Any
    ) -> tuple[int, bytes]:
        del method
        data = RequestData() if request_data is None else request_data
        uploads = {part: Upload(content, name) for part, (name, content, _) in data.multipart_data.items()}
        raise _Written(Call(url.rpartition("/")[2], data.parameters, uploads))


async def keep(
    message: Message, dovecote: Dovecote, bot: str, *, name: str | None = None, max_size: int | None = None
) -> StoredFile:
    """Store the file of a message: a photo in its largest size, a document, a film, music, a voice message and so on.

    Its name is the sender's unless one is given. It is kept until it is deleted. Raises ValueError for a message
    without a file, FileTooLarge beyond `max_size` bytes, and what `Files.fetch` raises.
    """
    return await keep_file(message, dovecote, bot, name=name, max_size=max_size)
