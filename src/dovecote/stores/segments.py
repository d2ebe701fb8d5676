"""Who belongs to a segment, as a condition on the rows of recipients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Text, and_, any_, exists, func, literal, not_, or_, select

if TYPE_CHECKING:
    from dovecote.model import Segment
    from dovecote.stores.tables import Tables


def belongs(tables: Tables, segment: Segment) -> ColumnElement[bool]:
    """Whether a recipient was told of, is not disabled, and is one of the segment: true or false, never null."""
    recipient = tables.recipient.c
    is_postgresql = tables.metadata.schema is not None
    conditions: list[ColumnElement[bool]] = [recipient.zone_since.is_not(None), recipient.disabled_at.is_(None)]
    if segment.zones is not None:
        conditions += [recipient.zone.is_not(None), recipient.zone.in_(list(segment.zones))]
    for label in segment.labels:
        conditions += [recipient.labels.is_not(None), _has(recipient.labels, label, is_postgresql=is_postgresql)]
    if segment.languages:
        read = [
            or_(recipient.language == language, recipient.language.startswith(f"{language}-", autoescape=True))
            for language in segment.languages
        ]
        conditions += [recipient.language.is_not(None), or_(*read)]
    if segment.category is not None:
        conditions.append(not_(opted_out(tables, segment.category)))
    if segment.seen_since is not None:
        conditions += [recipient.seen_at.is_not(None), recipient.seen_at >= segment.seen_since]
    return and_(*conditions)


def opted_out(tables: Tables, category: str) -> ColumnElement[bool]:
    """Whether a recipient has opted out of the category: true or false, never null."""
    column = tables.recipient.c.opted_out
    return and_(column.is_not(None), _has(column, category, is_postgresql=tables.metadata.schema is not None))


def _has(column: Any, value: str, *, is_postgresql: bool) -> ColumnElement[bool]:
    """Whether a list of texts holds that one."""
    if is_postgresql:
        return literal(value, Text()) == any_(column)
    each = func.json_each(column).table_valued("value")
    return exists(select(1).select_from(each).where(each.c.value == value))
