"""`doctor`: what is in order, and what is not together with what helps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from command_line import TOKEN, fetch
from migrated import migrate

from dovecote import doctor
from dovecote.app import Dovecote
from dovecote.model import (
    Bloat,
    Bot,
    BotStopped,
    DatabaseVitals,
    Dead,
    Delivered,
    Failed,
    LeadershipReport,
    OldSnapshot,
    Outcome,
    Severity,
    Snoozed,
    Stats,
)
from dovecote.stores.clock import real_microseconds
from dovecote.stores.health import DatabaseHealth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command_line import CommandLine
    from databases import PostgresDatabases
    from servers import PostgresServer

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def by_subject(found: Any) -> dict[str, Any]:
    return {each["subject"]: each for each in found}


class TestProgram:
    def test_all_in_order(self, dovecote: CommandLine, emulator: str) -> None:
        assert emulator
        dovecote.bot()

        answer = dovecote.ok("doctor", "--json")

        found = by_subject(answer.json)
        assert {name: each["severity"] for name, each in found.items() if name != "leader"} == dict.fromkeys(
            ["database", "clock", "snapshot", "bloat", "storage", "bot shop", "outbox"], "ok"
        )
        assert found["leader"]["severity"] == "warning", "nothing runs"
        assert "dovecote run" in found["leader"]["remedy"]

    def test_a_revoked_token_is_a_problem_and_never_shown(self, dovecote: CommandLine, emulator: str) -> None:
        dovecote.bot()
        fetch(f"{emulator}/emulator/tokens", {"revoke": [TOKEN]})

        answer = dovecote("doctor", "--json")

        assert answer.code == 1
        found = by_subject(answer.json)["bot shop"]
        assert found["severity"] == "problem"
        assert "Unauthorized" in found["found"]
        assert "dovecote bot token shop" in found["remedy"]
        assert TOKEN.partition(":")[2] not in answer.out + answer.err

    def test_no_bot_api_is_a_problem_of_each_bot_alone(self, dovecote: CommandLine) -> None:
        dovecote.bot()
        dovecote.variable("DOVECOTE_TELEGRAM_BASE_URL", "http://127.0.0.1:9")

        answer = dovecote("doctor")

        assert answer.code == 1
        assert "the Bot API cannot be reached" in answer.out
        assert "telegram.base_url" in answer.out

    def test_a_schema_that_is_not_there_is_all_that_is_said(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "dovecote.db").touch()

        answer = dovecote("doctor", "--json")

        assert answer.code == 1
        assert [each["subject"] for each in answer.json] == ["database"]
        assert "dovecote.db is at no revision, and this version" in answer.json[0]["found"]
        assert "dovecote migrate" in answer.json[0]["found"]
        assert answer.json[0]["remedy"] == "run `dovecote migrate`."

    def test_a_file_that_is_not_there_is_a_finding_and_is_not_made(self, dovecote: CommandLine) -> None:
        answer = dovecote("doctor", "--json")

        assert answer.code == 1
        assert [(each["subject"], each["severity"]) for each in answer.json] == [("database", "problem")]
        assert 'there is no file "dovecote.db"' in answer.json[0]["found"]
        assert answer.json[0]["remedy"].startswith("make the outbox with `dovecote migrate`")
        assert dovecote("doctor").err == "1 examination, 1 to look at.\n"
        assert not (dovecote.folder / "dovecote.db").exists()

    def test_what_does_not_answer_has_a_remedy_of_its_own(self, dovecote: CommandLine, emulator: str) -> None:
        assert emulator
        dovecote.bot()
        dovecote.variable("DOVECOTE_REDIS_URL", "redis://127.0.0.1:9/0")

        answer = dovecote("doctor", "--json")

        assert answer.code == 1
        found = by_subject(answer.json)
        assert {name for name, each in found.items() if each["severity"] == "problem"} == {"redis", "leader"}
        assert found["redis"]["remedy"].startswith("see whether it runs and redis.url leads to it.")
        assert found["leader"]["remedy"] == found["redis"]["remedy"]


@pytest.fixture
def outbox_url(postgres: PostgresDatabases) -> Iterator[str]:
    """The URL of a migrated database of its own on PostgreSQL."""
    url = postgres.create_database(postgres.template("migrated", migrate))
    yield url
    postgres.drop_database(url)


class TestPostgreSQL:
    async def test_its_own_answers(self, outbox_url: str) -> None:
        async with Dovecote(outbox_url) as dovecote:
            await dovecote.add_bot("shop", token_variable="TOKEN")
            ahead = DatabaseHealth(dovecote.database, now=lambda: real_microseconds() - 600_000_000)
            with psycopg.connect(outbox_url) as other:
                other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                other.execute("SELECT 1 FROM dovecote.bot")

                vitals = await ahead.vitals()

        assert vitals.version.startswith("PostgreSQL ")
        assert 599 < vitals.ahead < 601
        assert vitals.oldest_snapshot is not None
        assert vitals.oldest_snapshot.holder.endswith("idle in transaction")
        assert vitals.connections is not None
        assert vitals.most_connections is not None
        assert 0 < vitals.connections <= vitals.most_connections

    async def test_what_is_told_is_heard(self, outbox_url: str) -> None:
        async with Dovecote(outbox_url) as dovecote:
            assert await DatabaseHealth(dovecote.database, now=real_microseconds).hears() is True

    async def test_where_nobody_answers_nothing_is_heard(self, own_postgres: PostgresServer) -> None:
        async with Dovecote(own_postgres.url) as dovecote:
            own_postgres.stop()
            assert await DatabaseHealth(dovecote.database, now=real_microseconds).hears() is False
            findings = await doctor.examine(dovecote)
        assert [(each.subject, each.severity) for each in findings] == [("database", Severity.PROBLEM)]


def vitals(**changes: Any) -> DatabaseVitals:
    given: dict[str, Any] = {
        "version": "PostgreSQL 18",
        "ahead": 0.0,
        "round_trip": 0.001,
        "oldest_snapshot": None,
        "bloat": (),
    }
    return DatabaseVitals(**(given | changes))


class TestJudgement:
    @pytest.mark.parametrize(
        ("changes", "subject"),
        [
            ({"round_trip": 0.2}, "database"),
            ({"ahead": -600.0}, "clock"),
            ({"oldest_snapshot": OldSnapshot(holder="process 7, active", seconds=301.0)}, "snapshot"),
            ({"bloat": (Bloat(subject="table notification", total=10_001, share=0.51),)}, "bloat"),
            ({"connections": 95, "most_connections": 100}, "connections"),
        ],
    )
    def test_what_is_wrong_with_a_database(self, changes: dict[str, Any], subject: str) -> None:
        warned = [each for each in doctor.database_findings(vitals(**changes)) if each.severity is Severity.WARNING]

        assert [each.subject for each in warned] == [subject]
        assert warned[0].remedy

    @pytest.mark.parametrize(
        "changes",
        [
            {"oldest_snapshot": OldSnapshot(holder="process 7, active", seconds=299.0)},
            {"bloat": (Bloat(subject="table notification", total=9_999, share=1.0),)},
            {"connections": 90, "most_connections": 100},
        ],
    )
    def test_what_is_not_wrong_with_it(self, changes: dict[str, Any]) -> None:
        assert {each.severity for each in doctor.database_findings(vitals(**changes))} == {Severity.OK}

    @pytest.mark.parametrize(
        ("outcome", "stopped", "severity"),
        [
            (Delivered(), None, Severity.OK),
            (Delivered(), "Unauthorized", Severity.PROBLEM),
            (BotStopped("Unauthorized", 401), None, Severity.PROBLEM),
            (Snoozed(timedelta(seconds=7)), None, Severity.WARNING),
            (Failed("refused"), None, Severity.PROBLEM),
            (Dead("Bad Request", 400), None, Severity.PROBLEM),
        ],
    )
    def test_what_an_answer_to_getme_means(self, outcome: Outcome, stopped: str | None, severity: Severity) -> None:
        bot = Bot(id=1, name="shop", token_variable="TOKEN", created_at=NOW, stopped_reason=stopped)

        found = doctor.bot_finding(bot, outcome)

        assert found.severity is severity
        assert (found.remedy is None) is (severity is Severity.OK)

    def test_limits_that_telegram_would_not_stand(self) -> None:
        usual = Bot(id=1, name="shop", token_variable="TOKEN", created_at=NOW)
        loose = Bot(
            id=1, name="shop", token_variable="TOKEN", created_at=NOW, pace=None, private_limit=None, group_limit=None
        )

        assert list(doctor.pace_findings(usual)) == []
        assert [each.found for each in doctor.pace_findings(loose)] == [
            "it has no pace, and Telegram allows 30/s",
            "it has no private_limit and no group_limit, and Telegram limits each chat",
        ]

    def test_nobody_delivers(self) -> None:
        stats = Stats(due=7, scheduled=0, leased=0, oldest_due=61.0, delivered=0, dead=0, unknown=0)

        assert doctor.outbox_finding(stats).remedy == "start a worker: nobody sends."

    def test_a_lease_that_cannot_be_asked_for(self) -> None:
        report = LeadershipReport(
            leader=None, term=None, since=None, elected_by="redis", problem="Redis does not answer", instances=()
        )

        assert [each.severity for each in doctor.leader_findings(report)] == [Severity.PROBLEM]
