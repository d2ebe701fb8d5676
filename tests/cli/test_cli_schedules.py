"""`schedule`: from the command line, from the settings file, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from command_line import ended, until

if TYPE_CHECKING:
    from command_line import Answer, CommandLine

DAILY = ("--bot", "shop", "--chat", "42", "--cron", "0 9 * * *", "--zone", "Europe/Berlin", "--text", "Good morning")
FILE = """
[[schedule]]
name = "digest"
bot = "shop"
chat = 42
cron = "0 9 * * *"
zone = "Europe/Berlin"
text = "Good morning"

[[schedule]]
name = "reminder"
bot = "shop"
chats = [42, "@news"]
at = 2099-01-31T09:00:00
text = "It is time"
window = "2h"
"""


@pytest.fixture
def shop(dovecote: CommandLine) -> CommandLine:
    dovecote.bot()
    return dovecote


def code(shop: CommandLine, text: str) -> None:
    """Let the settings file have these schedules."""
    file = shop.folder / "dovecote.toml"
    settings = file.read_text().partition("[[schedule]]")[0]
    file.write_text(settings + text)


def added(shop: CommandLine, name: str = "digest", *more: str) -> Any:
    return shop.ok("schedule", "add", name, *DAILY, *more, "--json").json


def test_it_is_added_shown_listed_and_previewed(shop: CommandLine) -> None:
    made = added(shop)
    assert made["timing"] == {"zone": "Europe/Berlin", "cron": "0 9 * * *"}
    assert (made["notification"], made["to"]) == ({"bot": "shop", "text": "Good morning"}, ["42"])
    assert (made["origin"], made["version"], made["paused_at"]) == ("api", 1, None)

    assert [each["name"] for each in shop.ok("schedule", "list", "--json").json] == ["digest"]
    assert "0 9 * * *" in shop.ok("schedule", "list").out
    shown = shop.ok("schedule", "show", "digest").out
    assert "Good morning" in shown
    assert "by hand" in shown
    preview = shop.ok("schedule", "preview", "digest", "--count", "3", "--json").json
    assert [each["local"][11:19] for each in preview["fires"]] == ["09:00:00"] * 3
    assert (preview["recipients"], preview["seconds"]) == (1, None)
    assert "Each goes to 1 recipient; the bot has no pace." in shop.ok("schedule", "preview", "digest").out


def test_every_option_comes_through(shop: CommandLine) -> None:
    options = {
        "--every": "12h",
        "--anchor": "2026-01-01T06:00",
        "--zone": "Asia/Tokyo",
        "--start": "2026-02-01T00:00",
        "--end": "2099-02-01T00:00",
        "--jitter": "5m",
        "--skipped-hour": "skip",
        "--repeated-hour": "both",
        "--method": "sendDice",
        "--param": 'emoji="🎯"',
        "--priority": "bulk",
        "--window": "2h",
        "--catch-up": "all",
        "--catch-up-window": "3h",
        "--catch-up-cap": "7",
        "--grace": "30s",
        "--overlap": "skip",
    }

    made = shop.ok(
        "schedule", "add", "dice", "--bot", "shop", "--everybody", *[w for o in options.items() for w in o], "--json"
    ).json

    assert made["timing"] == {
        "zone": "Asia/Tokyo",
        "every": 43200.0,
        "anchor": "2026-01-01T06:00:00",
        "start": "2026-02-01T00:00:00",
        "end": "2099-02-01T00:00:00",
        "jitter": 300.0,
        "skipped_hour": "skip",
        "repeated_hour": "both",
    }
    assert made["notification"] == {"bot": "shop", "method": "sendDice", "params": {"emoji": "🎯"}, "priority": 2}
    assert made["to"] is None
    assert made["policies"] == {
        "catch_up": "all",
        "catch_up_window": 10800.0,
        "catch_up_cap": 7,
        "grace": 30.0,
        "overlap": "skip",
        "window": 7200.0,
    }


def test_an_edit_changes_what_is_named(shop: CommandLine) -> None:
    added(shop)

    changed = shop.ok("schedule", "edit", "digest", "--every", "1h", "--text", "Hourly", "--json").json

    assert changed["timing"] == {"zone": "Europe/Berlin", "every": 3600.0}
    assert (changed["notification"]["text"], changed["to"], changed["version"]) == ("Hourly", ["42"], 2)
    assert shop("schedule", "edit", "digest").code == 2


def test_pause_resume_trigger_backfill_delete(shop: CommandLine) -> None:
    added(shop)

    assert "none, paused since" in shop.ok("schedule", "pause", "digest").out
    assert "goes on" in shop.ok("schedule", "resume", "digest", "--missed", "catch-up").out
    assert "has fired at" in shop.ok("schedule", "trigger", "digest").out
    span = ("--since", "2026-01-30T00:00Z", "--until", "2026-01-31T23:00Z")
    assert shop.ok("schedule", "backfill", "digest", *span, "--json").json == {"fired": 2}
    assert shop.ok("schedule", "backfill", "digest", *span).out == "0 fire times have fired.\n"
    shown = shop.ok("schedule", "show", "digest", "--json").json
    assert [(each["happened"], each["part"]) for each in shown["occurrences"]] == [
        ("fired", "trigger"),
        ("fired", ""),
        ("fired", ""),
    ]
    assert shop.ok("stats", "--json").json["due"] == 3
    refused = shop("schedule", "delete", "digest")
    assert (refused.code, "add --yes" in refused.err) == (1, True)
    shop.ok("schedule", "delete", "digest", "--yes")
    assert shop("schedule", "show", "digest").err == (
        'Error: no schedule is named "digest": `dovecote schedule list` shows those that there are.\n'
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--cron", "0 25 * * *"), "cron: '0 25 * * *': '25' is no hour: it takes 0-23"),
        (("--cron", "0 0 30 2 *"), "it can never fire"),
        (("--at", "2020-01-01T09:00"), "can never fire after"),
        (("--cron", "@daily", "--zone", "Europe/Berlim"), 'is no zone: did you mean "Europe/Berlin"?'),
        (("--cron", "@daily", "--zone", "europe/berlin"), 'did you mean "Europe/Berlin"?'),
        (("--cron", "@daily", "--jitter", "2h", "--window", "1h"), "window: 1:00:00 is not longer than the jitter"),
        (("--cron", "@hourly", "--jitter", "2h"), "is not shorter than the time between two fire times"),
        (("--cron", "@daily", "--every", "1h"), "2 of cron, every, at, dates are given"),
        ((), "0 of cron, every, at, dates are given"),
        (("--every", "soon"), "every: 'soon' is no duration"),
        (("--cron", "@daily", "--catch-up", "some"), "catch_up: 'some' is none of none, latest, all"),
        (("--cron", "@daily", "--everybody"), "2 of chat, chats, everybody are given"),
        (("--cron", "@daily", "--start", "2030-01-01T00:00Z"), "has a zone: give the local time alone"),
        (("--cron", "@daily", "--text", " "), "shows nothing"),
    ],
)
def test_what_cannot_be_is_refused_at_once(shop: CommandLine, arguments: tuple[str, ...], complaint: str) -> None:
    answer: Answer = shop("schedule", "add", "x", "--bot", "shop", "--chat", "42", "--text", "a", *arguments)

    assert answer.code == 1
    assert complaint in answer.err
    assert shop.ok("schedule", "list").out.startswith("There are no schedules.")


class TestFile:
    def test_it_is_applied_and_applied_again_and_removed(self, shop: CommandLine) -> None:
        code(shop, FILE)
        assert shop.ok("config", "check").out == "OK: the settings have no faults.\n"

        assert shop.ok("schedule", "apply", "--json").json == {
            "added": ["digest", "reminder"],
            "changed": [],
            "removed": [],
            "unchanged": [],
        }
        assert shop.ok("schedule", "apply").out == "2 unchanged.\n"
        code(shop, FILE.partition('[[schedule]]\nname = "reminder"')[0].replace("Good morning", "Hello"))
        assert shop.ok("schedule", "apply").out == "changed: digest\nremoved: reminder\n0 unchanged.\n"
        code(shop, "")
        assert shop.ok("schedule", "apply").out == "removed: digest\n0 unchanged.\n"

    def test_a_table_is_what_the_options_are(self, shop: CommandLine) -> None:
        by_hand = added(shop, "by-hand")
        code(shop, FILE)
        shop.ok("schedule", "apply")

        by_file = shop.ok("schedule", "show", "digest", "--json").json

        for same in ("timing", "notification", "to", "local_time", "policies"):
            assert by_file[same] == by_hand[same]
        assert by_file["origin"] == "file"
        assert "comes from the settings file" in shop("schedule", "edit", "digest", "--text", "x").err
        assert "comes from the settings file" in shop("schedule", "delete", "digest", "--yes").err

    def test_every_fault_is_told_with_its_schedule(self, shop: CommandLine) -> None:
        code(
            shop, FILE + '[[schedule]]\nname = "a"\nbot = "shop"\nchat = 1\ncrom = "x"\n[[schedule]]\ncron = "@daily"\n'
        )

        answer = shop("config", "check")

        assert answer.code == 1
        assert "schedule a: crom: there is no such key" in answer.err
        assert "schedule number 4: name: None is none: give a name." in answer.err
        assert shop("schedule", "apply").code == 1

    def test_faults_of_meaning_are_told_as_well(self, shop: CommandLine) -> None:
        code(shop, FILE.replace("0 9 * * *", "0 99 * * *").replace("It is time", ""))

        answer = shop("config", "check")

        assert "schedule digest: cron: '0 99 * * *': '99' is no hour" in answer.err
        assert "schedule reminder: text" in answer.err

    def test_a_file_that_says_schedule_wrongly(self, shop: CommandLine) -> None:
        code(shop, "")
        file = shop.folder / "dovecote.toml"
        file.write_text(file.read_text() + '[schedule]\nname = "x"\n')

        assert "begin each with [[schedule]]" in shop("config", "check").err

    def test_what_has_been_may_stay_in_the_file(self, shop: CommandLine) -> None:
        code(shop, FILE.replace("2099-01-31", "2020-01-31"))

        assert shop.ok("schedule", "apply").out.startswith("added: digest, reminder\n")
        assert shop.ok("schedule", "apply").out == "2 unchanged.\n"

    def test_a_worker_applies_it_when_it_starts(self, shop: CommandLine) -> None:
        code(shop, FILE.replace('cron = "0 9 * * *"', 'every = "1s"'))
        process = shop.start("worker")
        try:
            until(lambda: _fired(shop) >= 2)
        finally:
            process.terminate()
        answer = ended(process)

        assert answer.code == 0, answer.err
        assert "schedules of the settings file added: digest, reminder" in answer.err


def _fired(shop: CommandLine) -> int:
    answer = shop("schedule", "show", "digest", "--json")
    return len(answer.json["occurrences"]) if answer.code == 0 else 0


class TestZones:
    def test_where_a_recipient_lives(self, shop: CommandLine) -> None:
        shop.ok("recipient", "zone", "--bot", "shop", "--chat", "42", "--zone", "Asia/Tokyo")
        shop.ok("recipient", "zone", "--bot", "shop", "--chat", "43")
        shop.ok("bot", "zone", "shop", "America/New_York")
        options = ("--cron", "0 9 * * *", "--text", "Hello", "--everybody", "--local-time")
        shop.ok("schedule", "add", "morning", "--bot", "shop", *options)

        preview = shop.ok("schedule", "preview", "morning", "--count", "2", "--json").json

        assert {each["zone"] for each in preview["fires"]} == {"Asia/Tokyo", "America/New_York"}
        assert preview["recipients"] == 2
        assert shop.ok("bot", "show", "shop", "--json").json["zone"] == "America/New_York"

    def test_a_zone_that_is_none(self, shop: CommandLine) -> None:
        assert "is no zone" in shop("recipient", "zone", "--bot", "shop", "--chat", "42", "--zone", "Mars").err
        assert "is no zone" in shop("bot", "zone", "shop", "Mars").err
