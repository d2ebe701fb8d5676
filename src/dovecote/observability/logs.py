"""Logs: standard `logging` in front, structlog behind, for people or for programs.

Any module logs through `logging.getLogger(__name__)`; what it gives as `extra` (`notification`, `bot`) becomes fields
of the line. Whatever is written passes `redact` as a finished line, tracebacks and foreign loggers included.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.stdlib import ExtraAdder, ProcessorFormatter

from dovecote.redaction import redact

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor


def configure_logging(
    *, format: Literal["console", "json"] = "console", level: str = "info", stream: TextIO | None = None
) -> None:
    """Send what is logged at `level` or above, by anybody in this process, to `stream` (standard error by default).

    Called again it replaces what it set up before; handlers of others stay. Raises ValueError for an unknown level.
    """
    stream = sys.stderr if stream is None else stream
    handler = LogHandler(stream)
    handler.setFormatter(_RedactingFormatter(processors=_rendering(format, stream), foreign_pre_chain=_fields()))
    root = logging.getLogger()
    root.setLevel(level.upper())
    for earlier in [handler for handler in root.handlers if isinstance(handler, LogHandler)]:
        root.removeHandler(earlier)
        earlier.close()
    root.addHandler(handler)
    # Its comings and goings are the listener's, which logs them itself, with its address.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # It tells which dialect it looks at, at every look (readiness looks each time it is asked), and its own plug-ins.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # At lower levels these tell each row that a database has answered, or each value that it was given.
    for rows in ("sqlalchemy", "aiosqlite"):
        logging.getLogger(rows).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*_fields(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class LogHandler(logging.StreamHandler[TextIO]):
    """The handler of `configure_logging`. What goes wrong while logging is told without secrets as well."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Tell on standard error which line could not be written, and why, redacted."""
        if logging.raiseExceptions and sys.stderr is not None:
            text = f"a line of the log could not be written: {record.msg!r} {record.args!r}\n{traceback.format_exc()}"
            # Where not even that can be written (a full disk, a pipe that nobody reads), the work goes on all the same.
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(redact(text))


class _RedactingFormatter(ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _fields() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        ExtraAdder(),
        _without_copies,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendering(format: Literal["console", "json"], stream: TextIO) -> list[Processor]:
    # Both show a traceback without the values of variables: a frame that sends holds the token.
    if format == "json":
        return [
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=json.dumps, ensure_ascii=False),
        ]
    colours = stream.isatty() and "NO_COLOR" not in os.environ
    return [
        ProcessorFormatter.remove_processors_meta,
        ConsoleRenderer(colors=colours, exception_formatter=plain_traceback),
    ]


def _without_copies(_logger: Any, _method: str, event: EventDict) -> EventDict:
    # Copies of the message and the time, which uvicorn and formatters of other handlers leave on the record.
    if "_record" in event:
        for name in ("color_message", "message", "asctime"):
            event.pop(name, None)
    return event
