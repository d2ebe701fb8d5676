"""A job as JSON text, and back: function by reference, arguments and trigger as data.

Only text from the database is ever read here: what a reference names is imported, and may be called.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apscheduler.job import Job
from apscheduler.triggers.interval import IntervalTrigger
from apscheduler.util import obj_to_ref, ref_to_obj

from dovecote.errors import InvalidJob
from dovecote.integrations.apscheduler.functions import accept_unit
from dovecote.integrations.apscheduler.triggers import shared_trigger, write_trigger
from dovecote.integrations.apscheduler.values import decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from apscheduler.triggers.base import BaseTrigger

FORMAT = 1
LONGEST = 1_000_000
"""Characters of a definition: arguments are for ids and settings, not for contents."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A job that can be run here."""

    reference: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    trigger: BaseTrigger
    executor: str
    name: str
    misfire_grace_time: int | None
    coalesce: bool
    max_instances: int

    def job(self, job_id: str, next_run_time: datetime | None, scheduler: Any, alias: str | None) -> Job:
        """A job of APScheduler's, which its caller may change."""
        job = Job.__new__(Job)
        fill(job, self, job_id, next_run_time=next_run_time, scheduler=scheduler, alias=alias)
        return job


def fill(
    job: Job, definition: Definition, job_id: str, *, next_run_time: datetime | None, scheduler: Any, alias: str | None
) -> None:
    """Give an empty job what it needs; its constructor would check and compute all of it anew."""
    job.id = job_id
    job.func_ref, job.func = definition.reference, definition.function
    job.args, job.kwargs = definition.args, definition.kwargs
    job.trigger, job.executor, job.name = definition.trigger, definition.executor, definition.name
    job.misfire_grace_time, job.coalesce = definition.misfire_grace_time, definition.coalesce
    job.max_instances = definition.max_instances
    job.next_run_time = next_run_time
    job._scheduler = scheduler  # noqa: SLF001 (it is what APScheduler's own stores set)
    job._jobstore_alias = alias  # noqa: SLF001 (as above)


def write_definition(job: Job) -> str:
    """The job's definition as JSON text, the same for the same job. Raises InvalidJob, naming the argument."""
    try:
        reference = reference_of(job.func, job.func_ref)
        state = definition_state(
            reference,
            {name: getattr(job, name) for name in ("args", "kwargs", "trigger", *SETTINGS)},
        )
    except InvalidJob as error:
        raise InvalidJob(f'the job "{job.id}" cannot be kept: {error}') from error
    return state


SETTINGS = ("executor", "name", "misfire_grace_time", "coalesce", "max_instances")


def definition_state(reference: str, state: dict[str, Any]) -> str:
    """The JSON text of a definition. Raises InvalidJob."""
    args, kwargs = list(state["args"]), dict(state["kwargs"])
    written = {
        "format": FORMAT,
        "function": reference,
        "args": [encoded(value, f"args[{index}]") for index, value in enumerate(args)],
        "kwargs": {str(name): encoded(value, f"kwargs[{name!r}]") for name, value in kwargs.items()},
        "trigger": write_trigger(state["trigger"]),
        **{name: state[name] for name in SETTINGS},
    }
    encoded(written["name"], "name")
    text = json.dumps(written, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if len(text) > LONGEST:
        raise InvalidJob(
            f"its arguments take {len(text)} characters, {LONGEST} are allowed: keep contents elsewhere and pass an id."
        )
    return text


def reference_of(function: Any, reference: str | None) -> str:
    """`module:name` of a function that every process can import. Raises InvalidJob for all others."""
    remedy = "give a function that stands at the top level of a module, or its name as 'module:function'"
    if inspect.ismethod(function) and not inspect.isclass(function.__self__):
        raise InvalidJob(
            f"func: {function.__qualname__} is a method of an object, which no other process has: {remedy}."
        )
    if reference is None:
        try:
            reference = obj_to_ref(function)
        except (ValueError, AttributeError) as error:
            shown = getattr(function, "__qualname__", repr(type(function)))
            raise InvalidJob(f"func: {shown} cannot be named ({error}): {remedy}.") from error
    try:
        found = ref_to_obj(reference)
    except (LookupError, ValueError) as error:
        raise InvalidJob(f"func: {reference} cannot be imported ({error}): {remedy}.") from error
    if found != function:
        raise InvalidJob(f"func: {reference} names something else than what was given: {remedy}.")
    return str(reference)


def read_definition(text: str) -> Definition:
    """What `write_definition` wrote. Raises InvalidJob where this process cannot run it, and says why."""
    try:
        written = json.loads(text)
        if not isinstance(written, dict) or written.get("format") != FORMAT:
            shown = written.get("format") if isinstance(written, dict) else written
            raise InvalidJob(f"its format is {shown!r}, and this version knows {FORMAT}: upgrade the program.")
        reference = written["function"]
        try:
            function = ref_to_obj(reference)
        except (LookupError, ValueError, TypeError) as error:
            raise InvalidJob(f"{error}: this process does not have that function.") from error
        if not callable(function):
            raise InvalidJob(f"{reference} is no function.")
        accept_unit(function)
        return Definition(
            reference=reference,
            function=function,
            args=tuple(decoded(value) for value in written["args"]),
            kwargs={name: decoded(value) for name, value in written["kwargs"].items()},
            trigger=shared_trigger(json.dumps(written["trigger"], sort_keys=True)),
            executor=written["executor"],
            name=written["name"],
            misfire_grace_time=written["misfire_grace_time"],
            coalesce=written["coalesce"],
            max_instances=written["max_instances"],
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidJob(f"it is not as this version writes definitions ({error!r}): upgrade the program.") from error
    except ValueError as error:
        if isinstance(error, InvalidJob):
            raise
        raise InvalidJob(f"it is no JSON ({error}).") from error


def same(one: str, other: str, job: Job, *, since: datetime) -> bool:
    """Whether adding `job`, written as `other`, says nothing that `one` does not say.

    An interval without a start of its own begins when it is added, so each process that adds it at its start writes
    another one: such a start, which lies an interval after some moment since `since`, does not count.
    """
    if one == other:
        return True
    trigger = job.trigger
    if type(trigger) is not IntervalTrigger or trigger.start_date - trigger.interval < since:
        return False
    first, second = json.loads(one), json.loads(other)
    if not isinstance(first, dict) or not isinstance(first.get("trigger"), dict):
        return False
    for each in (first, second):
        each["trigger"].pop("start", None)
    return bool(first == second)
