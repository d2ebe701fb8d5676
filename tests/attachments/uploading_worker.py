"""A worker that uploads, in a process of its own, to be killed. Its one argument is JSON: url, base_url, keys, folder.

`lease` is in seconds: of what it claims, and of its turn to upload.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from deliveries import Delivery

from dovecote.attachments import AttachmentChannel, Turns
from dovecote.channels.telegram import TelegramChannel


async def work(given: dict[str, Any]) -> None:
    parts = Delivery(given["url"], given["base_url"], keys=given["keys"], files=Path(given["folder"]))
    dovecote, lease = parts.dovecote, timedelta(seconds=given["lease"])
    channel = AttachmentChannel(
        TelegramChannel(given["base_url"]),
        dovecote.files,
        dovecote._knowledge,
        Turns(dovecote._file_ids, dovecote._knowledge, lease=lease),
    )
    await parts.worker_with(channel, timeout=1, lease=lease).run()


if __name__ == "__main__":
    asyncio.run(work(json.loads(sys.argv[1])))
