"""`schedule`: from the command line, from the settings file, and what is refused."""

from __future__ import annotations

import re
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


EVERY_FACT = {
    "start": "2026-02-01 00:00:00",
    "end": "2099-02-01 00:00:00",
    "jitter": "0:05:00",
    "delivery": "at most once",
    "window": "2:00:00",
    "catch-up": "all, of the last 3:00:00, 7 at most",
    "grace": "0:00:30",
    "overlap": "skip",
}


def _facts(shown: str) -> dict[str, str]:
    """What `show` says, line by line."""
    split = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in shown.splitlines())
    return {parts[0]: parts[1] for parts in split if len(parts) == 2}


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
    facts = _facts(shown)
    assert (facts["window"], facts["catch-up"], facts["grace"]) == ("-", "latest, of the last 1 day", "0:01:00")
    assert (facts["overlap"], facts["delivery"]) == ("allow", "at least once")
    assert not {"start", "end", "jitter", "due, with its jitter"} & facts.keys()
    assert "jitter" not in shop.ok("schedule", "preview", "digest").out
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
        *("schedule", "add", "dice", "--bot", "shop", "--everybody", "--at-most-once", "--json"),
        *[w for o in options.items() for w in o],
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
    assert made["notification"] == {
        "bot": "shop",
        "method": "sendDice",
        "params": {"emoji": "🎯"},
        "priority": 2,
        "delivery": "at_most_once",
    }
    facts = _facts(shop.ok("schedule", "show", "dice").out)
    assert {name: facts[name] for name in EVERY_FACT} == EVERY_FACT
    assert "due, with its jitter" in facts
    assert "due, with its jitter" in shop.ok("schedule", "preview", "dice").out
    changed = shop.ok("schedule", "edit", "dice", "--at-least-once", "--json").json
    assert "delivery" not in changed["notification"]
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
        (("--cron", "*/999 * * * *"), "'*/999' meets one minute alone: a step is 1 to 59 there"),
        (("--at", "2020-01-01T09:00"), "can never fire after"),
        (("--at", "2026-02-30"), "at: '2026-02-30' is no local time (day is out of range for month)"),
        (("--at", "9999-01-01T09:00"), "at: 9999-01-01 09:00:00: give a year from 1970 to 8999."),
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
        (("--cron", "@daily", "--grace", "1h"), "grace: 1:00:00 is none that can be: give a duration from 0:00:00"),
        (("--cron", "@daily", "--param", "chat_id=42"), "to: 42: the notification names a chat itself"),
        (("--cron", "@daily", "--file", "reply_markup=17"), "a text stands here and no file"),
        (
            ("--cron", "@daily", "--method", "sendPhoto", "--param", "photo=attach://file1"),
            "give its id to `dovecote send --file` or `dovecote schedule add --file`",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_once(shop: CommandLine, arguments: tuple[str, ...], complaint: str) -> None:
    answer: Answer = shop("schedule", "add", "x", "--bot", "shop", "--chat", "42", "--text", "a", *arguments)

    assert answer.code == 1
    assert complaint in answer.err
    assert shop.ok("schedule", "list").out.startswith("There are no schedules.")


def test_all_that_cannot_be_is_told_at_once(shop: CommandLine) -> None:
    refused = shop(
        "schedule", "add", "digest", "--bot", "shop", "--cron", "61 * * * *", "--zone", "Mars/X", "--text", "hi"
    )

    assert refused.code == 1
    assert [line.removeprefix("Error: ").partition(":")[0] for line in refused.err.splitlines()] == [
        "chat",
        "zone",
        "cron",
    ]


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
        assert "schedule a: crom: there is no such key" in answer.out
        assert "schedule number 4: name: None is none: give a name." in answer.out
        assert shop("schedule", "apply").code == 1

    def test_faults_of_meaning_are_told_as_well(self, shop: CommandLine) -> None:
        code(shop, FILE.replace("0 9 * * *", "0 99 * * *").replace("It is time", ""))

        answer = shop("config", "check")

        assert "schedule digest: cron: '0 99 * * *': '99' is no hour" in answer.out
        assert "schedule reminder: text" in answer.out

    def test_faults_of_form_hide_none_of_meaning(self, shop: CommandLine) -> None:
        wrong = FILE.replace('chats = [42, "@news"]', "chat = 0")
        wrong += '[[schedule]]\nname = "form"\nbot = "shop"\nchat = 1\ntext = "a"\nevery = "2x"\n'
        wrong += '[[schedule]]\nname = "digest"\nbot = "shop"\nchat = 1\ntext = "a"\ncron = "@daily"\nzone = "Mars"\n'
        code(shop, wrong)

        told = shop("config", "check").out

        assert "schedule reminder: chat_id" in told
        assert "schedule form: every: '2x' is no duration" in told
        assert "schedule digest: zone: 'Mars' is no zone" in told
        assert "schedule digest: there are two of that name" in told

    def test_a_file_that_says_schedule_wrongly(self, shop: CommandLine) -> None:
        code(shop, "")
        file = shop.folder / "dovecote.toml"
        file.write_text(file.read_text() + '[schedule]\nname = "x"\n')

        assert "begin each with [[schedule]]" in shop("config", "check").out

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
        assert (
            "Each goes to those who live in its zone; all zones together are 2 recipients; the bot has no pace."
            in " ".join(shop.ok("schedule", "preview", "morning").out.split())
        )
        assert _facts(shop.ok("schedule", "show", "morning").out)["zone"] == (
            "each recipient's, else America/New_York, the bot's"
        )
        assert "America/New_York, the bot's" in shop.ok("schedule", "list").out
        assert shop.ok("bot", "show", "shop", "--json").json["zone"] == "America/New_York"
        shop.ok("schedule", "edit", "morning", "--zone", "Europe/Berlin")
        shop.ok("bot", "zone", "shop")
        assert _facts(shop.ok("schedule", "show", "morning").out)["zone"] == "each recipient's, else Europe/Berlin"

    def test_a_zone_that_is_none(self, shop: CommandLine) -> None:
        assert "is no zone" in shop("recipient", "zone", "--bot", "shop", "--chat", "42", "--zone", "Mars").err
        assert "is no zone" in shop("bot", "zone", "shop", "Mars").err


class TestFiles:
    def put(self, shop: CommandLine, name: str, content: bytes = b"\xff\xd8\xff a picture") -> int:
        (shop.folder / name).write_bytes(content + name.encode())
        id_: int = shop.ok("file", "put", name, "--json").json["id"]
        return id_

    def test_a_schedule_sends_stored_files_and_keeps_them(self, shop: CommandLine) -> None:
        old, new = self.put(shop, "old.jpg"), self.put(shop, "new.jpg")
        photo = ("--method", "sendPhoto", "--param", "caption=Today", "--file", f"photo={old}")
        shop.ok("schedule", "add", "digest", "--bot", "shop", "--chat", "42", "--cron", "0 9 * * *", *photo)
        kept = shop("file", "delete", str(old), "--yes")
        shop.ok("schedule", "edit", "digest", "--param", "caption=Now")
        captioned = _facts(shop.ok("schedule", "show", "digest").out)
        shop.ok("schedule", "edit", "digest", "--file", f"photo={new}")
        shop.ok("schedule", "trigger", "digest")

        shown = shop.ok("notification", "show", "1", "--json").json
        assert (kept.code, kept.out) == (1, "")
        assert f'file {old} is sent by the schedule "digest"' in kept.err
        assert captioned["files"] == f"photo: file {old}"
        assert [(file["field"], file["file_id"]) for file in shown["attachments"]] == [("photo", new)]
        assert shown["params"]["caption"] == "Now"
        shop.ok("file", "delete", str(old), "--yes")

    def test_another_method_takes_no_files_along(self, shop: CommandLine) -> None:
        photo = ("--method", "sendPhoto", "--file", f"photo={self.put(shop, 'a.jpg')}")
        shop.ok("schedule", "add", "digest", "--bot", "shop", "--chat", "42", "--cron", "0 9 * * *", *photo)

        shop.ok("schedule", "edit", "digest", "--method", "sendMessage", "--text", "Good morning")

        assert "files" not in _facts(shop.ok("schedule", "show", "digest").out)

    def test_a_file_in_the_settings(self, shop: CommandLine) -> None:
        id_ = self.put(shop, "a.jpg")
        table = FILE.split("[[schedule]]")[1].replace('text = "Good morning"', 'method = "sendPhoto"')
        code(shop, f"[[schedule]]{table}files = {{ photo = {id_} }}\n")

        applied = [shop.ok("schedule", "apply", "--json").json for _ in range(2)]
        shop.ok("schedule", "trigger", "digest")

        assert [(each["added"], each["unchanged"]) for each in applied] == [(["digest"], []), ([], ["digest"])]
        shown = shop.ok("notification", "show", "1", "--json").json
        assert [file["file_id"] for file in shown["attachments"]] == [id_]

    @pytest.mark.parametrize(
        ("files", "complaint"),
        [
            ("17", "17 is no table of files: write it as { photo = 17 }"),
            ('{ photo = "a.jpg" }', "photo is 'a.jpg': give an id of `dovecote file list`"),
            ("{ text = 1 }", "give only one of them"),
        ],
    )
    def test_what_is_no_file_in_the_settings(self, shop: CommandLine, files: str, complaint: str) -> None:
        table = FILE.split("[[schedule]]")[1].replace('text = "Good morning"', 'text = "a"')
        code(shop, f"[[schedule]]{table}files = {files}\n")

        answer = shop("schedule", "apply")

        assert answer.code == 1
        assert complaint in answer.err
