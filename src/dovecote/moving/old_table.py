"""The old table as its owner describes it: a TOML file that says which column is what, and which rows are meant.

It is read as a whole, with every fault at once. The SQL in it is the operator's own, as is the database it runs in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping  # noqa: TC003 (pydantic reads the annotation)
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dovecote.errors import InvalidConfiguration

if TYPE_CHECKING:
    from pathlib import Path

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Columns(BaseModel):
    """The columns' names. `id` grows with every row and is unique; `text` or `params` (JSON) is what is sent."""

    model_config = STRICT

    id: str
    chat_id: str
    text: str | None = None
    params: str | None = None
    method: str | None = None
    due_at: str | None = None

    @model_validator(mode="after")
    def _something_is_sent(self) -> Columns:
        if self.text is None and self.params is None:
            raise ValueError("name the column of the text, or that of the params")
        return self


class Waiting(BaseModel):
    """Which rows are not sent yet, and what becomes of one that is adopted."""

    model_config = STRICT

    where: str
    afterwards: Literal["keep", "mark", "delete"]
    mark: Mapping[str, Any] = Field(default_factory=dict)
    batch: int = Field(500, ge=1, le=10_000)

    @model_validator(mode="after")
    def _a_mark_is_one(self) -> Waiting:
        if (self.afterwards == "mark") != bool(self.mark):
            raise ValueError('afterwards = "mark" and mark = { column = value } go together')
        return self


class Sent(BaseModel):
    """Which rows the old path has sent, and the column of the instant when."""

    model_config = STRICT

    where: str
    sent_at: str


class OldTable(BaseModel):
    """An outbox of the application's own. `table` may name a schema before a dot; `bot` is Dovecote's name of the bot.

    A wall time without a zone in `due_at` or `sent_at` is UTC, a number is seconds since 1970.
    """

    model_config = STRICT

    bot: str
    table: str
    columns: Columns
    waiting: Waiting
    sent: Sent | None = None


def read_old_table(file: Path) -> OldTable:
    """Read the description. Raises InvalidConfiguration with every fault."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfiguration([f'"{file}" cannot be read ({error.strerror}): name another file.']) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfiguration([f'"{file}" is no TOML ({error}): mend it there.']) from None
    try:
        return OldTable.model_validate(document)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or file.name}: {each['msg']}." for each in error.errors()]
        raise InvalidConfiguration(faults) from None
