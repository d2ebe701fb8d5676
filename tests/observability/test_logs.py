"""Logs: lines for people and for programs, fields, and no secret in any of them."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from sqlalchemy import create_engine, text

from dovecote.observability.logs import LogHandler, configure_logging
from dovecote.redaction import impersonal

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
SECRET = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
LOG = logging.getLogger("dovecote.worker")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    names = (None, "uvicorn", "alembic", "sqlalchemy", "aiosqlite")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    root = logging.getLogger()
    yield
    for handler in [handler for handler in root.handlers if isinstance(handler, LogHandler)]:
        root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    structlog.reset_defaults()


def configured(format: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(format="json" if format == "json" else "console", level=level, stream=stream)
    return stream


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert isinstance(fields, dict)
    return fields


def fail_with_the_token(token: str) -> None:
    raise OSError(f"cannot reach https://api.telegram.org/bot{token}/sendMessage")


def test_no_row_of_a_database_is_in_the_log_at_any_level() -> None:
    stream = configured("json", "debug")
    engine = create_engine("sqlite://", hide_parameters=True)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT 'Dear ' || :name"), {"name": "Ada"}).scalar() == "Dear Ada"

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        ("Bad Request: chat not found", "Bad Request: chat not found"),
        (
            "Bad Request: can't parse entities: Unsupported start tag \"ada's\" at byte offset 5",
            'Bad Request: can\'t parse entities: Unsupported start tag "..." at byte offset 5',
        ),
        (
            "its text cannot be made: template: {'name': 'Ada \"the\" 1'} is no text",
            "its text cannot be made: template: {'...'} is no text",
        ),
        ("the group became -1001234567890", "the group became ..."),
        ("4242424242 is no text: choose", "... is no text: choose"),
    ],
)
def test_an_error_is_logged_without_what_it_quotes(error: str, logged: str) -> None:
    assert impersonal(error) == logged


def test_what_alembic_tells_of_itself_is_left_out() -> None:
    stream = configured("json", "debug")

    for name in ("alembic.runtime.plugins", "alembic.runtime.migration"):
        logging.getLogger(name).info("setting up plugin alembic.autogenerate.schemas")
    logging.getLogger("alembic.runtime.plugins").warning("it cannot be set up")

    assert only_line(stream)["event"] == "it cannot be set up"


class TestLines:
    def test_a_program_reads_an_object_with_level_logger_time_and_fields(self) -> None:
        stream = configured("json")

        LOG.info("delivered %s", "at last", extra={"notification": 17, "bot": "shop"})

        fields = only_line(stream)
        assert fields.pop("timestamp").endswith("Z")
        assert fields == {
            "event": "delivered at last",
            "level": "info",
            "logger": "dovecote.worker",
            "notification": 17,
            "bot": "shop",
        }

    def test_a_person_reads_the_same_without_colours_in_a_file(self) -> None:
        stream = configured("console")

        LOG.warning("Привет", extra={"notification": 17, "bot": "shop"})

        (line,) = stream.getvalue().splitlines()
        assert "\x1b" not in line
        for part in ("warning", "Привет", "dovecote.worker", "notification=17", "bot=shop"):
            assert part in line

    def test_what_is_logged_through_structlog_looks_the_same(self) -> None:
        stream = configured("json")

        structlog.get_logger("dovecote.worker").info("delivered", notification=17)

        fields = only_line(stream)
        assert (fields["event"], fields["notification"], fields["logger"]) == ("delivered", 17, "dovecote.worker")

    def test_fields_that_are_bound_for_a_task_appear(self) -> None:
        stream = configured("json")

        with structlog.contextvars.bound_contextvars(bot="shop"):
            LOG.info("hello")

        assert only_line(stream)["bot"] == "shop"

    def test_what_is_less_severe_than_the_level_is_not_written(self) -> None:
        stream = configured("json", level="warning")

        LOG.info("no")
        LOG.warning("yes")

        assert only_line(stream)["event"] == "yes"

    def test_an_unknown_level_is_refused(self) -> None:
        with pytest.raises(ValueError, match="LOUD"):
            configured("json", level="loud")

    def test_configured_twice_a_line_is_written_once_and_foreign_handlers_stay(self) -> None:
        foreign = logging.NullHandler()
        logging.getLogger().addHandler(foreign)
        first = configured("json")
        second = configured("json")

        LOG.info("hello")

        assert first.getvalue() == ""
        assert only_line(second)["event"] == "hello"
        assert foreign in logging.getLogger().handlers
        logging.getLogger().removeHandler(foreign)

    def test_a_field_that_json_does_not_know_does_not_lose_the_line(self) -> None:
        stream = configured("json")

        LOG.info("hello", extra={"thing": {1}})

        assert only_line(stream)["thing"] == "{1}"


@pytest.mark.parametrize("format", ["console", "json"])
class TestSecrets:
    def test_no_token_is_in_a_message_an_argument_or_a_field(self, format: str) -> None:
        stream = configured(format)

        LOG.info(f"POST /bot{TOKEN}/getMe")  # noqa: G004 - as careless code does
        LOG.info("POST %s", TOKEN)
        LOG.info("POST", extra={"url": f"/bot{TOKEN}/getMe", "nested": {"deep": [TOKEN.encode()]}})
        structlog.get_logger().info("POST", url=TOKEN)

        assert len(stream.getvalue().splitlines()) == 4
        assert SECRET not in stream.getvalue()
        assert stream.getvalue().count("<bot token>") == 5

    def test_no_token_is_in_a_traceback_or_its_causes(self, format: str) -> None:
        stream = configured(format)

        try:
            try:
                fail_with_the_token(TOKEN)
            except OSError as error:
                raise RuntimeError(f"gave up on {TOKEN}") from error
        except RuntimeError:
            LOG.exception("sending failed", extra={"notification": 17})

        text = stream.getvalue()
        assert "RuntimeError: gave up on <bot token>" in text
        assert "OSError: cannot reach https://api.telegram.org/bot<bot token>/sendMessage" in text
        assert "fail_with_the_token" in text
        assert SECRET not in text

    def test_no_token_is_in_a_stack(self, format: str) -> None:
        stream = configured(format)

        LOG.info("here", stack_info=True)

        assert "Stack (most recent call last)" in stream.getvalue()

    def test_no_password_of_a_url_is_written(self, format: str) -> None:
        stream = configured(format)

        LOG.error("cannot connect to %s", "postgresql://dove:hunter2@db/shop")

        assert "postgresql://dove:***@db/shop" in stream.getvalue()

    def test_a_call_that_cannot_be_formatted_is_told_without_the_token(
        self, format: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configured(format)

        # Past pytest's own handler, which would raise it.
        (handler,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, LogHandler)]
        handler.handle(LOG.makeRecord("dovecote.worker", logging.INFO, "worker.py", 1, "%d sent", (TOKEN,), None))

        told = capsys.readouterr().err
        assert "a line of the log could not be written: '%d sent'" in told
        assert "<bot token>" in told
        assert SECRET not in told

    def test_a_log_that_cannot_be_written_stops_nobody(self, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
        full = FullDisk()
        configure_logging(format=format, stream=full)  # type: ignore[arg-type] # a parameter
        monkeypatch.setattr("sys.stderr", full)

        LOG.warning("what nobody can read")
        LOG.error("nor this", exc_info=RuntimeError("on top of that"))

        assert full.tries >= 4


class FullDisk(io.StringIO):
    """A file on a disk that is full."""

    tries = 0

    def write(self, _text: str) -> int:
        self.tries += 1
        raise OSError(27, "File too large")
