"""URLs that Telegram cannot fetch: one try more, then the engine fetches and uploads what is there."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from attaching import Attaching, attaching, png

from dovecote.channels.fetching import UrlFetcher
from dovecote.emulator import Answer, Emulator, Match, Rule
from dovecote.errors import UrlNotFetched
from dovecote.model import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WORDS = "Bad Request: failed to get HTTP URL content"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + bytes(1024 * 1024)
NOT_FETCHED = Answer.error(400, WORDS)


class Site:
    """A web server of a test; `answers` are whole answers by path. `asked` are the requests."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.asked.append(head)
        self.was_asked.set()
        writer.write(self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def page(content: bytes, status: str = "200 OK", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{more}\r\n".encode() + content


@asynccontextmanager
async def site(**answers: bytes) -> AsyncIterator[Site]:
    made = Site({f"/{name}": answer for name, answer in answers.items()})
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


@pytest.fixture
async def parts(outbox_url: str, tmp_path: Path) -> AsyncIterator[Attaching]:
    async with (
        Emulator() as emulator,
        attaching(outbox_url, emulator, tmp_path / "files", telegram={"fetch_urls": "any"}) as parts,
    ):
        yield parts


async def send(parts: Attaching, url: str, chat: int = 7) -> Any:
    (record,) = await parts.settled(await parts.enqueue("sendPhoto", chat, {"photo": url}))
    return record


async def test_what_telegram_cannot_fetch_twice_is_uploaded(parts: Attaching) -> None:
    parts.emulator.script(Rule(NOT_FETCHED, times=2))
    async with site(cat=page(png(), Content_Type="image/png")) as web:
        record = await send(parts, f"{web.url}/cat")

    assert (record.state, [attempt.outcome for attempt in record.attempts]) == (
        State.DELIVERED,
        ["failed", "delivered"],
    )
    assert record.attempts[0].error == WORDS
    assert parts.uploads(png()) == 1
    (sent,) = parts.sent()
    assert sent["file1"]["file_name"] == "cat"
    assert sent["file1"]["content_type"] == "image/png"


async def test_one_that_telegram_fetches_the_second_time_is_not_uploaded(parts: Attaching) -> None:
    parts.emulator.script(Rule(NOT_FETCHED, times=1))

    record = await send(parts, "https://cdn.example/cat.png")

    assert record.state is State.DELIVERED
    assert not parts.emulator.uploads


async def test_what_was_behind_it_is_sent_by_its_file_id_for_a_while(parts: Attaching) -> None:
    parts.emulator.script(Rule(NOT_FETCHED, Match(chat_id=7), times=2), Rule(NOT_FETCHED, Match(chat_id=8), times=1))
    async with site(cat=page(png())) as web:
        await send(parts, f"{web.url}/cat")
        record = await send(parts, f"{web.url}/cat", 8)

    assert record.state is State.DELIVERED
    assert (parts.uploads(png()), len(web.asked)) == (1, 1)
    assert not str(parts.sent(8)[0]["photo"]).startswith("http")


async def test_an_album_is_uploaded_whole(parts: Attaching) -> None:
    parts.emulator.script(Rule(NOT_FETCHED, times=2))
    async with site(one=page(png(1)), two=page(png(2))) as web:
        media = [{"type": "photo", "media": f"{web.url}/{name}"} for name in ("one", "two")]
        (record,) = await parts.settled(await parts.enqueue("sendMediaGroup", 7, {"media": media}))

    assert (record.state, len(record.attempts[-1].message_ids)) == (State.DELIVERED, 2)
    assert (parts.uploads(png(1)), parts.uploads(png(2))) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page(b"", "404 Not Found"), "answers 404"),
        (page(b""), "is empty"),
        (LARGE, "are the most that can be sent"),
        (page(b"", "302 Found", Location="/cat"), "leads on and on"),
        (page(b"", "302 Found", Location="ftp://example.org/x"), "one of http or https"),
    ],
)
async def test_what_can_be_fetched_by_nobody_is_dead_in_the_words_of_both(
    parts: Attaching, answer: bytes, words: str
) -> None:
    parts.emulator.script(Rule(NOT_FETCHED))
    async with site(**{"cat?secret=1": answer, "cat": answer}) as web:
        record = await send(parts, f"{web.url}/cat?secret=1")

    assert record.state is State.DEAD
    assert str(record.error).startswith(f"{WORDS}; nor could it be fetched here: ")
    assert words in str(record.error)
    assert "secret" not in str(record.error)
    assert not parts.emulator.accepted


async def test_a_source_that_breaks_off_is_tried_again_and_nothing_half_is_sent(parts: Attaching) -> None:
    parts.emulator.script(Rule(NOT_FETCHED, times=3))
    broken = page(png() * 1000)[:5000]
    async with site(cat=broken) as web:
        id_ = await parts.enqueue("sendPhoto", 7, {"photo": f"{web.url}/cat"})

        async def mended() -> None:
            await web.was_asked.wait()
            web.answers["/cat"] = page(png())

        mending = asyncio.create_task(mended())
        (record,) = await parts.settled(id_)
        await mending

    assert record.state is State.DELIVERED
    assert parts.uploads(png()) == 1
    assert len(parts.emulator.uploads) == 1


class TestPrivateNetworks:
    @pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00::1"])
    async def test_a_name_that_leads_into_one_is_refused_before_anything_is_sent(self, address: str) -> None:
        async def resolve(_host: str, _port: int) -> list[str]:
            return ["93.184.215.14", address]

        with pytest.raises(UrlNotFetched, match="is in a private network") as refused:
            async with UrlFetcher(resolve=resolve).open("http://inside.example/x", part="file1", largest=100):
                raise AssertionError

        assert not refused.value.again

    async def test_a_redirect_into_one_is_refused_as_well(self) -> None:
        async with site(cat=page(b"", "302 Found", Location="http://inside.example/x")) as web:
            port = int(web.url.rpartition(":")[2])

            async def resolve(host: str, _port: int) -> list[str]:
                return ["127.0.0.1"] if host == "inside.example" else ["93.184.215.14"]

            fetcher = UrlFetcher(resolve=resolve)
            client = fetcher._client

            async def of_the_test(where: Any) -> Any:
                return await (
                    client(where) if where.hostname == "inside.example" else UrlFetcher(private=True)._client(where)
                )

            fetcher._client = of_the_test  # type: ignore[method-assign]
            with pytest.raises(UrlNotFetched, match=r"inside\.example/x is in a private network"):
                async with fetcher.open(f"http://127.0.0.1:{port}/cat", part="file1", largest=100):
                    raise AssertionError

    async def test_a_public_address_is_connected_to_as_it_was_looked_up(self) -> None:
        async with site(cat=page(b"content")) as web:
            port = int(web.url.rpartition(":")[2])
            asked = []

            async def resolve(host: str, port: int) -> list[str]:
                asked.append((host, port))
                return ["127.0.0.1"]

            fetcher = UrlFetcher(resolve=resolve)
            with pytest.raises(UrlNotFetched, match="private"):
                async with fetcher.open(f"http://cat.example:{port}/cat", part="file1", largest=100):
                    raise AssertionError

        assert asked == [("cat.example", port)]

    async def test_credentials_of_the_url_do_not_go_along(self) -> None:
        async with site(cat=page(b"content")) as web:
            url = web.url.replace("http://", "http://user:password@")
            async with UrlFetcher(private=True).open(f"{url}/cat", part="file1", largest=100) as part:
                content = b"".join([chunk async for chunk in part.read()])

        assert (content, part.size, part.name) == (b"content", 7, "cat")
        assert "authorization" not in web.asked[0].lower()
