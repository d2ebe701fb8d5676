"""`keep` stores the file that somebody has sent, in a handler of either framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import PNG
from framework_bots import message

from dovecote import FileTooLarge

if TYPE_CHECKING:
    from deliveries import Delivery
    from framework_bots import FrameworkBot

    from dovecote.emulator import Emulator


def file(file_id: str, **members: Any) -> dict[str, Any]:
    """What a message says of a file."""
    return {"file_id": file_id, "file_unique_id": file_id[-8:], **members}


KINDS: dict[str, dict[str, Any]] = {
    "document": {},
    "video": {"width": 1, "height": 1, "duration": 1},
    "audio": {"duration": 1},
    "voice": {"duration": 1},
    "video_note": {"length": 1, "duration": 1},
}


async def test_a_file_of_each_kind_is_kept(parts: Delivery, emulator: Emulator, bot: FrameworkBot) -> None:
    for kind, members in KINDS.items():
        file_id = emulator.receive_file(4242, f"a {kind} of Ada's".encode(), name="a.bin")

        kept = await bot.keep(message(**{kind: file(file_id, **members)}))

        assert await parts.dovecote.files.get(kept.id) == f"a {kind} of Ada's".encode()


async def test_of_a_photo_the_largest_size_is_kept(parts: Delivery, emulator: Emulator, bot: FrameworkBot) -> None:
    small = emulator.receive_file(4242, b"small", name="s.jpg")
    large = emulator.receive_file(4242, PNG, name="l.png")
    sizes = [file(large, width=640, height=480), file(small, width=90, height=60)]

    kept = await bot.keep(message(photo=sizes))

    assert await parts.dovecote.files.get(kept.id) == PNG


async def test_it_bears_the_senders_name_or_the_given_one(emulator: Emulator, bot: FrameworkBot) -> None:
    sent = message(document=file(emulator.receive_file(4242, b"x", name="a.bin"), file_name="Offer.pdf"))
    odd = message(document=file(emulator.receive_file(4242, b"y", name="a.bin"), file_name="../x\n.pdf"))

    assert (await bot.keep(sent)).name == "Offer.pdf"
    assert (await bot.keep(sent, name="17.pdf")).name == "17.pdf"
    assert "/" not in str((await bot.keep(odd)).name)


async def test_an_animation_is_kept_once(parts: Delivery, emulator: Emulator, bot: FrameworkBot) -> None:
    animation = file(emulator.receive_file(4242, b"gif", name="a.mp4"), width=1, height=1, duration=1)

    kept = await bot.keep(message(animation=animation, document=file("another")))

    assert await parts.dovecote.files.get(kept.id) == b"gif"


async def test_a_message_without_a_file_and_one_that_is_too_large_are_refused(
    emulator: Emulator, bot: FrameworkBot
) -> None:
    with pytest.raises(ValueError, match="the message 1 holds no file"):
        await bot.keep(message(text="hello"))
    with pytest.raises(FileTooLarge):
        await bot.keep(message(document=file(emulator.receive_file(4242, b"12345", name="a"))), max_size=4)
