"""What this process knows of files and of what Telegram calls them, read a batch at a time."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dovecote.outbox_around import OutboxAround
from dovecote.references import MARK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import timedelta

    from dovecote.model import ClaimedNotification, Cycle, KnownFile, Settlement, UploadKey
    from dovecote.ports import OutboxStore
    from dovecote.ports.attachments import FileIds

T = TypeVar("T")

logger = logging.getLogger(__name__)

MOST: Final = 20_000
"""So many files, and so many `file_id`s, are remembered; the oldest go first, and are read again."""

_FILES = re.compile(re.escape(MARK) + r"([1-9][0-9]{0,18})")


class Knowledge:
    """Files by bot and id, and `file_id`s by key. What is not here is asked of the database."""

    def __init__(self, file_ids: FileIds, *, most: int = MOST) -> None:
        self._store = file_ids
        self._most = most
        self._files: dict[tuple[int, int], KnownFile] = {}
        self._file_ids: dict[UploadKey, str] = {}

    async def prepare(self, claims: Iterable[ClaimedNotification]) -> None:
        """Read what is not known of the files of these notifications, in one statement. Raises StoreUnavailable."""
        found = {(each.bot_id, int(file_id)) for each in claims for file_id in _FILES.findall(each.params)}
        # A text of somebody's may begin in the same way, with a number that no id can be.
        await self._read({pair for pair in found if pair[1] < 2**63})

    async def files(self, bot_id: int, ids: Collection[int]) -> Mapping[int, KnownFile]:
        """Those of the files that there are. Raises StoreUnavailable."""
        pairs = {(bot_id, file_id) for file_id in ids}
        await self._read(pairs)
        return {pair[1]: self._files[pair] for pair in pairs if pair in self._files}

    async def _read(self, pairs: set[tuple[int, int]]) -> None:
        missing = {pair for pair in pairs if pair not in self._files}
        if missing:
            known = await self._store.look_up(missing)
            self.learn(known.file_ids)
            for pair in missing:
                if (file := known.files.get(pair[1])) is not None:
                    _remember(self._files, pair, file, max(self._most, len(missing)))

    def file_id(self, key: UploadKey) -> str | None:
        """What Telegram calls it, as far as this process knows."""
        return self._file_ids.get(key)

    def learn(self, file_ids: Mapping[UploadKey, str]) -> None:
        """Remember what Telegram calls these."""
        for key, file_id in file_ids.items():
            _remember(self._file_ids, key, file_id, max(self._most, len(file_ids)))

    def forget(self, file_ids: Mapping[UploadKey, str]) -> None:
        """Telegram does not know these any more."""
        for key, file_id in file_ids.items():
            if self._file_ids.get(key) == file_id:
                del self._file_ids[key]


def _remember(memory: dict[Any, T], key: Any, value: T, most: int) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > most:
        del memory[next(iter(memory))]


class PreparedOutbox(OutboxAround):
    """An outbox whose claims come with what is known of their files; implements `dovecote.ports.OutboxStore`."""

    def __init__(self, store: OutboxStore, knowledge: Knowledge) -> None:
        super().__init__(store)
        self._knowledge = knowledge

    async def cycle(
        self,
        settlements: Sequence[Settlement],
        *,
        claim: int,
        lease: timedelta,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
    ) -> Cycle:
        """See `dovecote.ports.OutboxStore.cycle`."""
        cycle = await self._store.cycle(settlements, claim=claim, lease=lease, renew=renew, alone=alone)
        marked = [claimed for claimed in cycle.claimed if MARK in claimed.params]
        if marked:
            try:
                await self._knowledge.prepare(marked)
            except Exception as error:  # noqa: BLE001 (what is claimed must not be lost; each asks again as it is sent)
                logger.warning("the files of a batch could not be looked up together: %s", error)
        return cycle
