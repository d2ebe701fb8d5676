"""Methods that fetch updates, and those that have them posted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from dovecote.emulator.inbox import KINDS, WANTED, Webhook
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import boolean_parameter, integer_parameter, text_parameter
from dovecote.emulator.refusal import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.emulator.inbox import Inbox
    from dovecote.emulator.methods.registry import Call

LONGEST_POLL: Final = 50
LARGEST_PAGE: Final = 100
LONGEST_SECRET: Final = 256
MOST_CONNECTIONS: Final = 100

_SECRET = re.compile(r"[A-Za-z0-9_-]*")
_BLANK = re.compile(r"\s")


def prepare(inbox: Inbox, parameters: Mapping[str, Any]) -> int:
    """Confirm and take wishes, as getUpdates begins; answers for how many seconds it would wait (0: not at all).

    Raises Refusal (409) while there is a webhook.
    """
    inbox.check_polling()
    inbox.allow(parameters.get("allowed_updates"))
    inbox.confirm(integer_parameter(parameters, "offset"))
    return 0 if inbox.pending else _clamped(parameters, "timeout", 0, 0, LONGEST_POLL)


def _clamped(parameters: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    return min(max(integer_parameter(parameters, name, default), least), most)


@method("getUpdates", acts=False)
def get_updates(call: Call) -> Any:
    """The updates that wait. The application has waited for one already, if it had to."""
    inbox = call.world.inboxes[call.bot_id]
    prepare(inbox, call.parameters)
    return inbox.first(_clamped(call.parameters, "limit", LARGEST_PAGE, 1, LARGEST_PAGE))


@method("setWebhook", acts=False)
def set_webhook(call: Call) -> Any:
    """Have updates posted. An address without https is taken as well, as a local Bot API server does."""
    parameters = call.parameters
    url = text_parameter(parameters, "url")
    if not url:
        return delete_webhook(call)
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or _BLANK.search(url):
        raise bad_request("invalid webhook URL specified")
    secret = text_parameter(parameters, "secret_token")
    if len(secret) > LONGEST_SECRET:
        raise bad_request("secret token is too long")
    if not _SECRET.fullmatch(secret):
        raise bad_request("secret token contains unallowed characters")
    inboxes = call.world.inboxes
    inbox = inboxes[call.bot_id]
    inbox.allow(parameters.get("allowed_updates"))
    if boolean_parameter(parameters, "drop_pending_updates"):
        inbox.pending.clear()
    certificate = "certificate" in call.uploads or bool(text_parameter(parameters, "certificate"))
    webhook = Webhook(
        url,
        secret,
        _clamped(parameters, "max_connections", 40, 1, MOST_CONNECTIONS),
        text_parameter(parameters, "ip_address"),
        certificate,
    )
    if webhook != inbox.webhook:
        inbox.set_webhook(webhook)
        inboxes.changed(call.bot_id, inbox)
    return True


@method("deleteWebhook", acts=False)
def delete_webhook(call: Call) -> Any:
    """Have them fetched again."""
    inboxes = call.world.inboxes
    inbox = inboxes[call.bot_id]
    if boolean_parameter(call.parameters, "drop_pending_updates"):
        inbox.pending.clear()
    if inbox.webhook is not None:
        inbox.set_webhook(None)
        inboxes.changed(call.bot_id, inbox)
    return True


@method("getWebhookInfo", acts=False)
def get_webhook_info(call: Call) -> Any:
    """Where updates are posted, and how that goes."""
    inbox = call.world.inboxes[call.bot_id]
    webhook = inbox.webhook or Webhook("")
    info: dict[str, Any] = {
        "url": webhook.url,
        "has_custom_certificate": webhook.has_certificate,
        "pending_update_count": len(inbox.pending),
    }
    if inbox.last_error is not None:
        info["last_error_date"], info["last_error_message"] = inbox.last_error
    if webhook.url:
        info["max_connections"] = webhook.max_connections
        if webhook.ip_address:
            info["ip_address"] = webhook.ip_address
    if inbox.allowed != WANTED:
        info["allowed_updates"] = [kind for kind in KINDS if kind in inbox.allowed]
    return info
