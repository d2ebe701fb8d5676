"""Wishes to join that a bot is asked about: it decides at once, or shows a Mini App first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.links import check_link
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import required_text
from dovecote.emulator.refusal import bad_request

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call
    from dovecote.emulator.queries import JoinQuery

QUERY: Final = "chat_join_request_query_id"
_RESULTS: Final = {"approve": "member", "decline": "left", "queue": None}


def _asked(call: Call) -> JoinQuery:
    join = call.world.queries.join(call.bot_id, required_text(call.parameters, QUERY), call.world.clock.time())
    if join is None:
        raise bad_request("Query is too old and response timeout expired or query ID is invalid")
    return join


@method("answerChatJoinRequestQuery")
def answer_chat_join_request_query(call: Call) -> Any:
    """Whether somebody may join, or that other administrators decide."""
    result = required_text(call.parameters, "result")
    join = _asked(call)
    if result not in _RESULTS:
        raise bad_request("Invalid chat join request query result specified")
    status = _RESULTS[result]
    if status is not None:
        call.world.people.set_member(join.chat, join.user, {"status": status})
    call.world.queries.end_join(call.parameters[QUERY])
    return True


@method("sendChatJoinRequestWebApp")
def send_chat_join_request_web_app(call: Call) -> Any:
    """Show a Mini App to whoever wants to join; the bot decides when they are done with it."""
    url = required_text(call.parameters, "web_app_url")
    join = _asked(call)
    try:
        address = check_link(url)
    except ValueError as error:
        raise bad_request(f"Web App URL '{url}' is invalid: {error}") from None
    if not address.startswith("https://"):
        raise bad_request(f"Web App URL '{url}' is invalid: Only HTTPS links are allowed")
    join.until = float("inf")
    return True
