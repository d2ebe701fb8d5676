"""The content type is read from the bytes, whatever the name says, and alike under every version of puremagic."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovecote.files.content_types import HEAD, content_type_of


def mp4(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x20ftyp" + brand + b"\x00\x00\x02\x00isomiso2" + bytes(64)


def ogg(codec: bytes) -> bytes:
    return b"OggS\x00\x02" + bytes(20) + b"\x01\x13" + codec + bytes(64)


def ebml(kind: bytes) -> bytes:
    return b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84" + kind + bytes(64)


def archive(*names: str, mimetype: str | None = None) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as zipped:
        if mimetype is not None:
            zipped.writestr("mimetype", mimetype)
        for name in names:
            zipped.writestr(name, "x")
    return written.getvalue()


EXAMPLES: dict[str, tuple[bytes, str | None]] = {
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(64), "image/png"),
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(64), "image/jpeg"),
    "gif": (b"GIF89a" + bytes(64), "image/gif"),
    "webp": (b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(64), "image/webp"),
    "heic": (mp4(b"heic"), "image/heic"),
    "mp4": (mp4(b"isom"), "video/mp4"),
    "mp4 of an unknown brand": (mp4(b"zzzz"), "video/mp4"),
    "quicktime": (mp4(b"qt  "), "video/quicktime"),
    "m4a": (mp4(b"M4A "), "audio/mp4"),
    "webm": (ebml(b"webm"), "video/webm"),
    "matroska": (ebml(b"matroska"), "video/x-matroska"),
    "voice": (ogg(b"OpusHead"), "audio/ogg"),
    "vorbis": (ogg(b"\x01vorbis"), "audio/ogg"),
    "theora": (ogg(b"\x80theora"), "video/ogg"),
    "mp3 with tags": (b"ID3\x04\x00\x00" + bytes(64), "audio/mpeg"),
    "mp3": (b"\xff\xfb\x90\x64" + bytes(64), "audio/mpeg"),
    "wav": (b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(64), "audio/wav"),
    "flac": (b"fLaC" + bytes(64), "audio/flac"),
    "animated sticker": (b"\x1f\x8b\x08" + bytes(64), "application/gzip"),
    "pdf": (b"%PDF-1.7\n% all of it text\n", "application/pdf"),
    "zip": (archive("a.txt"), "application/zip"),
    "docx": (
        archive("[Content_Types].xml", "word/document.xml"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    "xlsx": (
        archive("[Content_Types].xml", "xl/workbook.xml"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    "odt": (archive(mimetype="application/vnd.oasis.opendocument.text"), "application/vnd.oasis.opendocument.text"),
    "epub": (archive(mimetype="application/epub+zip"), "application/epub+zip"),
    "text": ("Grüße, ein Brief.\n".encode(), "text/plain"),
    "text that begins like a bitmap": (b"BMW is a maker of cars.", "text/plain"),
    "text that is cut in a letter": (("a" + "é" * HEAD).encode(), "text/plain"),
    "html": (b"<!DOCTYPE html><html><body>", "text/html"),
    "json": (b'{"a": 1}', "application/json"),
    "executable": (b"\x7fELF\x02\x01\x01" + bytes(64), None),
    "nothing": (b"", "application/octet-stream"),
    "anything": (bytes(range(256)), "application/octet-stream"),
    "cut off": (b"\x89PN", None),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_is_what_the_bytes_say(example: str) -> None:
    content, media_type = EXAMPLES[example]

    found = content_type_of(content)

    if media_type is None:
        assert found.startswith(("application/", "text/"))
    else:
        assert found == media_type


@given(st.binary(max_size=200))
def test_no_content_makes_it_fail_and_the_answer_is_a_media_type(content: bytes) -> None:
    kind, slash, rest = content_type_of(content).partition("/")

    assert kind in {"application", "audio", "font", "image", "model", "text", "video", "chemical", "message"}
    assert slash
    assert rest


@pytest.mark.parametrize("name", [b"mimetype", b"mimetype\x00"])
def test_a_zip_that_lies_about_its_type_is_a_zip(name: bytes) -> None:
    head = b"PK\x03\x04" + bytes(14) + struct.pack("<II", 4_000_000_000, 0) + struct.pack("<HH", len(name), 0) + name

    assert content_type_of(head + b"not a type \xff") == "application/zip"
