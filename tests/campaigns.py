"""Which cases of a campaign of faults belong to every test run, and which to `make chaos` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def campaign(values: Sequence[Any], *, always: Collection[Any]) -> list[Any]:
    """`values` as parameters of a test; those that are not among `always` run in `make chaos` alone."""
    strangers = [value for value in always if value not in values]
    assert not strangers, f"no case of this campaign: {strangers}"
    return [pytest.param(*_arguments(value), marks=() if value in always else pytest.mark.chaos) for value in values]


def _arguments(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
