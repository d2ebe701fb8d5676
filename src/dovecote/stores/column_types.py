"""The column types that the tables of both dialects are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, JSON, BigInteger, Integer, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import TIMESTAMP

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware datetime: `timestamptz`, or whole microseconds since the epoch on SQLite."""

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write it."""
        return (value - EPOCH) // MICROSECOND if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read it; what no datetime can hold, whoever wrote it, as the nearest one that can."""
        if value is None:
            return None
        if dialect.name != "sqlite":
            # PostgreSQL's infinity comes without a zone, as the last datetime that there is or the first.
            instant: datetime = value
            return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
        try:
            return EPOCH + timedelta(microseconds=value)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC) if value > 0 else datetime.min.replace(tzinfo=UTC)


BigId = BigInteger().with_variant(Integer(), "sqlite")
MessageIds = ARRAY(BigInteger).with_variant(JSON(), "sqlite")
Labels = ARRAY(Text).with_variant(JSON(none_as_null=True), "sqlite")
# Byte order: chats are compared for equality only, and a linguistic collation would cost time for nothing.
Chat = Text(collation="C").with_variant(Text(), "sqlite")


IDS = range(1, 2**63)
"""What the databases take for an id. Ask `is_id`: what is no int, the range compares with each of its numbers."""


def is_id(value: object) -> bool:
    """Whether a row can have this id."""
    return type(value) is int and value in IDS
