"""The examples do what their READMEs say, by the commands that stand there, against the emulator."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from readme_commands import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
EMULATOR = 8081
SHOP = 8000


def free_ports(*readmes: int) -> dict[int, int]:
    """A free port in the place of each."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in readmes]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return dict(zip(readmes, ports, strict=True))


def messages(reader: Reader) -> list[tuple[int, str]]:
    """What the emulator has accepted for people: chats and texts."""
    document = reader.get(EMULATOR, "/emulator/accepted")
    return [
        (record["chat_id"], record["parameters"]["text"])
        for record in document["records"]
        if record["method"] == "sendMessage"
    ]


def patiently(reader: Reader) -> Callable[[str], None]:
    """Waits as a reader does: until a server listens, until a bot fetches its updates, until it has answered."""
    answers = 0

    def wait(command: str) -> None:
        nonlocal answers
        if command.startswith("dovecote emulator"):
            reader.wait(lambda: reader.get(EMULATOR, "/emulator/health"))
        elif command.startswith("uvicorn"):
            reader.wait(lambda: reader.get(SHOP, "/openapi.json"))
        elif command.startswith("python bot.py"):
            reader.wait(lambda: "getUpdates" in str(reader.get(EMULATOR, "/emulator/requests")))
        elif command.endswith("/emulator/updates"):
            answers += 1
            reader.wait(lambda: len(messages(reader)) == answers)

    return wait


def test_the_shop_of_fastapi(tmp_path: Path) -> None:
    with Reader(EXAMPLES / "fastapi_shop", tmp_path / "shop", free_ports(EMULATOR, SHOP)) as reader:
        shown = reader.follow(patiently(reader))

        assert messages(reader) == [
            (42, "We have your order 1: a pigeon loft."),
            (42, "Your order 1 is on its way."),
        ]
        assert "2 passed" in shown


def test_the_digest_of_aiogram(tmp_path: Path) -> None:
    with Reader(EXAMPLES / "aiogram_digest", tmp_path / "digest", free_ports(EMULATOR)) as reader:
        shown = reader.follow(patiently(reader))

        digests = [message for message in messages(reader) if "Your digest" in message[1]]
        assert digests == [(42, "Your digest: The loft is full.")]
        assert (42, "At nine, Asia/Tokyo.") in messages(reader)
        assert "3 passed" in shown


def test_the_broadcast_of_python_telegram_bot(tmp_path: Path) -> None:
    with Reader(EXAMPLES / "telegram_broadcast", tmp_path / "broadcast", free_ports(EMULATOR)) as reader:
        shown = reader.follow(patiently(reader))

        assert "2 passed" in shown
        reader.wait(lambda: len(messages(reader)) == 7)
        assert (7, "On its way to 2 recipients.") in messages(reader)
        news = [chat for chat, text in messages(reader) if text == "We open at nine."]
        assert sorted(news) == [42, 44]
