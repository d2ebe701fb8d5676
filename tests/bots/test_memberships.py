"""What updates say about recipients reaches the outbox, and the bot's own handlers see every update all the same."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from framework_bots import ADA, GROUP, PRIVATE, membership, message
from sqlalchemy import select

from dovecote import Notification
from dovecote.errors import StoreUnavailable, UnknownRecipient

if TYPE_CHECKING:
    from deliveries import Delivery
    from framework_bots import FrameworkBot

CHANNEL = {"id": -1009, "type": "channel", "title": "News"}
SUPERGROUP = {"id": -1007, "type": "supergroup", "title": "Friends"}
PERMISSIONS = dict.fromkeys(
    [
        *("can_send_audios", "can_send_documents", "can_send_photos", "can_send_videos", "can_send_video_notes"),
        *("can_send_voice_notes", "can_send_polls", "can_send_other_messages", "can_add_web_page_previews"),
        *("can_change_info", "can_invite_users", "can_pin_messages", "can_manage_topics", "can_edit_tag"),
        "can_react_to_messages",
    ],
    False,
)
RIGHTS = dict.fromkeys(
    [
        *("can_be_edited", "is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats"),
        *("can_restrict_members", "can_promote_members", "can_change_info", "can_invite_users"),
        *("can_post_stories", "can_edit_stories", "can_delete_stories", "can_send_welcome_messages"),
    ],
    False,
)


async def disabled(parts: Delivery) -> dict[str, str]:
    """The recipients that take nothing, with the reason."""
    return {each.chat: each.reason or "" for each in await parts.dovecote.disabled_recipients(bot="shop")}


async def told_of(parts: Delivery) -> list[str]:
    """The recipients of schedules for everybody."""
    table = parts.dovecote.database.tables.recipient
    statement = select(table.c.chat).where(table.c.zone_since.is_not(None)).order_by(table.c.chat)
    return await parts.dovecote.database.run(lambda connection: list(connection.execute(statement).scalars()))


async def test_who_starts_is_sent_to_again_and_is_a_recipient(parts: Delivery, bot: FrameworkBot) -> None:
    for text in ("/start", "/start code-17", "/start@shop_bot"):
        await parts.dovecote.disable_recipient("shop", 42, reason="opted_out")

        await bot.feed(message(text=text))

        assert await disabled(parts) == {}, text
        assert await told_of(parts) == ["42"], text
    assert bot.seen == [1, 2, 3]


async def test_other_messages_change_nothing(parts: Delivery, bot: FrameworkBot) -> None:
    await parts.dovecote.disable_recipient("shop", 42, reason="opted_out")

    for update in (message(text="/started"), message(text="please /start"), message(GROUP, text="/start"), message()):
        await bot.feed(update)

    assert await disabled(parts) == {"42": "opted_out"}
    assert await told_of(parts) == []
    assert bot.seen == [1, 2, 3, 4]


def speaking(language: str | None, chat: dict[str, Any] = PRIVATE, text: str = "hello") -> dict[str, Any]:
    """An update with a message from an app in that language."""
    sender = {name: value for name, value in ADA.items() if name != "language_code"}
    return message(chat, text=text, **{"from": sender | ({"language_code": language} if language else {})})


def pressing(language: str) -> dict[str, Any]:
    """An update with a pressed button, in a group."""
    sender = ADA | {"language_code": language}
    return {"callback_query": {"id": "1", "from": sender, "chat_instance": "1", "data": "x"}}


async def language_of(parts: Delivery) -> str | None:
    return (await parts.dovecote.recipient("shop", 42)).language


async def test_the_language_of_a_recipients_app_is_kept_and_follows_it(parts: Delivery, bot: FrameworkBot) -> None:
    await bot.feed(speaking("pt-br", text="/start"))
    assert await language_of(parts) == "pt-BR"

    for update, language in (
        (speaking(None), "pt-BR"),
        (speaking("de"), "de"),
        (speaking("en", GROUP), "de"),
        (pressing("fr"), "fr"),
        (speaking("no language at all"), "fr"),
        (speaking("de"), "de"),
    ):
        await bot.feed(update)
        assert await language_of(parts) == language


async def test_it_is_asked_once_what_is_known_of_a_language(
    parts: Delivery, bot: FrameworkBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bot.feed(speaking("de", text="/start"))

    async def asked(*_arguments: object) -> None:
        raise AssertionError("the database is asked about every message")

    monkeypatch.setattr(parts.dovecote, "recipient", asked)
    await bot.feed(speaking("de"))

    assert bot.seen == [1, 2]


async def test_who_never_started_has_no_language(parts: Delivery, bot: FrameworkBot) -> None:
    await bot.feed(speaking("de"))

    with pytest.raises(UnknownRecipient):
        await language_of(parts)


CANNOT_WRITE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (PRIVATE, {"status": "kicked", "until_date": 0}, "blocked"),
    (GROUP, {"status": "kicked", "until_date": 0}, "removed"),
    (GROUP, {"status": "left"}, "removed"),
    (
        SUPERGROUP,
        {"status": "restricted", "is_member": True, "until_date": 0, "can_send_messages": False, **PERMISSIONS},
        "restricted",
    ),
    (
        SUPERGROUP,
        {"status": "restricted", "is_member": False, "until_date": 0, "can_send_messages": True, **PERMISSIONS},
        "removed",
    ),
    (CHANNEL, {"status": "administrator", **RIGHTS, "can_post_messages": False}, "restricted"),
]


async def test_whoever_cannot_be_written_to_is_disabled_with_the_reason_and_enabled_when_that_ends(
    parts: Delivery, bot: FrameworkBot
) -> None:
    for chat, member, reason in CANNOT_WRITE:
        await bot.feed(membership(chat, **member))

        assert await disabled(parts) == {str(chat["id"]): reason}

        posts = {"status": "administrator", **RIGHTS, "can_post_messages": True}
        await bot.feed(membership(chat, **(posts if chat is CHANNEL else {"status": "member"})))

        assert await disabled(parts) == {}, (chat, member)
    assert bot.seen == list(range(1, 13))


async def test_who_blocks_and_comes_back_lives_where_it_did(parts: Delivery, bot: FrameworkBot) -> None:
    await parts.dovecote.set_recipient_zone("shop", 42, "Asia/Tokyo")

    await bot.feed(membership(PRIVATE, status="kicked", until_date=0))
    await bot.feed(membership(PRIVATE, status="member"))
    await bot.feed(message(text="/start"))

    table = parts.dovecote.database.tables.recipient
    zones = await parts.dovecote.database.run(lambda c: list(c.execute(select(table.c.chat, table.c.zone)).all()))
    assert [tuple(row) for row in zones] == [("42", "Asia/Tokyo")]


@pytest.mark.parametrize(
    "update",
    [message(GROUP, migrate_to_chat_id=-1007), message(SUPERGROUP, migrate_from_chat_id=-7)],
    ids=["in-the-group", "in-the-supergroup"],
)
async def test_what_waits_for_a_group_follows_it(parts: Delivery, bot: FrameworkBot, update: dict[str, Any]) -> None:
    (waiting,) = await parts.enqueue(Notification(bot="shop", chat_id=-7, text="hello"))
    await parts.dovecote.disable_recipient("shop", -7, reason="opted_out")

    await bot.feed(update)

    assert (await parts.dovecote.notification(waiting)).chat == "-1007"
    assert await disabled(parts) == {"-1007": "opted_out"}
    assert bot.seen == [1]


async def test_a_database_that_is_away_keeps_no_update_from_its_handler(
    parts: Delivery, bot: FrameworkBot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_arguments: object, **_named: object) -> None:
        raise StoreUnavailable("the database cannot be used just now")

    monkeypatch.setattr(parts.dovecote.database, "run", away)
    with caplog.at_level(logging.WARNING, logger="dovecote"):
        await bot.feed(message(text="/start"))

    assert bot.seen == [1]
    assert [record.message for record in caplog.records if record.name.startswith("dovecote")] == [
        'a change of a recipient of "shop" is lost: the database cannot be used just now'
    ]
    assert str(ADA["first_name"]) not in caplog.text
