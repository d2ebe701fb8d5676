"""`dovecote file`: what an operator does with files, from a shell."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import CommandLine


@pytest.fixture
def folder(dovecote: CommandLine) -> Path:
    """The folder of an outbox, in which a file waits to be put."""
    dovecote.ok("init")
    (dovecote.folder / "dove.txt").write_bytes(b"coo")
    (dovecote.folder / "sub").mkdir()
    return dovecote.folder


def objects(folder: Path) -> list[Path]:
    every = sorted(path for path in (folder / "dovecote-files").rglob("*") if path.is_file())
    return [path for path in every if path.parent.name != "installations"]


def test_a_file_is_put_looked_at_and_got(dovecote: CommandLine, folder: Path) -> None:
    put = dovecote.ok("file", "put", "dove.txt", "--json").json

    assert (put["size"], put["content_type"], put["names"], put["kept"]) == (3, "text/plain", ["dove.txt"], False)
    assert put["sha256"] == hashlib.sha256(b"coo").hexdigest()
    assert dovecote.ok("file", "show", str(put["id"]), "--json").json == put
    assert dovecote.ok("file", "list", "--json").json == [put]
    assert "dove.txt" in dovecote.ok("file", "list").out
    shown = dovecote.ok("file", "show", str(put["id"])).out
    assert put["sha256"] in shown
    assert "while it is needed" in shown

    got = dovecote.ok("file", "get", str(put["id"]), "copy.txt", "--json").json
    assert got == {**put, "path": "copy.txt"}
    assert (folder / "copy.txt").read_bytes() == b"coo"


def test_what_is_no_file_of_the_disk_is_said_in_words(dovecote: CommandLine, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    dovecote.ok("file", "put", "dove.txt")

    for source, why in (("pipe", "no regular file"), ("/dev/null", "no regular file"), ("loop", "symbolic links")):
        refused = dovecote("file", "put", source)
        assert (refused.code, why in refused.err, "Dovecote's own" in refused.err) == (1, True, False)
    refused = dovecote("file", "get", "1", "..", "--force")
    assert (refused.code, '".." cannot be written' in refused.err) == (1, True)
    assert sorted(path.name for path in folder.parent.glob(".*.part")) == []


def test_the_folder_beside_the_database_is_no_other_store(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")

    refused = dovecote("file", "move", (folder / "dovecote-files").as_uri(), "--yes")

    assert refused.code == 1
    assert "name the store that they are to move to" in refused.err


def test_a_file_that_is_there_is_not_replaced_by_a_slip(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")
    (folder / "dove.txt").write_bytes(b"mine")

    refused = dovecote("file", "get", "1")

    assert refused.code == 1
    assert 'there is a file "dove.txt" already: name another one, or add --force' in refused.err
    assert (folder / "dove.txt").read_bytes() == b"mine"
    assert dovecote.ok("file", "get", "1", "--force").out == '"dove.txt" has the 3 bytes of file 1.\n'
    assert (folder / "dove.txt").read_bytes() == b"coo"


def test_contents_go_through_pipes(dovecote: CommandLine, folder: Path) -> None:
    (folder / "dove.txt").write_bytes(bytes(range(256)))
    program = [sys.executable, "-m", "dovecote", "file"]
    given = (folder / "dove.txt").read_bytes()

    put = subprocess.run(
        [*program, "put", "-", "--name", "pipe.bin"], input=given, cwd=folder, capture_output=True, check=True
    )
    got = subprocess.run([*program, "get", "1", "-"], cwd=folder, capture_output=True, check=True)

    assert put.stdout.startswith(b"File 1: 256 bytes, application/octet-stream, SHA-256 40aff2e9d2d8922e47afd4648e69")
    assert got.stdout == given
    assert dovecote("file", "get", "1", "-", "--json").code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["put", "missing.txt"], 1, '"missing.txt" cannot be read (No such file or directory): name a file.'),
        (["put", "sub"], 1, "cannot be read (Is a directory)"),
        (["put", "dove.txt", "--name", "a/b"], 1, "cannot be a file's name"),
        (["get", "7"], 1, "no file has the id 7: it was deleted or collected, or never put."),
        (["show", "0"], 2, "greater than or equal to 1"),
        (["delete", "7", "--yes"], 1, "no file has the id 7"),
        (["url", "7", "--expires", "soon"], 2, '"soon" is no duration: write 30s, 10m, 12h or 7d.'),
        (["collect", "--grace", "soon", "--yes"], 2, '"soon" is no duration'),
        (["move", "--yes"], 2, "name the URL of the store to move to, or --abandon, or --remove-old URL."),
        (["move", "ftp://x", "--yes"], 1, "it is neither a file:// nor an s3:// URL"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_is_refused_in_words(dovecote: CommandLine, arguments: list[str], code: int, words: str) -> None:
    refused = dovecote("file", *arguments)

    assert refused.code == code
    assert words in " ".join(refused.err.replace("│", " ").split())
    assert refused.out == ""


def test_what_changes_anything_asks_first(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")

    for arguments in (["delete", "1"], ["collect"], ["move", f"file://{folder}/other"], ["move", "--abandon"]):
        refused = dovecote("file", *arguments)
        assert refused.code == 1
        assert "There is no terminal to ask on: add --yes." in refused.err
    assert len(objects(folder)) == 1


def test_a_file_is_deleted_by_name_and_as_a_whole(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")
    dovecote.ok("file", "put", "dove.txt", "--name", "bird.txt")

    assert dovecote.ok("file", "delete", "1", "--name", "dove.txt", "--yes", "--json").json == {"deleted": False}
    assert dovecote.ok("file", "delete", "1", "--yes").out == "File 1 is deleted.\n"
    assert objects(folder) == []
    assert dovecote.ok("file", "list").out == "There is no file.\n"


def test_what_nobody_needs_is_collected_and_what_is_kept_stays(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt", "--keep")
    (folder / "other").write_bytes(b"other")
    dovecote.ok("file", "put", "other")

    assert dovecote.ok("file", "collect", "--yes", "--json").json["files"] == 0
    collected = dovecote.ok("file", "collect", "--grace", "0s", "--yes", "--json").json

    assert collected == {"files": 1, "size": 5, "objects": 1, "failed_objects": 0}
    assert [file["id"] for file in dovecote.ok("file", "list", "--json").json] == [1]


def test_what_is_missing_or_damaged_is_named(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")
    assert dovecote.ok("file", "verify").out == "1 files and 1 objects agree.\n"
    (path,) = objects(folder)
    path.chmod(0o600)
    path.write_bytes(b"moo")

    assert dovecote.ok("file", "verify", "--quick", "--json").json["found"] == []
    damaged = dovecote("file", "verify", "--json")
    path.unlink()
    missing = dovecote("file", "verify")

    assert damaged.code == missing.code == 1
    (found,) = damaged.json["found"]
    assert (found["problem"], found["file_id"]) == ("damaged", 1)
    assert "missing" in missing.out


def test_the_files_move_to_another_folder_and_stay_found(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")
    target = (folder / "elsewhere").as_uri()

    moved = dovecote.ok("file", "move", target, "--yes", "--json").json

    assert moved == {
        "source": "beside the database: dovecote-files",
        "target": target,
        "files": 1,
        "lacking": 0,
        "switched": True,
    }
    for path in objects(folder):
        path.unlink()
    assert dovecote.ok("file", "verify", "--json").json["found"] == []
    dovecote.variable("DOVECOTE_STORAGE_URL", target)
    assert dovecote.ok("file", "get", "1", "copy").err == ""
    assert dovecote("file", "move", target, "--yes").code == 1
    back = dovecote.ok("file", "move", (folder / "third").as_uri(), "--yes")
    told = " ".join(back.err.split())
    assert f'The old store ("{target}") is not used any more: `dovecote file move --remove-old` empties it.' in told
    assert dovecote.ok("file", "move", "--abandon", "--yes").out == "No move was under way.\n"


def test_what_a_move_has_left_is_removed_when_it_is_asked_for(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")
    old, target = "beside the database: dovecote-files", (folder / "elsewhere").as_uri()
    refused = dovecote("file", "move", "--remove-old", old, "--yes")
    dovecote.ok("file", "move", target, "--yes")

    removed = dovecote.ok("file", "move", "--remove-old", old, "--yes", "--json").json

    assert (refused.code, "were not moved out of it" in " ".join(refused.err.split())) == (1, True)
    assert removed == {"objects": 1, "size": 3, "young": 0, "failed": 0}
    assert objects(folder) == []
    dovecote.variable("DOVECOTE_STORAGE_URL", target)
    assert dovecote.ok("file", "verify", "--json").json["found"] == []
    assert dovecote("file", "move", target, "--remove-old", old, "--yes").code == 2


def test_a_stray_is_removed_once_it_is_old_and_nothing_else(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")
    (path,) = objects(folder)
    stray = path.with_name(path.name[:-16] + "0" * 16)
    stray.write_bytes(b"nobody's")

    young = dovecote.ok("file", "verify", "--remove-strays", "--yes")
    os.utime(stray, (0, 0))
    removed = dovecote.ok("file", "verify", "--remove-strays", "--yes", "--json").json

    assert "1 more are younger than the grace period" in " ".join(young.err.split())
    assert removed == {"objects": 1, "size": 8, "young": 0, "failed": 0}
    assert objects(folder) == [path]
    assert dovecote("file", "verify", "--grace", "1d").code == 2
    assert dovecote("file", "verify", "--remove-strays", "--quick").code == 2


def test_a_url_of_a_folder_is_a_file_url(dovecote: CommandLine, folder: Path) -> None:
    dovecote.ok("file", "put", "dove.txt")

    (path,) = objects(folder)

    assert dovecote.ok("file", "url", "1").out == f"{path.as_uri()}\n"
    assert dovecote.ok("file", "url", "1", "--json").json == {"url": path.as_uri()}
