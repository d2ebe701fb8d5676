"""Adopting an old table: each row once, in bounded batches, whatever interrupts it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from dovecote import InvalidConfiguration, UnknownBot
from dovecote.moving import Adopted, OldTable, adopt, read_old_table

if TYPE_CHECKING:
    from pathlib import Path

    from old_outbox import OldOutbox

    from dovecote import Dovecote
    from dovecote.testing import Outbox

on_both = pytest.mark.parametrize("dovecote_database_url", ["sqlite", "postgresql"], indirect=True)
on_postgresql = pytest.mark.parametrize("dovecote_database_url", ["postgresql"], indirect=True)
START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def dovecote_start() -> datetime:
    return START


def table(*, columns: dict[str, str] | None = None, **waiting: Any) -> OldTable:
    described = {"where": "state = 'new'", "afterwards": "mark", "mark": {"state": "adopted"}, "batch": 3, **waiting}
    if described["afterwards"] != "mark":
        del described["mark"]
    return OldTable.model_validate(
        {
            "bot": "shop",
            "table": "old_outbox",
            "columns": {"id": "id", "chat_id": "chat", "text": "body", **(columns or {})},
            "waiting": described,
        }
    )


@on_both
async def test_what_waits_is_adopted_in_its_order_a_batch_at_a_time(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(*range(1, 8))
    await old_outbox.put(8, state="sent")
    batches: list[tuple[int, int]] = []

    adopted = await adopt(dovecote, table(), told=lambda so_far: batches.append((so_far.count, so_far.last)))

    assert batches == [(3, 3), (6, 6), (7, 7)]
    assert adopted == Adopted(7, [], 7)
    assert await old_outbox.states() == {**dict.fromkeys(range(1, 8), "adopted"), 8: "sent"}
    assert [each.text for each in await outbox.deliver()] == [f"text {id_}" for id_ in range(1, 8)]
    assert await dovecote.notification_of_key("shop", "old_outbox-3") == (await dovecote.notification(3)).id


async def test_kept_rows_are_adopted_once_however_often_it_is_called(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(*range(1, 6))

    await adopt(dovecote, table(afterwards="keep"))
    await outbox.deliver()
    await adopt(dovecote, table(afterwards="keep"))

    assert await outbox.deliver() == []
    assert len(outbox.sent_to(42)) == 5
    assert set((await old_outbox.states()).values()) == {"new"}


@on_both
async def test_rows_can_be_deleted_and_a_cursor_goes_on_behind_a_row(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(*range(1, 6))

    adopted = await adopt(dovecote, table(afterwards="delete"), after=2)

    assert (adopted.count, adopted.last) == (3, 5)
    assert await old_outbox.states() == {1: "new", 2: "new"}
    assert [each.text for each in await outbox.deliver()] == ["text 3", "text 4", "text 5"]


async def test_one_that_is_cut_off_between_batches_doubles_and_loses_nothing(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(*range(1, 8))

    def cut_off(so_far: Adopted) -> None:
        raise KeyboardInterrupt(str(so_far.count))

    with pytest.raises(KeyboardInterrupt, match="3"):
        await adopt(dovecote, table(), told=cut_off)
    await adopt(dovecote, table())

    assert sorted(each.text for each in await outbox.deliver()) == [f"text {id_}" for id_ in range(1, 8)]


async def test_a_batch_that_fails_leaves_the_rows_and_the_outbox_as_they_were(
    dovecote: Dovecote, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(1, 2)

    with pytest.raises(UnknownBot, match="shpo"):
        await adopt(dovecote, table().model_copy(update={"bot": "shpo"}))
    with pytest.raises(Exception, match=r"(?i)null"):
        await adopt(dovecote, table(mark={"state": None}))

    assert await old_outbox.states() == {1: "new", 2: "new"}
    assert (await dovecote.stats()).due == 0


async def test_what_cannot_be_sent_is_left_and_named_and_the_rest_goes_on(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(1, 4)
    await old_outbox.put(2, chat="nobody at all")
    await old_outbox.put(3, body="")
    await old_outbox.put(5, chat=None)

    adopted = await adopt(dovecote, table())

    assert adopted.count == 2
    assert [id_ for id_, _ in sorted(adopted.refused)] == [2, 3, 5]
    assert "nobody at all" in dict(adopted.refused)[2]
    assert dict(adopted.refused)[3].startswith("params")
    assert dict(adopted.refused)[5] == 'chat_id: the column "chat" is empty: nobody is known to send it to.'
    assert await old_outbox.states() == {1: "adopted", 2: "new", 3: "new", 4: "adopted", 5: "new"}
    assert [each.text for each in await outbox.deliver()] == ["text 1", "text 4"]


@on_both
async def test_methods_parameters_and_times_come_along(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    payload = '{"chat_id": 7, "photo": "https://shop.example/a.jpg", "caption": "Look"}'
    await old_outbox.put(1, body=None, call="sendPhoto", payload=payload, chat="@news")
    later = START + timedelta(hours=2)
    if not dovecote.database.is_postgresql:
        await old_outbox.put(2, call="sendMessage", send_at=later.replace(tzinfo=None).isoformat())
        await old_outbox.put(3, call="sendMessage", send_at="tomorrow")
    else:
        await old_outbox.put(2, call="sendMessage")
        await old_outbox.sql("UPDATE old_outbox SET send_at = :at WHERE id = 2", at=later)
    await old_outbox.put(4, call="sendMessage", payload="no JSON")
    await old_outbox.put(5, call="sendMessage", payload="[1]")

    mapped = table(columns={"method": "call", "params": "payload", "due_at": "send_at"})
    adopted = await adopt(dovecote, mapped)

    refused = {id_: error for id_, error in adopted.refused if id_ != 3}
    assert refused == {
        4: 'params: the column "payload" holds no JSON.',
        5: 'params: the column "payload" holds no JSON object.',
    }
    sent = await outbox.let_pass(hours=3)
    assert [(each.method, each.chat, each.text, each.at) for each in sent] == [
        ("sendPhoto", "@news", "Look", START),
        ("sendMessage", 42, "text 2", later),
    ]


async def test_a_table_or_a_column_that_is_not_there_is_named(dovecote: Dovecote, old_outbox: OldOutbox) -> None:
    del old_outbox
    with pytest.raises(InvalidConfiguration, match='has no table "elsewhere"'):
        await adopt(dovecote, table().model_copy(update={"table": "elsewhere"}))
    with pytest.raises(InvalidConfiguration) as raised:
        await adopt(dovecote, table(columns={"text": "words"}, mark={"done": True}))
    for fault in ('columns.text: "old_outbox" has no column "words"', 'waiting.mark.done: "old_outbox" has no column'):
        assert fault in str(raised.value)


@on_postgresql
async def test_a_row_that_the_old_path_holds_is_left_alone(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(1, 2, 3)
    engine = dovecote.database.async_engine
    assert engine is not None
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1 FROM old_outbox WHERE id = 2 FOR UPDATE"))
        assert (await adopt(dovecote, table())).count == 2
    assert await old_outbox.states() == {1: "adopted", 2: "new", 3: "adopted"}

    await adopt(dovecote, table())

    assert sorted(each.text for each in await outbox.deliver()) == ["text 1", "text 2", "text 3"]


@on_both
async def test_two_rows_with_one_id_are_refused_before_one_of_them_is_lost(
    dovecote: Dovecote, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(1, chat="41")
    await old_outbox.put(2, 3, chat="42")
    columns = {"id": "chat"}

    with pytest.raises(InvalidConfiguration, match="has the value '42' in several rows"):
        await adopt(dovecote, table(columns=columns))
    assert set((await old_outbox.states()).values()) == {"new"}

    await old_outbox.sql("UPDATE old_outbox SET state = 'sent' WHERE id = 3")
    assert (await adopt(dovecote, table(columns=columns))).count == 2


@on_both
async def test_what_the_database_cannot_read_is_named_before_anything_is_adopted(
    dovecote: Dovecote, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(1)

    with pytest.raises(InvalidConfiguration, match="is no condition that the database reads: "):
        await adopt(dovecote, table(where="stat = 'new'"))
    with pytest.raises(InvalidConfiguration, match='after: "x" is no id of "old_outbox", whose ids are numbers'):
        await adopt(dovecote, table(), after="x")
    await old_outbox.sql("UPDATE old_outbox SET state = 'sent'")
    with pytest.raises(UnknownBot):
        await adopt(dovecote, table().model_copy(update={"bot": "shpo"}))


def test_a_description_is_refused_with_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "old.toml"
    file.write_text(
        'bot = "shop"\ntabel = "x"\n[columns]\nid = "id"\nchat_id = 7\n'
        '[waiting]\nwhere = "true"\nafterwards = "keep"\nmark = { a = 1 }\nbatch = 0\n'
    )

    with pytest.raises(InvalidConfiguration) as raised:
        read_old_table(file)

    for place in ("tabel", "table", "columns.chat_id", "waiting.batch"):
        assert f"{place}: " in str(raised.value)
    file.write_text("bot = ")
    with pytest.raises(InvalidConfiguration, match="is no TOML"):
        read_old_table(file)
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        read_old_table(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("columns", "waiting", "words"),
    [
        ({"id": "id", "chat_id": "c"}, {"where": "true", "afterwards": "keep"}, "name the column of the text"),
        ({"id": "id", "chat_id": "c", "text": "t"}, {"where": "true", "afterwards": "mark"}, "go together"),
    ],
)
def test_contradictions_are_told(tmp_path: Path, columns: dict[str, str], waiting: dict[str, str], words: str) -> None:
    tables = {"columns": columns, "waiting": waiting}
    lines = ['bot = "shop"', 'table = "x"']
    for name, values in tables.items():
        lines += [f"[{name}]", *(f'{key} = "{value}"' for key, value in values.items())]
    (tmp_path / "old.toml").write_text("\n".join(lines))

    with pytest.raises(InvalidConfiguration, match=words):
        read_old_table(tmp_path / "old.toml")


@on_both
async def test_json_that_is_nested_too_deep_keeps_only_its_own_row(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    await old_outbox.put(1, payload="[" * 100_000)
    await old_outbox.put(2, payload="{}")

    adopted = await adopt(dovecote, table(columns={"params": "payload"}))

    assert adopted.count == 1
    assert adopted.refused == [(1, 'params: the column "payload" holds no JSON.')]
    assert [each.text for each in await outbox.deliver()] == ["text 2"]


@pytest.mark.parametrize("kind", ["TIMESTAMP", "DATE", "NUMERIC(20, 3)", "JSON"])
async def test_what_a_column_of_sqlite_should_not_hold_keeps_only_its_own_row(
    dovecote: Dovecote, old_outbox: OldOutbox, kind: str
) -> None:
    await old_outbox.sql("DROP TABLE old_outbox")
    await old_outbox.sql(
        f"CREATE TABLE old_outbox (id integer PRIMARY KEY, chat {kind}, body text, at {kind}, state text)"
    )
    rows = [(1, "42", "1767614400"), (2, "42", "'junk'"), (3, "'@channel'", "'2026-01-05T12:00:00+00:00'")]
    for id_, chat, at in rows:
        await old_outbox.sql(f"INSERT INTO old_outbox VALUES ({id_}, {chat}, 'hello', {at}, 'new')")  # noqa: S608 (ours)

    adopted = await adopt(dovecote, table(columns={"due_at": "at"}))

    assert adopted.refused == [(2, "due_at: the column \"at\" holds no instant: 'junk'.")]
    assert await old_outbox.states() == {1: "adopted", 2: "new", 3: "adopted"}
    key = await dovecote.notification_of_key("shop", "old_outbox-1")
    assert key is not None
    assert (await dovecote.notification(key)).planned_at == START


@on_postgresql
async def test_what_python_has_no_value_for_keeps_only_its_own_row(
    dovecote: Dovecote, outbox: Outbox, old_outbox: OldOutbox
) -> None:
    await old_outbox.sql("ALTER TABLE old_outbox ADD COLUMN made timestamptz DEFAULT '0044-03-15 BC'")
    await old_outbox.put(1, 2, 3, 4)
    await old_outbox.sql("ALTER TABLE old_outbox ALTER COLUMN payload TYPE jsonb USING CAST(payload AS jsonb)")
    await old_outbox.sql("UPDATE old_outbox SET send_at = 'infinity' WHERE id = 1")
    await old_outbox.sql("UPDATE old_outbox SET send_at = '0044-03-15 00:00:00+00 BC' WHERE id = 2")
    digits = f'{{"a": {"9" * 6000}}}'
    await old_outbox.sql(
        "UPDATE old_outbox SET payload = CAST(CAST(:digits AS text) AS jsonb) WHERE id = 3", digits=digits
    )
    await old_outbox.sql("UPDATE old_outbox SET send_at = '2026-01-05 13:00:00+01' WHERE id = 4")

    adopted = await adopt(dovecote, table(columns={"due_at": "send_at", "params": "payload"}))

    assert sorted(id_ for id_, _ in adopted.refused) == [1, 2, 3]
    assert [each.text for each in await outbox.deliver()] == ["text 4"]


@on_postgresql
async def test_numbers_of_any_kind_are_chats_and_seconds(dovecote: Dovecote, old_outbox: OldOutbox) -> None:
    await old_outbox.put(1, payload="1767614400.5")
    await old_outbox.sql("ALTER TABLE old_outbox ALTER COLUMN chat TYPE float USING CAST(chat AS float)")
    await old_outbox.sql("ALTER TABLE old_outbox ALTER COLUMN payload TYPE numeric USING CAST(payload AS numeric)")

    adopted = await adopt(dovecote, table(columns={"due_at": "payload"}))

    assert adopted == Adopted(1, [], 1)
    key = await dovecote.notification_of_key("shop", "old_outbox-1")
    assert key is not None
    assert (await dovecote.notification(key)).planned_at == START + timedelta(seconds=0.5)
