"""Notifications in Django's admin: everything to be seen, nothing to be changed."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from dovecote.integrations.django import admin as notification_admin
from dovecote.integrations.django.listing import bots
from dovecote.integrations.django.models import Notification

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_world import Project

FAR = datetime(2090, 1, 1, tzinfo=UTC)


@pytest.fixture
def _rows(project: Project) -> None:
    """1 to 3 wait, in each state; 4 to 6 are settled, with each outcome; 7 is another bot's."""

    async def put() -> None:
        outbox = project.outbox
        await outbox.bot("support")
        await outbox.put(1, chat="100", key="order-1", params={"text": "<b>Due</b> " + "x" * 100})
        await outbox.put(2, chat="200", due_at=FAR, planned_at=FAR)
        await outbox.put(3, chat="300", due_at=FAR, lease_token=5, attempts=1)
        await outbox.put_history(
            [
                {"attempts": 1, "message_ids": None, "error_code": None, "error": None, **row}
                for row in (
                    {"id": 4, "chat": "100", "outcome": "delivered", "message_ids": [77], "attempts": 2},
                    {"id": 5, "chat": "200", "outcome": "dead", "error_code": 403, "error": "blocked & gone"},
                    {"id": 6, "chat": "300", "outcome": "unknown", "error": "cut off"},
                )
            ]
        )
        await outbox.sql(ATTEMPT.format(table=outbox.database.tables.attempt.fullname, at=_instant(project)))
        await outbox.put(7, bot="support", chat="@shop_news", key="order-7")

    asyncio.run(put())


ATTEMPT = """
INSERT INTO {table} (notification_id, number, outcome, ended_at, took, error)
VALUES (4, 1, 'failed', {at}, 0.1, 'connection refused')
"""


def _instant(project: Project) -> str:
    return "'2026-01-05T11:59:00Z'" if project.outbox.database.is_postgresql else "1767614340000000"


@pytest.fixture
def client(users: None) -> Iterator[Client]:
    """Somebody who may see notifications and nothing else."""
    del users
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_notification"))
    client = Client()
    client.force_login(user)
    yield client
    user.delete()


def listed(client: Client, **query: str) -> list[int]:
    """The ids on the first page of the list."""
    answer = client.get(reverse("admin:dovecote_notification_changelist"), query)
    assert answer.status_code == 200
    return [int(found) for found in re.findall(r'field-id"><a href="[^"]*">(\d+)</a>', answer.content.decode())]


def detail(client: Client, notification_id: int) -> str:
    """The page of one notification, without its tags."""
    answer = client.get(reverse("admin:dovecote_notification_change", args=[notification_id]))
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


@pytest.mark.usefixtures("_rows")
class TestList:
    def test_all_are_listed_newest_first_with_their_states(self, client: Client) -> None:
        assert listed(client) == [7, 6, 5, 4, 3, 2, 1]
        assert {each.id: (each.bot, each.state, each.attempts) for each in Notification.objects.all()} == {
            1: ("shop", "due", 0),
            2: ("shop", "scheduled", 0),
            3: ("shop", "leased", 1),
            4: ("shop", "delivered", 2),
            5: ("shop", "dead", 1),
            6: ("shop", "unknown", 1),
            7: ("support", "due", 0),
        }

    def test_columns_show_what_was_asked_for_and_what_became_of_it(self, client: Client) -> None:
        answer = client.get(reverse("admin:dovecote_notification_changelist")).content.decode()

        assert "&lt;b&gt;Due&lt;/b&gt; " + "x" * 49 + "…" in answer
        assert "blocked &amp; gone" in answer
        # In the zone of the project, as everything in its admin.
        assert "Jan. 5, 2026, 1 p.m." in answer

    def test_filters(self, project: Project, client: Client) -> None:
        support = max(bot_id for bot_id, _ in bots(project.alias))

        assert listed(client, bot=str(support)) == [7]
        assert listed(client, outcome="dead") == [5]
        assert listed(client, outcome="due") == [7, 1]
        assert listed(client, outcome="leased") == [3]
        assert listed(client, bot=str(support), outcome="dead") == []
        assert listed(client, bot="none") == [7, 6, 5, 4, 3, 2, 1]

    def test_a_search_finds_a_chat_or_a_key_as_a_whole(self, client: Client) -> None:
        assert listed(client, q="100") == [4, 1]
        assert listed(client, q="@shop_news") == [7]
        assert listed(client, q="order-1") == [1]
        assert listed(client, q="order") == []
        assert listed(client, q="100%") == []

    def test_no_more_than_the_newest_are_counted(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notification_admin, "MOST_COUNTED", 3)
        monkeypatch.setattr(notification_admin.NotificationAdmin, "list_per_page", 2)

        answer = client.get(reverse("admin:dovecote_notification_changelist")).content.decode()

        assert "3 notifications" in answer
        assert listed(client) == [7, 6]
        assert listed(client, p="2") == [5]


@pytest.mark.usefixtures("_rows")
class TestDetail:
    def test_a_settled_one_shows_every_attempt(self, client: Client) -> None:
        page = detail(client, 4)

        assert "1 failed 2026-01-05 12:59:00 connection refused" in page
        assert "2 delivered 2026-01-05 13:00:00 77" in page

    def test_one_that_waits_shows_what_holds_it_back(self, client: Client) -> None:
        assert "scheduled until 2090-01-01 01:00:00" in detail(client, 2)
        assert "none yet" in detail(client, 2)

    def test_its_request_is_shown(self, client: Client) -> None:
        page = detail(client, 1)

        assert '"text": "&lt;b&gt;Due' in page or "&quot;text&quot;: &quot;&lt;b&gt;Due" in page
        assert "order-1" in page
        assert "normal" in page


@pytest.mark.usefixtures("_rows")
class TestReadOnly:
    def test_nobody_may_add_change_or_delete(self, client: Client) -> None:
        User.objects.filter(username="reader").update(is_superuser=True)
        change = reverse("admin:dovecote_notification_change", args=[1])

        assert client.get(reverse("admin:dovecote_notification_add")).status_code == 403
        assert client.post(change, {"chat": "1"}).status_code == 403
        assert client.post(reverse("admin:dovecote_notification_delete", args=[1]), {"post": "yes"}).status_code == 403
        assert "Save" not in client.get(change).content.decode()
        assert Permission.objects.filter(content_type__app_label="dovecote").count() == 1

    def test_without_the_permission_nothing_is_seen(self, client: Client) -> None:
        User.objects.get(username="reader").user_permissions.clear()

        assert client.get(reverse("admin:dovecote_notification_changelist")).status_code == 403

    @pytest.mark.parametrize("write", ["delete", "update", "create"])
    def test_the_model_writes_nothing(self, project: Project, write: str) -> None:
        some = Notification.objects.filter(id=1)
        actions: dict[str, Any] = {
            "delete": some.delete,
            "update": lambda: some.update(state="dead"),
            "create": lambda: Notification(id=9, bot_id=1, error_code=0).save(using=project.alias),
        }

        with pytest.raises(DatabaseError, match="dovecote_listing"), transaction.atomic(using=project.alias):
            actions[write]()

        assert Notification.objects.count() == 7


class TestQueries:
    @pytest.mark.parametrize("database", ["postgresql"], indirect=True)
    def test_the_first_page_of_a_long_history_is_read_by_its_index(self, project: Project) -> None:
        asyncio.run(project.outbox.sql(HISTORY))

        page = Notification.objects.order_by("-id")[:100]
        plan = page.explain(analyze=True)

        assert [each.id for each in page[:2]] == [20000, 19999]
        assert "Seq Scan on history" not in plan
        assert "Index Scan Backward using history_pkey" in plan

    def test_questions_of_every_form_are_answered(self, project: Project) -> None:
        asyncio.run(project.outbox.put(1, 2, chat="5"))

        assert Notification.objects.filter(chat="5").exists()
        assert Notification.objects.filter(pk__in=Notification.objects.filter(chat="5").values("pk")).count() == 2
        assert list(Notification.objects.values_list("id", "bot").distinct().order_by("id")) == [
            (1, "shop"),
            (2, "shop"),
        ]
        assert Notification.objects.get(pk=2).enqueued_at == datetime(2026, 1, 5, 12, tzinfo=UTC)


HISTORY = """
INSERT INTO dovecote.history (
    id, bot_id, chat, method, params, priority, at_most_once, enqueued_at, planned_at, outcome, settled_at, took
)
SELECT i, 1, (i % 5000)::text, 'sendMessage', '{}', 1, false, now(), now(), 'delivered', now(), 0.1
FROM generate_series(1, 20000) i
"""
