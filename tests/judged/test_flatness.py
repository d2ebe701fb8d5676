"""A soak finds what grows, and is not misled by warming up or by a single peak."""

from __future__ import annotations

import pytest

from chaos.flatness import BOUNDS, judged, table

MEGABYTE = 1024 * 1024


def flat(kind: str, values: list[float]) -> bool:
    (series,) = judged({(kind, "x"): values})
    return series.flat


def test_what_warms_up_and_then_stays_is_flat() -> None:
    assert flat("memory", [60.0 * MEGABYTE] * 10 + [100.0 * MEGABYTE] * 20)
    assert flat("descriptors", [20.0] * 10 + [40.0] * 20)


def test_one_peak_at_the_end_is_no_growth() -> None:
    assert flat("memory", [100.0 * MEGABYTE] * 29 + [500.0 * MEGABYTE])


@pytest.mark.parametrize(
    ("kind", "first", "step"),
    [
        ("memory", 100.0 * MEGABYTE, MEGABYTE),
        ("descriptors", 40.0, 2.0),
        ("threads", 10.0, 0.5),
        ("connections", 12.0, 2.0),
        ("waiting", 10.0, 10.0),
        ("relation", 8192.0, 128 * 1024.0),
        ("bytes a row", 300.0, 20.0),
    ],
)
def test_a_leak_of_each_kind_is_found(kind: str, first: float, step: float) -> None:
    assert not flat(kind, [first + number * step for number in range(30)])
    assert kind in BOUNDS


def test_every_kind_is_tested_and_what_grows_comes_first() -> None:
    series = judged({("memory", "b"): [1.0] * 9, ("connections", "a"): [float(number) * 90 for number in range(9)]})

    assert [line.split()[0] for line in table(series).splitlines()] == ["GROWS", "memory"]


def test_too_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="3 samples say nothing"):
        judged({("memory", "x"): [1.0, 2.0, 3.0]})
