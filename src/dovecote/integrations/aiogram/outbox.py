"""From aiogram's method objects to the outbox, and from its messages to the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.methods import TelegramMethod

from dovecote.content import shown
from dovecote.errors import InvalidNotification
from dovecote.integrations.bots.incoming import keep_file
from dovecote.integrations.bots.outgoing import Call, Upload, notification_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import Unpack

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
        self._paper = _Paper()
        self._nobody = Bot("1:nobody", session=self._paper)  # no token, and never sent

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
        client = self._client or method.bot or self._nobody
        params, files = self._paper.written(method, client)
        # Only a file that is fetched from a URL makes use of the client.
        uploads = {name: Upload(file.read(client), file.filename) for name, file in files.items()}
        call = Call(method.__api_method__, params, uploads)
        return await notification_of(self._dovecote, self._bot, call, delivery)


class _Paper(BaseSession):
    """A session that sends nothing: it has of aiogram's what writes the parameters of a method down.

    aiogram's own `deserialize_telegram_object` makes a bot with a TLS context for each call, which takes 0.1 s.
    """

    def written(self, method: TelegramMethod[Any], client: Bot) -> tuple[dict[str, Any], dict[str, InputFile]]:
        """The parameters with the client's defaults, and the files that they name as `attach://...`."""
        files: dict[str, InputFile] = {}
        members = method.model_dump(warnings=False)
        return self.prepare_value(members, bot=client, files=files, _dumps_json=False), files

    async def close(self) -> None:
        """Nothing to close."""

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:
        del bot, timeout
        raise InvalidNotification("method", f"{method.__api_method__} is written down here, and sent by nobody.")

    async def stream_content(self, url: str, *_settings: Any, **_named: Any) -> AsyncGenerator[bytes, None]:
        raise InvalidNotification("file", f"{url} is fetched by a bot of aiogram's: give Outbox(..., client=bot).")
        yield b""


async def keep(
    message: Message, dovecote: Dovecote, bot: str, *, name: str | None = None, max_size: int | None = None
) -> StoredFile:
    """Store the file of a message: a photo in its largest size, a document, a film, music, a voice message and so on.

    Its name is the sender's unless one is given. It is kept until it is deleted. Raises ValueError for a message
    without a file, FileTooLarge beyond `max_size` bytes, and what `Files.fetch` raises.
    """
    return await keep_file(message, dovecote, bot, name=name, max_size=max_size)
