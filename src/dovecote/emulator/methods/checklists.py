"""Checklists, which bots write on behalf of business accounts alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.markup import reply_markup
from dovecote.emulator.methods.business import connection_parameter
from dovecote.emulator.methods.editing import edit, message_to_edit, with_markup
from dovecote.emulator.methods.posting import post
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import boolean_parameter, integer_field, json_of, required_text, string_field
from dovecote.emulator.refusal import bad_request
from dovecote.emulator.text import Formatted, format_text

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

LONGEST_TITLE: Final = 255
LONGEST_TASK: Final = 100
MOST_TASKS: Final = 30


@method("sendChecklist")
def send_checklist(call: Call) -> Any:
    """A title and tasks."""
    connection_parameter(call)
    return post(call, {"checklist": _checklist(call.parameters)})


@method("editMessageChecklist")
def edit_message_checklist(call: Call) -> Any:
    """Another title and other tasks; those that stay, by their numbers, are as done as they were."""
    connection_parameter(call)
    checklist = _checklist(call.parameters)
    markup = reply_markup(call.parameters)
    message = message_to_edit(call)
    before = message.get("checklist")
    if before is None:
        raise bad_request("There is no checklist in the message to edit")
    done = {task["id"]: task for task in before["tasks"]}
    for task in checklist["tasks"]:
        was = done.get(task["id"], {})
        task |= {name: was[name] for name in ("completed_by_user", "completion_date") if name in was}
    return edit(call, message, with_markup({"checklist": checklist}, markup), ("checklist", "reply_markup"))


def _checklist(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """An InputChecklist as a message shows it. Raises Refusal."""
    given = json_of(required_text(parameters, "checklist"), "input checklist")
    try:
        title = _formatted(_object(given), "title", LONGEST_TITLE)
        shown = _tasks(given)
    except ValueError as error:
        raise bad_request(f"Can't parse InputChecklist: {error}") from None
    if len(shown) not in range(1, MOST_TASKS + 1):
        raise bad_request(f"Too {'many' if shown else 'few'} checklist tasks specified")
    if len({task["id"] for task in shown}) < len(shown):
        raise bad_request("Checklist task identifiers must be unique")
    checklist: dict[str, Any] = {"title": title.text, "tasks": shown}
    if title.entities:
        checklist["title_entities"] = title.entities
    for name in ("others_can_add_tasks", "others_can_mark_tasks_as_done"):
        if boolean_parameter(given, name):
            checklist[name] = True
    return checklist


def _object(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError("expected an Object")  # noqa: TRY004 - Telegram's words travel as ValueError here
    return given


def _tasks(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    tasks = given.get("tasks")
    if not isinstance(tasks, list):
        raise ValueError('Can\'t find field "tasks"')  # noqa: TRY004 - as above
    return [_task(_object(task)) for task in tasks]


def _task(given: Mapping[str, Any]) -> dict[str, Any]:
    number = integer_field(given, "id", required=True)
    if number <= 0:
        raise bad_request("Checklist task identifier must be positive")
    text = _formatted(given, "text", LONGEST_TASK)
    task: dict[str, Any] = {"id": number, "text": text.text}
    return task | ({"text_entities": text.entities} if text.entities else {})


def _formatted(given: Mapping[str, Any], name: str, longest: int) -> Formatted:
    text = string_field(given, name, required=True)
    formatted = format_text(text, given.get("parse_mode"), given.get(f"{name}_entities"))
    if not formatted.text:
        raise bad_request("Text must be non-empty")
    if formatted.length > longest:
        raise bad_request(f"Checklist {'title' if name == 'title' else 'task'} length must not exceed {longest}")
    return formatted
