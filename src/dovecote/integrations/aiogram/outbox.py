"""From aiogram's method objects to the outbox, and from its messages to the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiogram.methods import TelegramMethod
from aiogram.utils.serialization import deserialize_telegram_object

from dovecote.content import shown
from dovecote.errors import InvalidNotification
from dovecote.integrations.bots.incoming import keep_file
from dovecote.integrations.bots.outgoing import Call, Upload, notification_of

if TYPE_CHECKING:
    from typing import Unpack

    from aiogram import Bot
    from aiogram.types import InputFile, Message

    from dovecote.app import Dovecote
    from dovecote.methods import Delivery
    from dovecote.model import Notification, StoredFile


class Outbox:
    """Puts what aiogram would send into the outbox, as the bot of that name.

    `client` is aiogram's bot, whose default properties (parse mode, link previews and so on) fill in what a method
    leaves out; without it they are those of the bot that the method is bound to, as `message.answer(...)` is.
    """

    def __init__(self, dovecote: Dovecote, bot: str, *, client: Bot | None = None) -> None:
        self._dovecote = dovecote
        self._bot = bot
        self._client = client

    async def enqueue(self, connection: Any, method: TelegramMethod[Any], **delivery: Unpack[Delivery]) -> int:
        """Write it in the transaction of `connection`, and answer the notification's id. See `Dovecote.enqueue`.

        `delivery` is a key, a priority, a time and so on, as in `Notification`. Raises InvalidNotification for what is
        no method object of aiogram's, and what `notification` and `Dovecote.enqueue` raise.
        """
        return await self._dovecote.enqueue(connection, await self.notification(method, **delivery))

    async def notification(self, method: TelegramMethod[Any], **delivery: Unpack[Delivery]) -> Notification:
        """The notification that makes the same call, for `Dovecote.enqueue` or a `Schedule`.

        Files are read and stored here, in transactions of their own: FSInputFile, BufferedInputFile, URLInputFile, and
        any other. One that no notification comes to need is collected after a while. Raises what `Files.put` raises.
        """
        if not isinstance(method, TelegramMethod):
            raise InvalidNotification(
                "method",
                f"{shown(method)} is no method object of aiogram's: pass SendMessage(...) or message.answer(...),"
                " without await.",
            )
        client = self._client or method.bot
        plain = deserialize_telegram_object(
            method, default=None if client is None else client.default, include_api_method_name=False
        )
        uploads = {name: _upload(file, client) for name, file in plain.files.items()}
        call = Call(method.__api_method__, plain.data, uploads)
        return await notification_of(self._dovecote, self._bot, call, delivery)


def _upload(file: InputFile, client: Bot | None) -> Upload:
    # Only a file that is fetched from a URL asks for a client, and it says so by itself.
    return Upload(file.read(client), file.filename)  # type: ignore[arg-type]


async def keep(
    message: Message, dovecote: Dovecote, bot: str, *, name: str | None = None, max_size: int | None = None
) -> StoredFile:
    """Store the file of a message: a photo in its largest size, a document, a film, music, a voice message and so on.

    Its name is the sender's unless one is given. It is kept until it is deleted. Raises ValueError for a message
    without a file, FileTooLarge beyond `max_size` bytes, and what `Files.fetch` raises.
    """
    return await keep_file(message, dovecote, bot, name=name, max_size=max_size)
