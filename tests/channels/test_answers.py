"""What an answer means: Telegram's table by hand, and that nothing at all can make it raise."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dovecote.channels.answers import classify
from dovecote.model import (
    BotStopped,
    Dead,
    Delivered,
    Failed,
    FileFault,
    Migrated,
    Outcome,
    Refusal,
    Snoozed,
    Unknown,
)


def refusal(code: int, description: str, **parameters: Any) -> bytes:
    answer: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    if parameters:
        answer["parameters"] = parameters
    return json.dumps(answer).encode()


class TestDelivered:
    @pytest.mark.parametrize(
        ("result", "message_ids"),
        [
            ('{"message_id": 5, "chat": {"id": 1}}', (5,)),
            ('[{"message_id": 5}, {"message_id": 6}]', (5, 6)),
            ("true", ()),
            ('{"id": 1, "is_bot": true}', ()),
            ("null", ()),
            ("17", ()),
            ('"https://t.me/x"', ()),
            ("[]", ()),
            ('[5, null, {"message_id": 6}]', (6,)),
            ('{"message_id": true}', ()),
            ('{"message_id": "5"}', ()),
            ('{"message_id": 5.0}', ()),
            ('{"message_id": 0}', ()),
            ('{"message_id": 9223372036854775807}', (9223372036854775807,)),
            ('{"message_id": 9223372036854775808}', ()),
            ('{"message_id": 1e300}', ()),
        ],
    )
    def test_the_message_ids_of_a_result(self, result: str, message_ids: tuple[int, ...]) -> None:
        assert classify(200, f'{{"ok": true, "result": {result}}}'.encode()) == Delivered(message_ids)

    def test_no_more_message_ids_than_one_call_can_make(self) -> None:
        result = [{"message_id": number} for number in range(1, 103)]

        assert classify(200, json.dumps({"ok": True, "result": result}).encode()) == Delivered(tuple(range(1, 101)))

    def test_a_result_may_be_missing(self) -> None:
        assert classify(200, b'{"ok":true}') == Delivered()

    @pytest.mark.parametrize(
        "description",
        [
            "Bad Request: message is not modified: specified new message content and reply markup are exactly the same",
            "Bad Request: message to delete not found",
        ],
    )
    def test_a_wish_that_is_already_true(self, description: str) -> None:
        assert classify(400, refusal(400, description)) == Delivered()


class TestRefused:
    @pytest.mark.parametrize(
        ("code", "description", "kind"),
        [
            (400, "Bad Request: message text is empty", Dead),
            (400, "Bad Request: can't parse entities: unclosed start tag at byte offset 3", Dead),
            (400, "Bad Request: BUTTON_URL_INVALID", Dead),
            (400, "Bad Request: message to be replied not found", Dead),
            (413, "Request Entity Too Large", Dead),
            (404, "Not Found: method not found", Dead),
            (409, "Conflict: terminated by other getUpdates request", Dead),
            (401, "Unauthorized", BotStopped),
            (404, "Not Found", BotStopped),
            (421, "Misdirected Request", BotStopped),
            (400, "Logged out", BotStopped),
            (400, "Bad Request: FROZEN_METHOD_INVALID", BotStopped),
            (403, "Forbidden: FROZEN_METHOD_INVALID", BotStopped),
            (500, "Internal Server Error: restart", Unknown),
            (500, "Internal Server Error: Request aborted", Unknown),
            (502, "Bad Gateway", Unknown),
            (599, "whatever", Unknown),
            (408, "Request Timeout", Unknown),
        ],
    )
    def test_code_and_description_decide_and_are_kept(self, code: int, description: str, kind: Any) -> None:
        assert classify(code, refusal(code, description)) == kind(description, code)

    @pytest.mark.parametrize(
        ("code", "description", "refused"),
        [
            (403, "Forbidden: bot was blocked by the user", Refusal.BLOCKED),
            (403, "Forbidden: user is deactivated", Refusal.DEACTIVATED),
            (403, "Forbidden: bot can't initiate conversation with a user", Refusal.NOT_STARTED),
            (403, "Forbidden: bot can't send messages to bots", Refusal.NOT_STARTED),
            (403, "Forbidden: bot was kicked from the group chat", Refusal.REMOVED),
            (403, "Forbidden: bot is not a member of the supergroup chat", Refusal.REMOVED),
            (403, "Forbidden: the group chat was deleted", Refusal.REMOVED),
            (400, "Bad Request: chat not found", Refusal.NOT_FOUND),
            (400, "Bad Request: PEER_ID_INVALID", Refusal.NOT_FOUND),
            (400, "Bad Request: not enough rights to send text messages to the chat", Refusal.RESTRICTED),
            (400, "Bad Request: need administrator rights in the channel chat", Refusal.RESTRICTED),
            (400, "Bad Request: CHAT_WRITE_FORBIDDEN", Refusal.RESTRICTED),
            (400, "Bad Request: message thread not found", Refusal.TOPIC_CLOSED),
            (400, "Bad Request: TOPIC_CLOSED", Refusal.TOPIC_CLOSED),
        ],
    )
    def test_whom_a_refusal_means_is_said(self, code: int, description: str, refused: Refusal) -> None:
        assert classify(code, refusal(code, description)) == Dead(description, code, refused)

    @pytest.mark.parametrize(
        "words",
        ["not enough rights to pin a message", "need administrator rights in the channel", "CHAT_WRITE_FORBIDDEN"],
    )
    @pytest.mark.parametrize(
        ("method", "refused"),
        [
            ("pinChatMessage", None),
            ("deleteMessage", None),
            ("editMessageText", None),
            ("restrictChatMember", None),
            ("sendPhoto", Refusal.RESTRICTED),
            ("SENDMESSAGE", Refusal.RESTRICTED),
            ("copyMessage", Refusal.RESTRICTED),
            ("forwardMessages", Refusal.RESTRICTED),
        ],
    )
    def test_a_right_that_is_missing_restricts_the_chat_only_where_it_is_that_of_sending(
        self, words: str, method: str, refused: Refusal | None
    ) -> None:
        assert classify(400, refusal(400, words), method=method) == Dead(words, 400, refused)

    def test_a_recipient_that_blocked_the_bot_has_done_so_whatever_was_called(self) -> None:
        words = "Forbidden: bot was blocked by the user"

        assert classify(403, refusal(403, words), method="pinChatMessage") == Dead(words, 403, Refusal.BLOCKED)

    def test_the_words_of_a_refusal_under_another_code_say_nothing_of_the_recipient(self) -> None:
        assert classify(409, refusal(409, "Conflict: chat not found")) == Dead("Conflict: chat not found", 409, None)

    def test_what_was_taken_away_again_is_not_sent_again_by_itself(self) -> None:
        words = "Internal Server Error: sent message was immediately deleted"

        assert classify(500, refusal(500, words)) == Unknown(words, 500, again=False)

    @pytest.mark.parametrize(
        "words",
        ["failed to get HTTP URL content", "wrong type of the web page content"],
    )
    def test_a_url_that_could_not_be_fetched_is_worth_one_more_try(self, words: str) -> None:
        assert classify(400, refusal(400, f"Bad Request: {words}")) == Failed(
            f"Bad Request: {words}", 400, retries=1, file=FileFault.NOT_FETCHED
        )

    @pytest.mark.parametrize(
        "words",
        [
            "wrong file identifier/HTTP URL specified",
            "wrong remote file identifier specified: Wrong string length",
            "wrong file_id or the file is temporarily unavailable",
            "can't use file of type Photo as Video",
            "FILE_REFERENCE_EXPIRED",
        ],
    )
    def test_a_file_id_that_telegram_does_not_know_is_told_apart(self, words: str) -> None:
        error = f"Bad Request: {words}"

        assert classify(400, refusal(400, error)) == Dead(error, 400, file=FileFault.UNKNOWN_ID)
        failed = f'Bad Request: failed to send message #2 with the error message "{words}"'
        assert classify(400, refusal(400, failed)) == Dead(failed, 400, file=FileFault.UNKNOWN_ID)

    @pytest.mark.parametrize(
        "phrase",
        [
            "FROZEN_METHOD_INVALID",
            "Logged out",
            "message is not modified",
            "message to delete not found",
            "chat not found",
            "PEER_ID_INVALID",
            "not enough rights",
            "CHAT_WRITE_FORBIDDEN",
            "TOPIC_CLOSED",
            "failed to get HTTP URL content",
            "Bad Request: chat not found",
            "group chat was upgraded to a supergroup chat",
        ],
    )
    @pytest.mark.parametrize(
        "quoting",
        [
            'Bad Request: can\'t parse entities: Unsupported start tag "{}" at byte offset 0',
            'Bad Request: field "{}" must be of type String',
            "{} is what the caller wrote: Bad Request",
            "Bad Request: {}_BY_ANOTHER_CODE",
        ],
    )
    def test_the_callers_own_text_in_a_refusal_means_nothing(self, quoting: str, phrase: str) -> None:
        if quoting.startswith("{}"):
            phrase = f"x {phrase}"
        words = quoting.format(phrase)

        assert classify(400, refusal(400, words, migrate_to_chat_id=-100123)) == Dead(words, 400)

    def test_the_callers_own_text_in_a_403_disables_nobody(self) -> None:
        words = 'Forbidden: "bot was blocked by the user" is no name'

        assert classify(403, refusal(403, words)) == Dead(words, 403)

    @pytest.mark.parametrize(
        ("reason", "refused"), [("CHAT_WRITE_FORBIDDEN", Refusal.RESTRICTED), ("WEBPAGE_CURL_FAILED", None)]
    )
    def test_the_reason_that_one_message_of_an_album_failed(self, reason: str, refused: Refusal | None) -> None:
        words = f'Bad Request: failed to send message #2 with the error message "{reason}"'

        assert classify(400, refusal(400, words)) == Dead(words, 400, refused)

    def test_the_code_in_the_body_counts_before_the_status(self) -> None:
        words = "Forbidden: bot was kicked"

        assert classify(200, refusal(403, words)) == Dead(words, 403, Refusal.REMOVED)

    def test_a_failing_gateway_counts_before_the_body(self) -> None:
        assert classify(502, refusal(403, "Forbidden: bot was kicked")) == Unknown("Forbidden: bot was kicked", 403)

    @pytest.mark.parametrize("error_code", ["null", "true", '"403"', "0", "1e300", "99999999999999999999", "[]"])
    def test_a_code_that_is_none_gives_way_to_the_status(self, error_code: str) -> None:
        body = f'{{"ok": false, "error_code": {error_code}, "description": "Forbidden"}}'.encode()

        assert classify(403, body) == Dead("Forbidden", 403)

    @pytest.mark.parametrize("description", ["null", "5", "{}", '""'])
    def test_a_description_that_is_none(self, description: str) -> None:
        body = f'{{"ok": false, "error_code": 400, "description": {description}}}'.encode()

        assert classify(400, body) == Dead("HTTP 400 without a description", 400)

    def test_a_long_description_is_cut(self) -> None:
        outcome = classify(400, refusal(400, "x" * 501))

        assert outcome == Dead("x" * 499 + "…", 400)
        assert classify(400, refusal(400, "x" * 500)) == Dead("x" * 500, 400)

    def test_control_characters_are_one_space(self) -> None:
        assert classify(400, refusal(400, "Bad\x00\r\nRequest\x7f")) == Dead("Bad Request ", 400)

    @pytest.mark.parametrize("code_point", [0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
    def test_what_breaks_or_turns_a_line_is_a_space(self, code_point: int) -> None:
        assert classify(400, refusal(400, f"Bad{chr(code_point)}Request")) == Dead("Bad Request", 400)

    def test_the_secret_is_taken_out_before_the_cut(self) -> None:
        secret = "7000001:AAverySecretPartOfAToken"
        text = "x" * 490 + f"/bot{secret}/sendMessage and {secret.partition(':')[2]}"

        outcome = classify(400, refusal(400, text), secret=secret)

        assert outcome == Dead("x" * 490 + "/bot[toke" + "…", 400)


class TestMigrated:
    WORDS = "Bad Request: group chat was upgraded to a supergroup chat"

    @pytest.mark.parametrize(
        ("chat", "named"), [(-1001234567890, "-1001234567890"), (5, "5"), (-9007199254740993, "-9007199254740993")]
    )
    def test_the_new_chat_is_named(self, chat: int, named: str) -> None:
        assert classify(400, refusal(400, self.WORDS, migrate_to_chat_id=chat)) == Migrated(named, self.WORDS)

    @pytest.mark.parametrize("chat", [0, True, "-100", 1.5, None, [], 10**19])
    def test_without_a_chat_that_can_be_it_is_dead(self, chat: object) -> None:
        assert classify(400, refusal(400, self.WORDS, migrate_to_chat_id=chat)) == Dead(self.WORDS, 400)

    def test_without_parameters_it_is_dead(self) -> None:
        assert classify(400, refusal(400, self.WORDS)) == Dead(self.WORDS, 400)


class TestSnoozed:
    @pytest.mark.parametrize(
        ("retry_after", "header", "seconds"),
        [
            (35, None, 35),
            (35, "7", 35),
            (None, "7", 7),
            (None, None, 1),
            ("35", None, 1),
            ("35", "7", 7),
            (True, "7", 7),
            (0, "7", 1),
            (-5, None, 1),
            (1.5, None, 2),
            (86400, None, 86400),
            (10**18, None, 366 * 86400),
            (1e300, None, 366 * 86400),
            (None, "Wed, 21 Oct 2026 07:28:00 GMT", 1),
            (None, "-7", 1),
            (None, "9" * 5000, 1),
            (None, "9" * 18, 366 * 86400),
        ],
    )
    def test_the_wait_is_the_parameter_or_the_header_or_a_second(
        self, retry_after: object, header: str | None, seconds: float
    ) -> None:
        body = refusal(429, "Too Many Requests", retry_after=retry_after)

        outcome = classify(429, body, retry_after=header)

        assert outcome == Snoozed(timedelta(seconds=seconds), error="Too Many Requests")

    @pytest.mark.parametrize("parameters", ["null", "[]", "5", '"retry_after"', "{}"])
    def test_parameters_of_another_shape(self, parameters: str) -> None:
        body = f'{{"ok": false, "error_code": 429, "description": "Later", "parameters": {parameters}}}'.encode()

        assert classify(429, body) == Snoozed(timedelta(seconds=1), error="Later")

    def test_a_429_of_a_proxy(self) -> None:
        outcome = classify(429, b"<html>", retry_after="3")

        assert outcome == Snoozed(timedelta(seconds=3), error="HTTP 429 without a readable answer")


class TestUnreadable:
    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>", b'{"ok":true,"result":{"mess', b"[]", b"null", b"true", b"5", b"{}", b'{"ok":1}', b"\xff"],
    )
    @pytest.mark.parametrize("status", [200, 201, 302, 400, 401, 403, 404, 500, 502])
    def test_what_is_no_answer_of_the_bot_api_proves_nothing(self, status: int, body: bytes) -> None:
        expected = f"HTTP {status} with {len(body)} bytes that are no answer of the Bot API"

        assert classify(status, body) == Unknown(expected, status)

    def test_a_success_under_another_status_proves_nothing(self) -> None:
        assert type(classify(502, b'{"ok":true,"result":{"message_id":5}}')) is Unknown

    def test_413_is_a_refusal_whoever_gave_it(self) -> None:
        assert classify(413, b"<html>") == Dead("HTTP 413 without a readable answer: the request is too large", 413)

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            (200, Unknown("HTTP 200 with more than 1048576 bytes that are no answer of the Bot API", 200)),
            (400, Unknown("HTTP 400 with more than 1048576 bytes that are no answer of the Bot API", 400)),
            (429, Snoozed(timedelta(seconds=3), error="HTTP 429 without a readable answer")),
        ],
    )
    def test_more_than_any_answer_has(self, status: int, outcome: Outcome) -> None:
        body = b'{"ok":true,"result":{"message_id":5}}'.ljust(2**20)

        assert classify(200, body) == Delivered((5,))
        assert classify(status, body + b" ", retry_after="3") == outcome

    def test_nesting_without_end(self) -> None:
        assert type(classify(200, b'{"ok":' + b"[" * 200_000)) is Unknown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=600),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "ok": st.booleans() | JSON,
        "result": JSON
        | st.fixed_dictionaries({"message_id": JSON})
        | st.lists(st.fixed_dictionaries({"message_id": JSON})),
        "error_code": st.sampled_from([400, 401, 403, 404, 413, 421, 429, 500, 502]) | JSON,
        "description": st.sampled_from(
            [
                "Not Found",
                "Logged out",
                "message is not modified",
                "chat not found",
                "failed to get HTTP URL content",
                "group chat was upgraded to a supergroup chat",
            ]
        )
        | JSON,
        "parameters": JSON
        | st.fixed_dictionaries({"retry_after": JSON})
        | st.fixed_dictionaries({"migrate_to_chat_id": JSON}),
    },
)
STATUSES = st.integers(100, 599) | st.sampled_from([200, 400, 403, 429, 500])


def assert_storable(outcome: Outcome) -> None:
    """A store can keep it: in PostgreSQL's text, in 64 bits, added to a date."""
    assert type(outcome) in {Delivered, Snoozed, Failed, Unknown, Dead, Migrated, BotStopped}
    match outcome:
        case Delivered(message_ids):
            assert all(0 < message_id < 2**63 for message_id in message_ids)
        case Snoozed(retry_after, _, error):
            assert retry_after > timedelta(0)
            assert datetime.now(UTC) + retry_after > datetime.now(UTC)
            assert len(error) <= 500
            assert "\x00" not in error
        case Migrated(chat, error):
            assert 0 < abs(int(chat)) < 2**63
            assert 0 < len(error) <= 500
            assert "\x00" not in error
        case Failed(error, code) | Unknown(error, code) | Dead(error, code) | BotStopped(error, code):
            assert 0 < len(error) <= 500
            assert "\x00" not in error.encode().decode()
            assert code is not None
            assert 100 <= code <= 599


class TestNothingRaises:
    @given(status=STATUSES, answer=ANSWERS | JSON, header=st.none() | st.text(max_size=30))
    @example(status=429, answer={"ok": False, "parameters": {"retry_after": 1e-9}}, header=None)
    def test_json_of_any_shape(self, status: int, answer: object, header: str | None) -> None:
        body = json.dumps(answer).encode()

        assert_storable(classify(status, body, retry_after=header, secret="7000001:AAverySecretPartOfAToken"))

    @given(status=STATUSES, body=st.binary(max_size=200))
    def test_any_bytes(self, status: int, body: bytes) -> None:
        assert_storable(classify(status, body))

    @given(answer=ANSWERS, end=st.integers(0, 2000))
    def test_an_answer_cut_anywhere_is_never_delivered(self, answer: dict[str, Any], end: int) -> None:
        body = json.dumps({**answer, "ok": True}).encode()

        assert type(classify(200, body[: min(end, len(body) - 1)])) is Unknown
