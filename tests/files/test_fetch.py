"""`files.fetch`: what somebody has sent to a bot becomes a file, and nothing of the link stays."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from dovecote.errors import FileTooLarge, StorageUnavailable, TelegramRefused, TelegramUnavailable, UnknownBot
from dovecote.files import Files
from dovecote.files.incoming import Incoming
from dovecote.model import RemoteFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from file_world import FileWorld

TOKEN = "7000001:AAverySecretPartOfATokenThatNobodySees"


class Telegram:
    """`ports.files.FileSource` by hand: `failures` are raised one after the other, at the download or before it."""

    def __init__(self, content: bytes = b"", *, path: str = "documents/file_0.txt", is_local: bool = False) -> None:
        self.content = content
        self.remote = RemoteFile(path, len(content) or None, is_local=is_local)
        self.failures: list[Exception] = []
        self.before_any_byte = False
        self.asked: list[tuple[str, str]] = []

    async def locate(self, token: str, file_id: str) -> RemoteFile:
        self.asked.append((token, file_id))
        if self.failures and self.before_any_byte:
            raise self.failures.pop(0)
        return self.remote

    async def download(self, token: str, remote: RemoteFile) -> AsyncIterator[bytes]:
        assert (token, remote) == (TOKEN, self.remote)
        yield self.content[:2]
        if self.failures:
            raise self.failures.pop(0)
        yield self.content[2:]

    async def close(self) -> None:
        """Nothing is open."""


class Fetching:
    """Files that fetch from `telegram`, and how long they have slept."""

    def __init__(self, world: FileWorld, telegram: Telegram) -> None:
        self.slept: list[float] = []
        incoming = Incoming(telegram, self.token, sleep=self.sleep, random=Random(1))
        self.files = Files(world.catalogue, world.sweeper, world.storages, incoming=incoming)

    async def token(self, bot: str) -> str:
        if bot != "shop":
            raise UnknownBot(bot, ["shop"])
        return TOKEN

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_what_was_sent_becomes_a_file_that_is_kept(world: FileWorld) -> None:
    telegram = Telegram(b"hello there")

    file = await Fetching(world, telegram).files.fetch("shop", "AgAC")

    assert telegram.asked == [(TOKEN, "AgAC")]
    assert (file.size, file.name, file.kept, file.content_type) == (11, "file_0.txt", True, "text/plain")
    assert await world.files.get(file.id) == b"hello there"
    for table in ("file", "file_name", "file_copy", "loose_object"):
        assert TOKEN not in repr(await world.rows(table))


async def test_it_has_the_name_and_the_fate_that_was_asked_for(world: FileWorld) -> None:
    file = await Fetching(world, Telegram(b"x")).files.fetch("shop", "AgAC", name="receipt.txt", keep=False)

    assert (file.name, file.kept) == ("receipt.txt", False)


async def test_what_breaks_off_is_fetched_again_from_its_beginning(world: FileWorld) -> None:
    telegram = Telegram(b"hello")
    telegram.failures = [TelegramUnavailable("broke off"), TelegramUnavailable("wait", retry_after=5)]
    fetching = Fetching(world, telegram)

    file = await fetching.files.fetch("shop", "AgAC")

    assert await world.files.get(file.id) == b"hello"
    assert len(telegram.asked) == 3
    assert 0.5 <= fetching.slept[0] <= 1.5
    assert fetching.slept[1] == 5
    assert world.primary.uploads == 1


@pytest.mark.parametrize("before_any_byte", [True, False])
async def test_what_breaks_off_three_times_is_an_error_and_no_file(world: FileWorld, *, before_any_byte: bool) -> None:
    telegram = Telegram(b"hello")
    telegram.before_any_byte = before_any_byte
    telegram.failures = [TelegramUnavailable(f"broke off {number}") for number in range(4)]

    with pytest.raises(TelegramUnavailable, match="broke off 2"):
        await Fetching(world, telegram).files.fetch("shop", "AgAC")
    assert await world.files.list() == []
    assert world.primary.objects == {}


async def test_a_long_wait_is_not_sat_out_and_a_refusal_is_not_tried_again(world: FileWorld) -> None:
    for failure in (TelegramUnavailable("wait", retry_after=3600), TelegramRefused("no"), FileTooLarge("no")):
        telegram = Telegram(b"hello")
        telegram.failures = [failure]
        fetching = Fetching(world, telegram)

        with pytest.raises(type(failure)):
            await fetching.files.fetch("shop", "AgAC")
        assert (len(telegram.asked), fetching.slept) == (1, [])


async def test_a_limit_of_ones_own_is_kept_before_and_while_it_is_downloaded(world: FileWorld) -> None:
    telegram = Telegram(b"hello")
    with pytest.raises(FileTooLarge, match="it has 5 bytes, and 4 is the limit"):
        await Fetching(world, telegram).files.fetch("shop", "AgAC", max_size=4)

    telegram.remote = RemoteFile("x", None)
    with pytest.raises(FileTooLarge, match="more than 4 bytes"):
        await Fetching(world, telegram).files.fetch("shop", "AgAC", max_size=4)


async def test_a_bot_that_there_is_none_of_is_told(world: FileWorld) -> None:
    with pytest.raises(UnknownBot, match='no bot is named "shpo"'):
        await Fetching(world, Telegram(b"x")).files.fetch("shpo", "AgAC")


async def test_a_local_servers_file_is_read_where_it_is(world: FileWorld, tmp_path: Path) -> None:
    folder = tmp_path / TOKEN / "documents"
    folder.mkdir(parents=True)
    (folder / "file_0.pdf").write_bytes(b"%PDF-1.7 local")
    telegram = Telegram(path=str(folder / "file_0.pdf"), is_local=True)

    file = await Fetching(world, telegram).files.fetch("shop", "AgAC")

    assert (file.name, file.content_type) == ("file_0.pdf", "application/pdf")
    assert await world.files.get(file.id) == b"%PDF-1.7 local"


async def test_a_local_servers_file_that_cannot_be_read_here_is_told_without_its_path(
    world: FileWorld, tmp_path: Path
) -> None:
    telegram = Telegram(path=f"{tmp_path}/{TOKEN}/missing", is_local=True)

    with pytest.raises(TelegramRefused, match=r"cannot read it \(No such file or directory\)") as refused:
        await Fetching(world, telegram).files.fetch("shop", "AgAC")

    assert refused.value.__context__ is None
    assert "AAverySecret" not in str(refused.value)


async def test_a_store_that_fails_is_the_stores_fault_and_not_the_local_servers(
    world: FileWorld, tmp_path: Path
) -> None:
    (tmp_path / "local").write_bytes(b"x")
    world.primary.failure = StorageUnavailable("the disk is full")

    with pytest.raises(StorageUnavailable, match="the disk is full"):
        await Fetching(world, Telegram(path=str(tmp_path / "local"), is_local=True)).files.fetch("shop", "AgAC")
