"""Stored files in what is enqueued: written with it in one transaction, checked before anything is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import START

from dovecote import methods
from dovecote.errors import FileTooLarge, InvalidNotification, UnknownFile
from dovecote.model import Attachment, Notification, StoredFile
from dovecote.stores import enqueue_batch

if TYPE_CHECKING:
    from applications import Application
    from outboxes import Outbox
    from sqlalchemy import Connection

    from dovecote.stores.enqueue import Enqueuer

MEGABYTE = 1024 * 1024
KINDS = (
    *("postgresql-asyncpg", "postgresql-AsyncSession-asyncpg", "postgresql-psycopg", "postgresql-Session-psycopg"),
    *("postgresql-Django", "sqlite-sqlite3", "sqlite-AsyncSession-aiosqlite", "sqlite-aiosqlite", "sqlite-Django"),
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of connection: one for each driver, since the statements are the same over all kinds."""
    name: str = request.param
    return name


async def put(outbox: Outbox, *ids: int, size: int = 1000, content_type: str = "image/png") -> None:
    """Rows of files, as a put leaves them."""
    rows = [
        {
            "id": id_,
            "sha256": f"{id_:064x}",
            "size": size,
            "content_type": content_type,
            "created_at": START,
            "needed_at": START,
            "kept": False,
        }
        for id_ in ids
    ]
    file = outbox.database.tables.files.file
    await outbox.database.run(lambda connection: connection.execute(file.insert(), rows), write=True)


async def attachments(outbox: Outbox) -> list[tuple[Any, ...]]:
    """Notification, position, file, field."""
    table = outbox.database.tables.files.attachment

    def read(connection: Connection) -> list[tuple[Any, ...]]:
        rows = connection.execute(table.select().order_by(*table.primary_key))
        return [(row.notification_id, row.position, row.file_id, row.field) for row in rows]

    return await outbox.database.run(read)


def photo(file: int = 1, chat: int = 7, **named: Any) -> Notification:
    return methods.photo("shop", chat, Attachment(file), **named)


def album(*files: int, **named: Any) -> Notification:
    return methods.album("shop", 7, [{"type": "photo", "media": Attachment(file)} for file in files], **named)


class TestWriting:
    async def test_the_reference_and_the_attachment_are_written_together(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        await put(outbox, 1, 2)

        one, two, text = await enqueuer.enqueue(
            application.connection,
            [photo(1), album(2, 1), Notification(bot="shop", chat_id=7, text="hello")],
        )
        assert await attachments(outbox) == []
        await application.commit()

        assert await attachments(outbox) == [
            (one, 0, 1, "photo"),
            (two, 0, 2, "media[0].media"),
            (two, 1, 1, "media[1].media"),
        ]
        params = [row.params for row in await outbox.rows("notification")]
        params = [json.loads(each) if isinstance(each, str) else each for each in params]
        assert params == [
            {"photo": "attach://file1"},
            {"media": [{"type": "photo", "media": "attach://file2"}, {"type": "photo", "media": "attach://file1"}]},
            {"text": "hello"},
        ]
        assert text not in {notification for notification, *_ in await attachments(outbox)}

    async def test_what_is_rolled_back_attaches_nothing(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        await put(outbox, 1)
        await enqueuer.enqueue(application.connection, photo())
        await application.rollback()

        assert await attachments(outbox) == []

    async def test_a_key_that_is_taken_attaches_nothing_more(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        await put(outbox, 1, 2)
        first = await enqueuer.enqueue(application.connection, photo(1, key="k"))
        await application.commit()
        await application.again()

        again = await enqueuer.enqueue(
            application.connection, [photo(2, key="k"), photo(2, key="n"), photo(1, key="n")]
        )
        await application.commit()

        assert again == [first, again[1], again[1]]
        assert await attachments(outbox) == [(first, 0, 1, "photo"), (again[1], 0, 2, "photo")]

    async def test_many_are_written_in_chunks(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enqueue_batch, "CHUNK", 50)
        await put(outbox, 1)

        ids = await enqueuer.enqueue(application.connection, [photo(1, chat) for chat in range(1, 521)])
        await application.commit()

        assert await attachments(outbox) == [(id_, 0, 1, "photo") for id_ in ids]


class TestRefusals:
    async def test_a_file_that_there_is_not(self, application: Application, enqueuer: Enqueuer, outbox: Outbox) -> None:
        await put(outbox, 1)

        with pytest.raises(UnknownFile, match="no file has the id 2"):
            await enqueuer.enqueue(application.connection, [photo(1), photo(2)])
        await application.commit()

        assert await outbox.rows("notification") == []
        assert await attachments(outbox) == []

    @pytest.mark.parametrize(
        ("method", "params", "size", "error", "words"),
        [
            ("sendPhoto", {"photo": Attachment(1)}, 10 * MEGABYTE + 1, FileTooLarge, "takes 10485760 for a photo"),
            ("sendDocument", {"document": Attachment(1)}, 50 * MEGABYTE + 1, FileTooLarge, "a local Bot API server"),
            ("sendPhoto", {"photo": Attachment(1)}, 0, InvalidNotification, "is empty"),
            (
                "sendVideo",
                {"video": "AgACAgIAAxkBAAIBZ2abcdefgh", "thumbnail": Attachment(1)},
                200 * 1024 + 1,
                FileTooLarge,
                "at most 320 pixels",
            ),
        ],
    )
    async def test_one_that_telegram_would_refuse(
        self,
        application: Application,
        enqueuer: Enqueuer,
        outbox: Outbox,
        *,
        method: str,
        params: dict[str, Any],
        size: int,
        error: type[Exception],
        words: str,
    ) -> None:
        await put(outbox, 1, size=size)
        given = Notification(bot="shop", chat_id=7, method=method, params=params)

        with pytest.raises(error, match=words):
            await enqueuer.enqueue(application.connection, given)
        with pytest.raises(error, match="notification 0: params"):
            await enqueuer.enqueue(application.connection, [given])
        await application.commit()

        assert await outbox.rows("notification") == []


async def test_no_picture_is_no_photo(application: Application, enqueuer: Enqueuer, outbox: Outbox) -> None:
    await put(outbox, 1, content_type="application/pdf")

    with pytest.raises(InvalidNotification, match="application/pdf and no picture: send it as a document"):
        await enqueuer.enqueue(application.connection, photo())


class TestAtTheDoor:
    """What needs no database to be refused."""

    @staticmethod
    def refusal(method: str, params: dict[str, Any]) -> str:
        with pytest.raises(InvalidNotification) as refused:
            enqueue_batch.Batch([Notification(bot="shop", chat_id=7, method=method, params=params)], alone=True)
        return str(refused.value)

    @pytest.mark.parametrize(
        ("method", "params", "words"),
        [
            ("sendPhoto", {"photo": Attachment(0)}, 'params["photo"]: 0 is no stored file'),
            ("sendPhoto", {"photo": Attachment("12")}, "'12' is no stored file"),  # type: ignore[arg-type]
            ("sendPhoto", {"photo": Attachment(1.5)}, "1.5 is no stored file"),  # type: ignore[arg-type]
            ("sendPhoto", {"photo": Attachment(1, name="")}, "'' is no name of a file"),
            ("sendPhoto", {"photo": Attachment(1, name="a\nb")}, "is no name of a file"),
            ("sendPhoto", {"photo": Attachment(1, name="x" * 256)}, "is no name of a file"),
            ("sendPhoto", {"photo": "attach://file12"}, "is how the outbox names a stored file: pass an Attachment"),
            ("sendMessage", {"text": "attach://file12!/x"}, "is how the outbox names a stored file"),
            ("sendPhoto", {"document": Attachment(1)}, 'params["document"]: sendPhoto sends a photo'),
            ("sendMessage", {"text": Attachment(1)}, 'params["text"]: a text stands here and no file'),
            ("editMessageText", {"text": "x", "photo": Attachment(1)}, 'params["photo"]: a text stands here'),
            ("sendPhoto", {"photo": Attachment(1), "caption": Attachment(1)}, 'params["caption"]: a text stands here'),
            ("sendPhoto", {"photo": Attachment(1), "thumbnail": Attachment(2)}, "a photo has no thumbnail"),
            ("sendPhoto", {"photo": b"bytes"}, "put it with files.put and pass an Attachment"),
            (
                "sendMediaGroup",
                {"media": [{"type": "voice", "media": Attachment(1)}] * 2},
                "'voice' is no type of an album's item",
            ),
            (
                "sendMediaGroup",
                {"media": [{"type": "photo", "media": Attachment(1)}, {"type": "document", "media": Attachment(2)}]},
                "an album of documents holds nothing else, and this one holds photo",
            ),
            ("sendMediaGroup", {"media": [{"type": "photo", "media": Attachment(1)}]}, "a list of 2 to 10 items"),
            (
                "sendMediaGroup",
                {"media": [{"type": "photo", "media": Attachment(1), "caption": "x" * 1025}] * 2},
                "Telegram takes 1024",
            ),
            ("sendSomethingNew", {"files": [Attachment(1)] * 51}, "they hold 51 files, and Telegram takes 50"),
        ],
    )
    def test_what_cannot_be(self, method: str, params: dict[str, Any], words: str) -> None:
        assert words in self.refusal(method, params)

    def test_an_album_of_albums_kinds_alone(self) -> None:
        media = [{"type": kind, "media": "AgACAgIAAxkBAAIBZ2abcdefgh"} for kind in ("audio", "video")]

        assert "an album of audios holds nothing else" in self.refusal("sendMediaGroup", {"media": media})

    def test_a_stored_file_brings_its_name_and_a_name_of_ones_own_goes_before_it(self) -> None:
        file = StoredFile(
            id=12,
            size=1,
            sha256="",
            content_type="text/plain",
            names=("Order 17.txt", "old.txt"),
            created_at=START,
            needed_at=START,
            kept=False,
        )
        batch = enqueue_batch.Batch(
            [
                methods.document("shop", 7, Attachment(file)),
                methods.document("shop", 7, Attachment(file, name="Rechnung März.txt", cache=False)),
            ]
        )

        rows = json.loads(next(iter(batch.chunks([0, 1], {"shop": 1})))[1])

        assert [row["params"]["document"] for row in rows] == [
            "attach://file12/Order%2017.txt",
            "attach://file12!/Rechnung%20M%C3%A4rz.txt",
        ]
        assert batch.files == (12,)
