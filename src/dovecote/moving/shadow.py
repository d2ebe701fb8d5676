"""Comparing: what the old path has sent, by its table, with what Dovecote has sent to the emulator, by its records.

Two messages are the same if they went to the same chat by the same method with the same parameters. Each is matched
with one of the other side, so that a message which came twice is seen. What is compared is what arrived at the
emulator, not what Dovecote believes.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import select, text

from dovecote.errors import InvalidConfiguration, InvalidNotification, TelegramUnavailable
from dovecote.moving.reading import call_of, chat_of, condition, instant, readable, reflected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from dovecote.app import Dovecote
    from dovecote.moving.old_table import OldTable

PAGE: Final = 1000
PATIENCE: Final = 30.0


class Delivery(NamedTuple):
    """A message as both sides know it: the chat, the method, the other parameters as JSON with sorted names."""

    chat: str
    method: str
    params: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it. `missing` was sent by the old path alone, `extra` by Dovecote alone, a second copy included.

    `reordered` are the chats in which what both have sent came in another order.
    """

    same: int
    missing: Sequence[Delivery]
    extra: Sequence[Delivery]
    reordered: Sequence[str]

    @property
    def agrees(self) -> bool:
        """Whether Dovecote has sent exactly what the old path has sent, in its order for each chat."""
        return not (self.missing or self.extra or self.reordered)


def compared(old: Sequence[Delivery], new: Sequence[Delivery]) -> Comparison:
    """Compare two sequences of messages, each in the order of sending."""
    common = Counter(old) & Counter(new)
    missing, old_kept = _without(old, common)
    extra, new_kept = _without(new, common)
    new_by_chat = _by_chat(new_kept)
    reordered = [chat for chat, sequence in _by_chat(old_kept).items() if new_by_chat[chat] != sequence]
    return Comparison(common.total(), missing, extra, sorted(reordered))


def _without(deliveries: Iterable[Delivery], common: Counter[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    """Those beyond what is common, and the others."""
    left = Counter(common)
    beyond, kept = [], []
    for each in deliveries:
        if left[each] > 0:
            left[each] -= 1
            kept.append(each)
        else:
            beyond.append(each)
    return beyond, kept


def _by_chat(deliveries: Iterable[Delivery]) -> defaultdict[str, list[Delivery]]:
    chats: defaultdict[str, list[Delivery]] = defaultdict(list)
    for each in deliveries:
        chats[each.chat].append(each)
    return chats


async def compare(dovecote: Dovecote, old: OldTable, *, since: datetime | None = None) -> Comparison:
    """Compare what was sent from `since` on (None: ever), an aware datetime.

    Raises InvalidConfiguration where the table does not say what was sent, or telegram.base_url is no emulator's,
    TelegramUnavailable where nobody answers there.
    """
    emulator = dovecote.settings.telegram.base_url
    await check_emulator(emulator)
    sent = await dovecote.database.run(lambda connection: _sent(connection, old, since))
    records = await asyncio.to_thread(_accepted, emulator, since)
    return compared(sent, records)


async def check_emulator(base_url: str) -> None:
    """Raise InvalidConfiguration unless an emulator answers there, TelegramUnavailable where nobody does."""
    try:
        answer = await asyncio.to_thread(_fetch, f"{base_url}/emulator/health")
    except (urllib.error.HTTPError, ValueError):
        answer = None
    except OSError as error:
        raise TelegramUnavailable(f"nobody answers at {base_url}: {error}") from None
    if answer != {"ok": True}:
        fault = (
            f"telegram.base_url: {base_url} is no emulator, so what is sent there is real: start one with"
            " `dovecote emulator` and set DOVECOTE_TELEGRAM_BASE_URL to its address."
        )
        raise InvalidConfiguration([fault])


def _sent(connection: Connection, old: OldTable, since: datetime | None) -> list[Delivery]:
    if old.sent is None:
        raise InvalidConfiguration(["sent: without this table nobody knows what the old path has sent."])
    table = reflected(connection, old)
    named = [*old.columns.model_dump().values(), old.sent.sent_at]
    statement = select(*readable(connection, table, named)).where(text(f"({old.sent.where})"))
    dated = []
    with condition("sent.where", old.sent.where):
        rows = connection.execute(statement)
    for row in rows:
        values = row._mapping  # noqa: SLF001 (SQLAlchemy's documented name)
        sent_at = instant(values[old.sent.sent_at], old.sent.sent_at)
        if sent_at is None:
            raise InvalidNotification(
                "sent_at", f'row {values[old.columns.id]} was sent and has no "{old.sent.sent_at}".'
            )
        if since is None or sent_at >= since:
            method, params = call_of(values, old)
            chat = str(chat_of(values[old.columns.chat_id]))
            dated.append((sent_at, values[old.columns.id], _delivery(chat, method, params)))
    return [delivery for *_, delivery in sorted(dated, key=lambda each: each[:2])]


def _accepted(emulator: str, since: datetime | None) -> list[Delivery]:
    """What the emulator has accepted, in order; a page at a time."""
    found: list[Delivery] = []
    after: int | None = 0
    while after is not None:
        page = _fetch(f"{emulator}/emulator/accepted?limit={PAGE}&after={after}")
        for record in page["records"]:
            if since is None or datetime.fromtimestamp(record["time"], UTC) >= since:
                params = {name: value for name, value in record["parameters"].items() if name != "chat_id"}
                found.append(_delivery(str(record["chat_id"]), record["method"], params))
        after = page["next"]
    return found


def _delivery(chat: str, method: str, params: dict[str, Any]) -> Delivery:
    return Delivery(chat, method, json.dumps(params, sort_keys=True, ensure_ascii=False))


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 (a setting, checked to be http or https)
        return json.load(answer)
