"""Methods about money: invoices, paid media, and the answers before a payment. Nobody's money moves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import file_parameter, photo_sizes
from dovecote.emulator.methods.media import content_of
from dovecote.emulator.methods.posting import post
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import (
    boolean_parameter,
    integer_field,
    integer_parameter,
    json_of,
    required_text,
    string_field,
    text_parameter,
)
from dovecote.emulator.refusal import Refusal, bad_request
from dovecote.emulator.text import caption, caption_fields, check_caption

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

STARS: Final = "XTR"
MOST_STARS: Final = 25_000
PAID_KINDS: Final = frozenset({"photo", "video", "live_photo"})
PAID_ITEMS: Final = range(1, 11)

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


@method("sendInvoice")
def send_invoice(call: Call) -> Any:
    """A bill."""
    invoice = _invoice(call.parameters)
    return post(call, {"invoice": invoice})


@method("createInvoiceLink", acts=False)
def create_invoice_link(call: Call) -> Any:
    """A link to a bill; nobody can follow it here."""
    _invoice(call.parameters)
    return f"https://t.me/$emulated{call.world.random.getrandbits(60):015x}"


def _invoice(parameters: Mapping[str, Any]) -> dict[str, Any]:
    title, description = required_text(parameters, "title"), required_text(parameters, "description")
    required_text(parameters, "payload")
    currency = required_text(parameters, "currency")
    total = _total(parameters)
    if not _CURRENCY.fullmatch(currency):
        raise Refusal(400, "Bad Request: CURRENCY_INVALID")
    if currency != STARS and not text_parameter(parameters, "provider_token"):
        raise Refusal(400, "Bad Request: PAYMENT_PROVIDER_INVALID")
    return {
        "title": title,
        "description": description,
        "start_parameter": text_parameter(parameters, "start_parameter"),
        "currency": currency,
        "total_amount": total,
    }


def _total(parameters: Mapping[str, Any]) -> int:
    given = json_of(parameters.get("prices", ""), "prices")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of labeled prices")
    total = 0
    for price in given:
        if not isinstance(price, Mapping):
            raise bad_request("Can't parse labeled price: expected an Object")
        try:
            string_field(price, "label", required=True)
            total += integer_field(price, "amount", required=True)
        except ValueError as error:
            raise bad_request(f"Can't parse labeled price: {error}") from None
    if not given:
        raise Refusal(400, "Bad Request: PRICES_INVALID")
    return total


@method("sendPaidMedia")
def send_paid_media(call: Call) -> Any:
    """1-10 pictures and films that are seen once they are paid for. Their sizes are shown, as to the bot itself."""
    parameters = call.parameters
    given = json_of(parameters.get("media", ""), "media")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of InputPaidMedia")
    stars = integer_parameter(parameters, "star_count")
    items = [_paid(call, item) for item in given]
    formatted = caption(parameters)
    content = {"paid_media": {"star_count": stars, "paid_media": items}, **caption_fields(formatted, parameters)}

    def check() -> None:
        if len(items) not in PAID_ITEMS:
            raise bad_request("Too many messages to send as an album" if items else "There are no media to send")
        if not 0 < stars <= MOST_STARS:
            raise Refusal(400, "Bad Request: STARS_AMOUNT_INVALID")
        check_caption(formatted)

    return post(call, content, check)


def _paid(call: Call, item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise bad_request("Can't parse InputPaidMedia: expected an Object")
    try:
        kind = string_field(item, "type", required=True)
        media = string_field(item, "media", required=True)
    except ValueError as error:
        raise bad_request(f"Can't parse InputPaidMedia: {error}") from None
    if kind not in PAID_KINDS:
        raise bad_request(f'Can\'t parse InputPaidMedia: type "{kind}" is unsupported')
    file = file_parameter(kind, media, call.uploads, call.bot_id)
    if file is None:
        raise bad_request("Can't parse InputPaidMedia: media not found")
    if kind == "photo":
        return {"type": kind, "photo": photo_sizes(file, call.bot_id)}
    return {"type": kind, kind: content_of(kind, file, item, call.uploads, call.bot_id)[kind]}


def _answer(call: Call, name: str) -> bool:
    if not call.world.queries.are_for(call.bot_id, text_parameter(call.parameters, name)):
        raise bad_request("Query is too old and response timeout expired or query ID is invalid")
    if not boolean_parameter(call.parameters, "ok"):
        required_text(call.parameters, "error_message")
    return True


@method("answerShippingQuery")
def answer_shipping_query(call: Call) -> Any:
    """What delivery costs, or why there is none."""
    if boolean_parameter(call.parameters, "ok"):
        options = json_of(call.parameters.get("shipping_options", ""), "shipping options")
        if not isinstance(options, list):
            raise bad_request("Expected an Array of shipping options")
    return _answer(call, "shipping_query_id")


@method("answerPreCheckoutQuery")
def answer_pre_checkout_query(call: Call) -> Any:
    """Whether the payment may go on."""
    return _answer(call, "pre_checkout_query_id")


@method("editUserStarSubscription")
def edit_user_star_subscription(call: Call) -> Any:
    """A subscription is not prolonged any more, or may be again. It is one that the user has paid with Stars."""
    user = integer_parameter(call.parameters, "user_id")
    if user <= 0:
        raise bad_request("Invalid user_id specified")
    charge = required_text(call.parameters, "telegram_payment_charge_id")
    payments = (message.get("successful_payment", {}) for message in call.world.messages.of_chat(call.bot_id, user))
    paid = next((one for one in payments if one.get("telegram_payment_charge_id") == charge), None)
    if paid is None or paid.get("currency") != STARS:
        raise Refusal(400, "Bad Request: CHARGE_ID_INVALID")
    if paid.get("subscription_expiration_date", 0) <= call.world.clock.time():
        raise bad_request("Subscription is not active")
    return True


@method("getMyStarBalance", acts=False)
def get_my_star_balance(call: Call) -> Any:
    """What a test has given the bot and the bot has not spent on gifts."""
    return {"amount": call.world.gifts.stars[call.bot_id]}


@method("getStarTransactions", acts=False)
def get_star_transactions(call: Call) -> Any:
    """None, as above."""
    del call
    return {"transactions": []}
