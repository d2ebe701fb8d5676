"""What goes wrong with a stored file on its way: it is said in words, and nothing wrong is ever delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attaching import Attaching, png
from deliveries import until

from dovecote.emulator import Answer, Rule
from dovecote.errors import FileInUse, StorageUnavailable
from dovecote.model import Attachment, DeliveryPolicy, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LARGE = bytes(range(256)) * 8192


def objects(folder: Path) -> list[Path]:
    """The contents in the store."""
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


def damage(path: Path) -> None:
    """Change one byte in the middle, as a disk does."""
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("content", [png(), LARGE], ids=["small", "large"])
async def test_a_damaged_content_is_never_delivered(parts: Attaching, content: bytes) -> None:
    file = await parts.put(content)
    (path,) = objects(parts.folder)
    damage(path)

    (record,) = await parts.settled(await parts.enqueue("sendDocument", 7, {"document": Attachment(file)}))

    assert record.state is State.DEAD
    assert "SHA-256" in str(record.error)
    assert (len(parts.emulator.accepted), len(parts.emulator.uploads)) == (0, 0)


async def test_a_missing_content_is_a_dead_letter_that_says_so_and_can_be_replayed(parts: Attaching) -> None:
    file = await parts.put(png())
    (path,) = objects(parts.folder)
    content = path.read_bytes()
    path.unlink()

    id_ = await parts.photo(file)
    (record,) = await parts.settled(id_)
    assert record.state is State.DEAD
    assert str(record.error).startswith("a file cannot be sent: ")
    assert not parts.emulator.accepted

    path.write_bytes(content)
    assert await parts.dovecote.replay([id_]) == [id_]
    (record,) = await parts.settled(id_)
    assert record.state is State.DELIVERED


async def test_a_store_that_is_away_costs_tries_and_no_notification(parts: Attaching) -> None:
    file = await parts.put(png())
    assert parts.dovecote.sender is not None
    reader: Any = parts.dovecote._channel._reader  # type: ignore[union-attr]
    stream, failures = reader.stream, iter(range(3))

    async def stumbling(file_id: int) -> AsyncIterator[bytes]:
        if next(failures, None) is not None:
            raise StorageUnavailable("the store is away")
        async for chunk in stream(file_id):
            yield chunk

    reader.stream = stumbling

    (record,) = await parts.settled(await parts.photo(file, delivery=DeliveryPolicy.AT_MOST_ONCE))

    assert [attempt.outcome for attempt in record.attempts] == ["failed"] * 3 + ["delivered"]
    assert record.attempts[0].error == "never sent: a file cannot be read: the store is away"


async def test_what_breaks_off_before_the_end_of_the_file_was_not_sent(parts: Attaching) -> None:
    """So even at most once it is tried again: Telegram acts on nothing less than a whole request."""
    file = await parts.put(LARGE)
    assert parts.dovecote.sender is not None
    reader: Any = parts.dovecote._channel._reader  # type: ignore[union-attr]
    stream, cuts = reader.stream, iter(range(1))

    async def cut(file_id: int) -> AsyncIterator[bytes]:
        async for chunk in stream(file_id):
            yield chunk
            if next(cuts, None) is not None:
                for connection in list(parts.emulator._state.connections):
                    connection.transport.abort()

    reader.stream = cut

    params = {"document": Attachment(file)}
    (record,) = await parts.settled(
        await parts.enqueue("sendDocument", 7, params, delivery=DeliveryPolicy.AT_MOST_ONCE)
    )

    assert [attempt.outcome for attempt in record.attempts] == ["failed", "delivered"]
    assert str(record.attempts[0].error).startswith("never sent whole: ")


async def test_an_answer_that_is_lost_after_the_whole_file_is_unknown(parts: Attaching) -> None:
    file = await parts.put(png())
    parts.emulator.script(Rule(Answer(mode="drop"), times=1))

    once = await parts.photo(file, delivery=DeliveryPolicy.AT_MOST_ONCE)
    (record,) = await parts.settled(once)
    assert record.state is State.UNKNOWN

    (record,) = await parts.settled(await parts.photo(file, 8))
    assert record.state is State.DELIVERED
    assert parts.uploads(png()) == 2


async def test_a_file_that_was_removed_by_hand_is_said_to_be_missing(parts: Attaching) -> None:
    file = await parts.put(png())
    id_ = await parts.photo(file)
    await parts.dovecote.database.run(
        lambda connection: connection.execute(parts.dovecote.database.tables.files.file.delete()), write=True
    )

    (record,) = await parts.settled(id_)

    assert (record.state, str(record.error).split(":")[0]) == (State.DEAD, f"no file has the id {file.id}")


async def test_a_file_in_use_cannot_be_deleted_and_one_that_was_delivered_can(parts: Attaching) -> None:
    file = await parts.put(png())
    id_ = await parts.photo(file)
    with pytest.raises(FileInUse, match=f"needed by notification {id_}"):
        await parts.files.delete(file.id)

    await parts.settled(id_)

    assert await parts.files.delete(file.id)


async def test_a_drain_ends_while_something_waits_for_an_upload(parts: Attaching) -> None:
    file = await parts.put(png())
    parts.emulator.script(Rule(Answer(mode="stall", delay=1.0), times=1))
    ids = await parts.broadcast(file, range(1, 11))

    async with parts.parts.working():
        await until(lambda: len(parts.emulator.requests) == 1)

    places = await parts.parts.places()
    assert [places[id_] for id_ in ids].count("leased") == 0
    records = await parts.settled(*ids)
    assert {record.state for record in records} == {State.DELIVERED}
