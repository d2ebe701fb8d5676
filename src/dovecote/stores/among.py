"""A column that is one of many values, as one parameter: a list of a thousand would be compiled anew each time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, BigInteger, Text, any_, bindparam, func, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Select


def among(connection: Connection, column: ColumnElement[int], ids: Sequence[int]) -> ColumnElement[bool]:
    """Whether a number is one of `ids`."""
    if connection.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(ids), type_=ARRAY(BigInteger)))
    return column.in_(_json_values(ids))


def among_texts(connection: Connection, column: ColumnElement[str], texts: Sequence[str]) -> ColumnElement[bool]:
    """Whether a text is one of `texts`."""
    if connection.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(texts), type_=ARRAY(Text)))
    return column.in_(_json_values(texts))


def _json_values(values: Sequence[object]) -> Select[Any]:
    return select(func.json_each(json.dumps(list(values))).table_valued("value").c.value)
