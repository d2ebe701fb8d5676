"""The functions that jobs call: what is done when a run fails, and whether it wants a unit of work.

A function with a parameter `uow` (by name, or annotated `JobUnit`) gets one for each run. APScheduler checks a call
against the function's signature before anything of ours can supply it, so the parameter is taken out of what
`inspect.signature` shows.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from dovecote.errors import InvalidJob
from dovecote.model import RunPolicy
from dovecote.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

UNIT = "uow"
UNIT_TYPE = "JobUnit"
SETTING = "__dovecote_retries__"


@dataclass(frozen=True, slots=True)
class UnitPlace:
    """Which parameter is the unit of work; `index` is None for one that is passed by name only."""

    name: str
    index: int | None


# What has been found out about functions. What is asked of it for each run must cost nothing.
_places: WeakKeyDictionary[Any, UnitPlace | None] = WeakKeyDictionary()


def retried(
    *,
    attempts: int = 5,
    first: timedelta = timedelta(seconds=1),
    longest: timedelta = timedelta(minutes=10),
) -> Callable[[F], F]:
    """Let the runs of a function be tried again, up to `attempts` in all, when they fail or their process is lost.

    The pauses grow from `first` to `longest`, drawn at random below. Without this a function with side effects of its
    own runs at most once. Raises ValueError for attempts below 1 and for pauses that are not above zero.
    """
    if type(attempts) is not int or attempts < 1:
        raise ValueError(f"attempts is {attempts!r}: give a whole number, 1 or more.")
    if not timedelta(0) < first <= longest:
        raise ValueError(f"first is {first} and longest is {longest}: give pauses above zero, the first the shorter.")
    policy = RetryPolicy(attempts=attempts, first=first, longest=longest)

    def mark(function: F) -> F:
        setattr(function, SETTING, policy)
        return function

    return mark


def accept_unit(function: Any) -> None:
    """Let APScheduler take a function that wants a unit of work, without one. Raises InvalidJob for no coroutine."""
    if not inspect.isfunction(function) or function in _places:
        return
    signature = inspect.signature(function, follow_wrapped=False)
    positional = 0
    for parameter in signature.parameters.values():
        if parameter.name == UNIT or _is_unit(parameter.annotation):
            break
        positional += parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    else:
        _places[function] = None
        return
    if not inspect.iscoroutinefunction(function):
        raise InvalidJob(
            f"func: {function.__qualname__} takes a unit of work, {parameter.name}, and is no coroutine function: write"
            " `async def`."
        )
    by_name = parameter.kind is parameter.KEYWORD_ONLY
    _places[function] = UnitPlace(parameter.name, None if by_name else positional)
    rest = [each for each in signature.parameters.values() if each is not parameter]
    setattr(function, "__signature__", signature.replace(parameters=rest))  # noqa: B010 (functions have no such field)


def _is_unit(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2].strip("'\"") == UNIT_TYPE
    return getattr(annotation, "__name__", None) == UNIT_TYPE


def unit_place(function: Any) -> UnitPlace | None:
    """Which parameter of a function is the unit of work, if it has one."""
    accept_unit(function)
    return _places.get(function) if inspect.isfunction(function) else None


def with_unit(place: UnitPlace, unit: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments of a call, the unit of work among them."""
    if place.index is not None and len(args) >= place.index:
        return (*args[: place.index], unit, *args[place.index :]), kwargs
    return args, {**kwargs, place.name: unit}


def policy_of(function: Any, default: RetryPolicy) -> tuple[RunPolicy, RetryPolicy]:
    """What becomes of a failed run of this function; `default` is for one with a unit of work."""
    chosen: RetryPolicy | None = getattr(function, SETTING, None)
    if unit_place(function) is not None:
        return RunPolicy.EXACTLY_ONCE, chosen or default
    if chosen is not None:
        return RunPolicy.RETRIED, chosen
    return RunPolicy.AT_MOST_ONCE, RetryPolicy(attempts=1)
