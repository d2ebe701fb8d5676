"""One upload for each content of a bot, whatever the number of recipients, workers and restarts."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attaching import QUICK, Attaching, digest, png
from deliveries import Delivery, delivery, until
from pyreqwest.client import ClientBuilder
from worker_processes import WorkerProcess

from dovecote.emulator import Answer, EmulatorProcess, Match, Rule
from dovecote.model import Attachment, Notification, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORKER = Path(__file__).parent / "uploading_worker.py"


@asynccontextmanager
async def several(parts: Attaching, outbox_url: str, folder: Path, count: int) -> AsyncIterator[list[Delivery]]:
    """So many more Dovecotes on the same outbox and files, as other processes have them, all at work."""
    async with AsyncExitStack() as stack:
        others = []
        for _ in range(count):
            other = Delivery(outbox_url, parts.emulator.url, retry=QUICK, keys=parts.parts.keys, files=folder)
            stack.push_async_callback(other.dovecote.close)
            await stack.enter_async_context(other.working())
            others.append(other)
        yield others


async def only_one_is_leased(parts: Attaching) -> bool:
    """Whether what waits for the upload has been given back."""
    places = list((await parts.parts.places()).values())
    return places.count("leased") == 1 and places.count("waiting") == len(places) - 1


async def test_a_picture_for_ten_thousand_is_uploaded_exactly_once(postgresql_outbox_url: str, tmp_path: Path) -> None:
    with EmulatorProcess() as process:
        async with (
            delivery(postgresql_outbox_url, process.url, files=tmp_path / "files") as first,
            delivery_of(first, postgresql_outbox_url, process.url, tmp_path / "files") as second,
        ):
            file = await first.dovecote.files.put(png())
            photo = {"photo": Attachment(file)}
            await first.enqueue(
                *(Notification(bot="shop", chat_id=n, method="sendPhoto", params=photo) for n in range(1, 10_001))
            )
            async with first.working(), second.working():
                await until(lambda: first.settled(10_000), bound=60)

            assert (await first.dovecote.stats()).delivered == 10_000
            async with ClientBuilder().build() as client:
                uploads = await (await client.get(f"{process.url}/emulator/uploads").build().send()).json()
                counts = await (await client.get(f"{process.url}/emulator/counts").build().send()).json()

    assert [(upload["sha256"], upload["count"]) for upload in uploads["uploads"]] == [(digest(png()), 1)]
    assert (counts["requests"], counts["accepted"]) == (10_000, 10_000)


@asynccontextmanager
async def delivery_of(first: Delivery, url: str, base_url: str, folder: Path) -> AsyncIterator[Delivery]:
    """Another process's Dovecote on the same outbox."""
    other = Delivery(url, base_url, keys=first.keys, files=folder)
    try:
        yield other
    finally:
        await other.dovecote.close()


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_picture_for_many_is_uploaded_once_and_after_a_restart_not_again(
    parts: Attaching, outbox_url: str, tmp_path: Path, workers: int
) -> None:
    file = await parts.put(png())
    for first in (1, 1001):
        ids = await parts.broadcast(file, range(first, first + 1000))

        async with several(parts, outbox_url, tmp_path / "files", workers):
            await until(partial(parts.parts.settled, first + 999))

        assert (await parts.dovecote.stats()).delivered == first + 999
        assert len(ids) == 1000
    assert parts.uploads(png()) == 1
    assert sorted(str(record.chat_id) for record in parts.emulator.accepted) == sorted(map(str, range(1, 2001)))
    assert await parts.parts.all_outcomes() == {}


async def test_what_waits_for_an_upload_holds_no_lease_spends_no_attempt_and_goes_at_once_after_it(
    parts: Attaching, outbox_url: str, tmp_path: Path
) -> None:
    file = await parts.put(png())
    parts.emulator.script(Rule(Answer(delay=1.0), times=1))
    ids = await parts.broadcast(file, range(1, 41))

    async with several(parts, outbox_url, tmp_path / "files", 2):
        await until(lambda: len(parts.emulator.requests) == 1)
        await until(lambda: only_one_is_leased(parts))
        waiting = await parts.dovecote.notification(ids[-1])
        await until(lambda: parts.parts.settled(40))

    assert (waiting.state, waiting.attempts) == (State.SCHEDULED, [])
    assert [wait.reason.value for wait in waiting.waits_for] == ["upload"]
    records = [await parts.dovecote.notification(id_) for id_ in ids]
    assert {tuple(attempt.number for attempt in record.attempts) for record in records} == {(1,)}
    uploaded, *others = sorted(parts.emulator.accepted, key=lambda record: record.sequence)
    assert parts.uploads(png()) == 1
    # Long before the turn of thirty seconds would have ended.
    assert max(record.monotonic for record in others) - uploaded.monotonic < 10


async def test_what_is_behind_a_photo_that_waits_for_an_upload_goes_after_it(parts: Attaching) -> None:
    file = await parts.put(png())
    # Long enough that the text is postponed behind the photo of its chat, which waits for that of the other one.
    parts.emulator.script(Rule(Answer(delay=1.0), times=1))
    photos = [
        Notification(bot="shop", chat_id=chat, method="sendPhoto", params={"photo": Attachment(file)})
        for chat in (1, 2)
    ]
    texts = [Notification(bot="shop", chat_id=chat, text="behind it") for chat in (2, 1, 2)]
    ids = await parts.parts.enqueue(*photos, *texts)

    await parts.settled(*ids)

    accepted = sorted(parts.emulator.accepted, key=lambda record: record.sequence)
    assert [record.method for record in accepted if record.chat_id == 2] == ["sendPhoto", "sendMessage", "sendMessage"]
    assert parts.uploads(png()) == 1
    # Long before the turn of thirty seconds would have ended.
    assert accepted[-1].monotonic - accepted[0].monotonic < 10


async def test_a_worker_that_is_killed_while_it_uploads_frees_it_by_its_lease(
    parts: Attaching, outbox_url: str, tmp_path: Path
) -> None:
    file = await parts.put(png())
    parts.emulator.script(Rule(Answer(mode="stall"), times=1))
    ids = await parts.broadcast(file, range(1, 21))
    given = {"url": outbox_url, "base_url": parts.emulator.url, "keys": list(parts.parts.keys), "lease": 3}
    command = [str(WORKER), json.dumps({**given, "folder": str(tmp_path / "files")})]
    with WorkerProcess(command, tmp_path / "log") as process:
        await until(lambda: len(parts.emulator.requests) == 1)
        await until(lambda: only_one_is_leased(parts))
        process.kill()

    records = await parts.settled(*ids)

    assert {record.state for record in records} == {State.DELIVERED}
    assert parts.uploads(png()) == 2
    assert sorted(record.lost_leases for record in records) == [0] * 19 + [1]


async def test_an_upload_that_is_refused_lets_the_next_one_upload(parts: Attaching) -> None:
    file = await parts.put(png())
    refused = Answer.error(403, "Forbidden: bot was blocked by the user")
    parts.emulator.script(Rule(refused, times=1))
    ids = await parts.broadcast(file, range(1, 21))

    records = await parts.settled(*ids)

    states = sorted(record.state.value for record in records)
    assert states == ["dead"] + ["delivered"] * 19
    assert parts.uploads(png()) == 2


async def test_two_albums_with_the_same_pictures_in_another_order_end(
    parts: Attaching, outbox_url: str, tmp_path: Path
) -> None:
    files = [await parts.put(png(number)) for number in range(4)]
    orders = [files, files[::-1], files[2:] + files[:2], files[1:3]]

    ids = [
        await parts.enqueue(
            "sendMediaGroup",
            chat,
            {"media": [{"type": "photo", "media": Attachment(file)} for file in orders[chat % 4]]},
        )
        for chat in range(1, 41)
    ]
    async with several(parts, outbox_url, tmp_path / "files", 3):
        await until(lambda: parts.are_settled(ids))

    assert (await parts.dovecote.stats()).delivered == 40
    assert all(parts.uploads(png(number)) >= 1 for number in range(4))


async def test_a_limit_met_by_the_upload_makes_all_wait_and_none_is_lost(parts: Attaching) -> None:
    file = await parts.put(png())
    limited = Answer.error(429, "Too Many Requests: retry after 1", retry_after=1)
    parts.emulator.script(Rule(limited, Match(method="sendPhoto"), times=1))
    ids = await parts.broadcast(file, range(1, 21))

    records = await parts.settled(*ids)

    assert {record.state for record in records} == {State.DELIVERED}
    assert parts.uploads(png()) == 2
