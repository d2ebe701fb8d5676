"""Polls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.emulator.methods.posting import post
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import boolean_parameter, integer_parameter, json_of, string_field, text_parameter
from dovecote.emulator.refusal import bad_request
from dovecote.emulator.text import Formatted, format_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.emulator.methods.registry import Call

POLL_OPTIONS = 12
POLL_QUESTION = 300
POLL_OPTION = 100
FIRST_POLL = 5 * 10**18


@method("sendPoll")
def send_poll(call: Call) -> Any:
    """A question with options."""
    parameters = call.parameters
    question = format_text(
        text_parameter(parameters, "question"),
        parameters.get("question_parse_mode"),
        parameters.get("question_entities"),
    )
    options = _options(parameters)
    kind = text_parameter(parameters, "type") or "regular"
    if kind not in {"regular", "quiz"}:
        raise bad_request("Unsupported poll type specified")
    poll: dict[str, Any] = {
        "id": str(FIRST_POLL + call.world.random.getrandbits(60)),
        "question": question.text,
        "options": options,
        "total_voter_count": 0,
        "is_closed": boolean_parameter(parameters, "is_closed"),
        "is_anonymous": boolean_parameter(parameters, "is_anonymous") if "is_anonymous" in parameters else True,
        "type": kind,
        "allows_multiple_answers": boolean_parameter(parameters, "allows_multiple_answers"),
        "allows_revoting": kind == "regular",
        "members_only": False,
    }
    if question.entities:
        poll["question_entities"] = question.entities
    if kind == "quiz":
        poll |= _quiz(parameters, len(options))
    for name in ("open_period", "close_date"):
        if integer_parameter(parameters, name):
            poll[name] = integer_parameter(parameters, name)
    return post(call, {"poll": poll}, lambda: _check(question, [option["text"] for option in options]))


def _quiz(parameters: Mapping[str, Any], options: int) -> dict[str, Any]:
    correct = integer_parameter(parameters, "correct_option_id", -1)
    if not 0 <= correct < options:
        raise bad_request("Wrong correct option ID specified")
    return {"correct_option_id": correct, "correct_option_ids": [correct]}


def _check(question: Formatted, options: list[str]) -> None:
    if not question.text:
        raise bad_request("Poll question must be non-empty")
    if len(question.text) > POLL_QUESTION:
        raise bad_request(f"Poll question length must not exceed {POLL_QUESTION}")
    if not all(options):
        raise bad_request("Poll options must be non-empty")
    if any(len(option) > POLL_OPTION for option in options):
        raise bad_request(f"Poll options length must not exceed {POLL_OPTION}")
    if len(options) < 2:  # noqa: PLR2004 - Telegram's limit, named in the answer
        raise bad_request("Poll must have at least 2 option")
    if len(options) > POLL_OPTIONS:
        raise bad_request(f"Poll can't have more than {POLL_OPTIONS} options")


def _options(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    value = parameters.get("options", "")
    if value == "":
        raise bad_request("Can't parse options JSON object")
    given = json_of(value, "options")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of InputPollOption")
    options: list[dict[str, Any]] = []
    for number, option in enumerate(given):
        if isinstance(option, str):
            option = {"text": option}  # noqa: PLW2901 - the older form of an option
        if not isinstance(option, dict):
            raise bad_request("Expected an option to be of type String")
        try:
            text = string_field(option, "text", required=True)
        except ValueError as error:
            raise bad_request(f"Can't parse InputPollOption: {error}") from None
        formatted = format_text(text, option.get("text_parse_mode"), option.get("text_entities"))
        entry: dict[str, Any] = {"persistent_id": str(number), "text": formatted.text, "voter_count": 0}
        if formatted.entities:
            entry["text_entities"] = formatted.entities
        options.append(entry)
    return options
