"""Gifts: which there are, sending them, and who has which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.gifts import CATALOGUE, Given
from dovecote.emulator.methods.business import connection_parameter
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import boolean_parameter, integer_parameter, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request
from dovecote.emulator.text import Formatted, format_text

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

LONGEST_TEXT: Final = 128
MOST_GIFTS: Final = 100
# What Premium costs, in Stars, by the months.
PREMIUM: Final = {3: 1000, 6: 1500, 12: 2500}


@method("getAvailableGifts", acts=False)
def get_available_gifts(call: Call) -> Any:
    """The catalogue."""
    return {"gifts": [gift.as_json(call.bot_id) for gift in CATALOGUE.values()]}


def _text(call: Call) -> Formatted:
    parameters = call.parameters
    formatted = format_text(
        text_parameter(parameters, "text"), parameters.get("text_parse_mode"), parameters.get("text_entities")
    )
    if formatted.length > LONGEST_TEXT:
        raise bad_request("Message is too long")
    return formatted


def _owner(call: Call) -> int:
    """Who gets the gift: a user, or a channel. Raises Refusal."""
    user = integer_parameter(call.parameters, "user_id")
    if user > 0:
        return user
    if not text_parameter(call.parameters, "chat_id"):
        raise bad_request("Invalid user_id specified")
    chat = call.chat()
    if chat["type"] not in {"private", "channel"}:
        raise Refusal(400, "Bad Request: PEER_ID_INVALID")
    owner: int = chat["id"]
    return owner


@method("sendGift")
def send_gift(call: Call) -> Any:
    """A gift, paid for with the bot's Stars."""
    text = _text(call)
    gifts = call.world.gifts
    gift = gifts.find(text_parameter(call.parameters, "gift_id"))
    owner = _owner(call)
    if boolean_parameter(call.parameters, "pay_for_upgrade"):
        # None of the catalogue can be upgraded.
        raise Refusal(400, "Bad Request: STARGIFT_UPGRADE_UNAVAILABLE")
    gifts.pay(call.bot_id, gift.stars)
    gifts.give(owner, Given(gift, call.bot_id, int(call.world.clock.time()), text.text, tuple(text.entities)))
    return True


@method("giftPremiumSubscription")
def gift_premium_subscription(call: Call) -> Any:
    """Premium for some months: the user is premium from now on."""
    _text(call)
    user = integer_parameter(call.parameters, "user_id")
    if user <= 0:
        raise bad_request("Invalid user_id specified")
    stars = integer_parameter(call.parameters, "star_count")
    if PREMIUM.get(integer_parameter(call.parameters, "month_count")) != stars:
        raise Refusal(400, "Bad Request: STARS_AMOUNT_INVALID")
    call.world.gifts.pay(call.bot_id, stars)
    call.world.people.describe(user, is_premium=True)
    return True


def _owned(call: Call, owner: int) -> dict[str, Any]:
    """A page of what somebody has. `offset` is where the page before has said."""
    given = list(call.world.gifts.of(owner))
    start = max(integer_parameter(call.parameters, "offset"), 0)
    limit = min(max(integer_parameter(call.parameters, "limit", MOST_GIFTS), 1), MOST_GIFTS)
    if boolean_parameter(call.parameters, "sort_by_price"):
        given.sort(key=lambda one: -one.gift.stars)
    if boolean_parameter(call.parameters, "exclude_unlimited"):
        # All of the catalogue are unlimited.
        given = []
    page = [_shown(call, one) for one in given[start : start + limit]]
    following = {"next_offset": str(start + limit)} if start + limit < len(given) else {}
    return {"total_count": len(given), "gifts": page, **following}


def _shown(call: Call, given: Given) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "regular",
        "gift": given.gift.as_json(call.bot_id),
        "send_date": given.date,
        "sender_user": call.world.bot(given.sender),
    }
    if given.text:
        shown["text"] = given.text
        if given.entities:
            shown["entities"] = list(given.entities)
    return shown


@method("getUserGifts", acts=False)
def get_user_gifts(call: Call) -> Any:
    """What a user was given."""
    user = integer_parameter(call.parameters, "user_id")
    if user <= 0:
        raise bad_request("Invalid user_id specified")
    return _owned(call, user)


@method("getChatGifts", acts=False)
def get_chat_gifts(call: Call) -> Any:
    """What a channel was given."""
    return _owned(call, call.chat()["id"])


@method("getBusinessAccountGifts", acts=False)
def get_business_account_gifts(call: Call) -> Any:
    """What the owner of a business account was given."""
    return _owned(call, connection_parameter(call, "can_view_gifts_and_stars").user)
