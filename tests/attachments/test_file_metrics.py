"""What is counted of files: puts, uploads, what is known already, what is collected, and storages that fail."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from attaching import png

from dovecote.errors import FileMissing

if TYPE_CHECKING:
    from attaching import Attaching


def counted(parts: Attaching) -> dict[str, float]:
    """Every counter of files that is not 0, by its name and label as Prometheus writes them."""
    page, _ = parts.dovecote.metrics.exposition()
    lines = (line for line in page.decode().splitlines() if line.startswith(("dovecote_file", "dovecote_storage")))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if float(value)}


async def test_puts_and_uploads_are_counted_with_their_bytes(parts: Attaching) -> None:
    file = await parts.put(png())
    await parts.put(png())
    await parts.photo(file, 1)
    await parts.dovecote.worker().run(until_empty=True)
    for chat in (2, 3):
        await parts.photo(file, chat)
    await parts.dovecote.worker().run(until_empty=True)

    assert counted(parts) == {
        'dovecote_files_put_total{outcome="stored"}': 1,
        'dovecote_files_put_total{outcome="known"}': 1,
        "dovecote_files_put_bytes_total": len(png()),
        'dovecote_file_ids_total{known="no"}': 1,
        'dovecote_file_ids_total{known="yes"}': 2,
        'dovecote_file_uploads_total{outcome="delivered"}': 1,
        "dovecote_file_uploads_bytes_total": len(png()),
    }


async def test_what_is_collected_and_what_a_store_has_lost_are_counted(parts: Attaching) -> None:
    lost, unneeded = await parts.put(png(1)), await parts.put(b"unneeded")
    await parts.photo(lost)
    await parts.files.keep(lost.id)
    await parts.files.collect(grace=timedelta(0))
    shutil.rmtree(parts.folder / "sha256")

    await parts.dovecote.worker().run(until_empty=True)
    with pytest.raises(FileMissing):
        await parts.files.get(lost.id)

    found = counted(parts)
    assert found["dovecote_files_collected_total"] == 1
    assert found["dovecote_files_collected_bytes_total"] == unneeded.size
    assert found['dovecote_storage_errors_total{error="missing"}'] == 2
    assert found['dovecote_file_uploads_total{outcome="dead"}'] == 1
