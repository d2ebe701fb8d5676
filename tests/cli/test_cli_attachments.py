"""Attachments at the command line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from dovecote.app import Dovecote
from dovecote.methods import video
from dovecote.model import Attachment

if TYPE_CHECKING:
    from command_line import CommandLine


async def enqueue(url: str) -> int:
    """A film with its thumbnail, of which the film's row is gone afterwards."""
    async with Dovecote(url) as dovecote:
        film = await dovecote.files.put(b"\x00\x00\x00\x18ftypmp42 a film", name="tour.mp4")
        small = await dovecote.files.put(b"\xff\xd8\xff a picture", name="small.jpg")
        async with dovecote.transaction() as connection:
            return await dovecote.enqueue(
                connection, video("shop", 42, Attachment(film, name="The tour.mp4"), thumbnail=Attachment(small))
            )


def test_notification_show_names_its_attachments(dovecote: CommandLine) -> None:
    dovecote.bot()
    id_ = asyncio.run(enqueue(f"sqlite:///{dovecote.folder}/dovecote.db"))

    shown = dovecote.ok("notification", "show", str(id_), "--json").json
    said = dovecote.ok("notification", "show", str(id_)).out

    assert shown["attachments"] == [
        {"field": "video", "file_id": 1, "name": "tour.mp4", "size": 19, "content_type": "video/mp4"},
        {"field": "thumbnail", "file_id": 2, "name": "small.jpg", "size": 13, "content_type": "image/jpeg"},
    ]
    said = " ".join(said.split())
    assert 'video: file 1 "tour.mp4", video/mp4, 19 bytes; thumbnail: file 2 "small.jpg", image/jpeg' in said


def test_send_takes_stored_files_by_their_ids(dovecote: CommandLine) -> None:
    dovecote.bot()
    (dovecote.folder / "tour.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42 a film")
    (dovecote.folder / "small.jpg").write_bytes(b"\xff\xd8\xff a picture")
    film, small = (dovecote.ok("file", "put", name, "--json").json["id"] for name in ("tour.mp4", "small.jpg"))

    id_ = dovecote.ok(
        *("send", "--bot", "shop", "--chat", "42", "--method", "sendVideo", "--param", "caption=The tour"),
        *("--file", f"video={film}", "--file", f"thumbnail={small}", "--json"),
    ).json["id"]

    shown = dovecote.ok("notification", "show", str(id_), "--json").json
    assert [(file["field"], file["file_id"]) for file in shown["attachments"]] == [
        ("video", film),
        ("thumbnail", small),
    ]
    assert shown["params"]["caption"] == "The tour"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--file", "photo"], 2, '"photo": write NAME=ID, as photo=17'),
        (["--file", "photo=a.png"], 2, '"photo=a.png": write NAME=ID'),
        (["--file", "photo=0"], 2, '"photo=0": write NAME=ID'),
        (["--file", "photo=" + "9" * 30], 2, "write NAME=ID"),
        (["--file", "=17"], 2, '"=17": write NAME=ID'),
        (["--file", "photo=17"], 1, "17"),
        (["--param", "photo=attach://file1"], 1, "give its id to `dovecote send --file` or"),
    ],
)
def test_what_is_no_stored_file_is_refused(dovecote: CommandLine, arguments: list[str], code: int, words: str) -> None:
    dovecote.bot()

    answer = dovecote("send", "--bot", "shop", "--chat", "42", "--method", "sendPhoto", *arguments)

    assert (answer.code, answer.out) == (code, "")
    assert words in " ".join(answer.err.replace("│", " ").split())
    assert dovecote.ok("stats", "--json").json["due"] == 0
