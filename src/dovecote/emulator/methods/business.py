"""Methods on behalf of a business account: its chats and its profile. Sending for it is where all sending is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import file_parameter, photo_sizes
from dovecote.emulator.methods.posting import message_ids_parameter, own_message
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import boolean_parameter, integer_parameter, json_of, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from dovecote.emulator.business import BusinessConnection
    from dovecote.emulator.methods.registry import Call

LONGEST_NAME: Final = 64
LONGEST_BIO: Final = 140


def connection_parameter(call: Call, right: str = "") -> BusinessConnection:
    """The connection that the call names. Raises Refusal for none, and where the bot lacks the right."""
    given = text_parameter(call.parameters, "business_connection_id")
    found = call.world.business.find(call.bot_id, given)
    if right:
        found.check(right)
    return found


@method("getBusinessConnection", acts=False)
def get_business_connection(call: Call) -> Any:
    """Whose account it is, and what the bot may do there."""
    found = connection_parameter(call)
    return found.as_json(call.world.people.user(found.user))


@method("readBusinessMessage")
def read_business_message(call: Call) -> Any:
    """Mark what somebody has written as read. Nobody sees it here."""
    connection_parameter(call)
    _, message = own_message(call, "Message to read")
    call.message_ids = (message["message_id"],)
    return True


@method("deleteBusinessMessages")
def delete_business_messages(call: Call) -> Any:
    """Remove 1-100 messages of one chat of the account, the bot's own or all, as it may."""
    connection = connection_parameter(call)
    messages = call.world.messages
    found = [messages.numbered(connection.user, number) for number in message_ids_parameter(call)]
    present = [message for message in found if message is not None]
    if len({message["chat"]["id"] for message in present}) > 1:
        raise Refusal(400, "Bad Request: MESSAGE_ID_INVALID")
    own = all(message.get("sender_business_bot", {}).get("id") == call.bot_id for message in present)
    if not (own and "can_delete_sent_messages" in connection.rights):
        connection.check("can_delete_all_messages")
    call.space = connection.user
    call.message_ids = tuple(message["message_id"] for message in present)
    messages.forget(call.space, call.message_ids)
    return True


@method("setBusinessAccountName")
def set_business_account_name(call: Call) -> Any:
    """Another name of whose account it is."""
    first = text_parameter(call.parameters, "first_name").strip()
    last = text_parameter(call.parameters, "last_name").strip()
    if not first:
        raise bad_request("First name must be non-empty")
    if max(len(first), len(last)) > LONGEST_NAME:
        raise Refusal(400, "Bad Request: FIRSTNAME_INVALID")
    account = connection_parameter(call, "can_edit_name")
    call.world.people.describe(account.user, first_name=first, last_name=last or None)
    return True


@method("setBusinessAccountUsername")
def set_business_account_username(call: Call) -> Any:
    """Another @name, or none."""
    username = text_parameter(call.parameters, "username").removeprefix("@")
    account = connection_parameter(call, "can_edit_username")
    if username and not (username.isascii() and username.replace("_", "").isalnum()):
        raise Refusal(400, "Bad Request: USERNAME_INVALID")
    call.world.people.describe(account.user, username=username or None)
    return True


@method("setBusinessAccountBio")
def set_business_account_bio(call: Call) -> Any:
    """What the account says of itself; getChat tells it."""
    bio = text_parameter(call.parameters, "bio").strip()
    account = connection_parameter(call, "can_edit_bio")
    if len(bio) > LONGEST_BIO:
        raise Refusal(400, "Bad Request: ABOUT_TOO_LONG")
    full = call.world.full(account.user)
    full.pop("bio", None)
    if bio:
        full["bio"] = bio
    return True


@method("setBusinessAccountProfilePhoto")
def set_business_account_profile_photo(call: Call) -> Any:
    """A picture; getUserProfilePhotos has it."""
    given = json_of(call.parameters.get("photo", ""), "profile photo")
    if not isinstance(given, dict) or given.get("type") != "static":
        raise bad_request("Can't parse InputProfilePhoto: unsupported type specified")
    account = connection_parameter(call, "can_edit_profile_photo")
    photo = file_parameter("photo", given.get("photo"), call.uploads, call.bot_id)
    if photo is None:
        raise bad_request("Can't parse InputProfilePhoto: photo must be uploaded as a new file")
    call.world.bots.photos[account.user].insert(0, photo_sizes(photo, call.bot_id))
    return True


@method("removeBusinessAccountProfilePhoto")
def remove_business_account_profile_photo(call: Call) -> Any:
    """The one before it, or none."""
    account = connection_parameter(call, "can_edit_profile_photo")
    del call.world.bots.photos[account.user][:1]
    return True


@method("setBusinessAccountGiftSettings")
def set_business_account_gift_settings(call: Call) -> Any:
    """Which gifts the account takes; getChat tells it."""
    account = connection_parameter(call, "can_change_gift_settings")
    given = json_of(call.parameters.get("accepted_gift_types", ""), "accepted gift types")
    if not isinstance(given, dict):
        raise bad_request("Can't parse AcceptedGiftTypes: expected an Object")
    full = call.world.full(account.user)
    names = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    full["accepted_gift_types"] = {name: boolean_parameter(given, name) for name in names}
    return True


@method("getBusinessAccountStarBalance", acts=False)
def get_business_account_star_balance(call: Call) -> Any:
    """None: nobody has Stars here."""
    connection_parameter(call, "can_view_gifts_and_stars")
    return {"amount": 0}


@method("transferBusinessAccountStars")
def transfer_business_account_stars(call: Call) -> Any:
    """Stars for the bot: the account has none."""
    connection_parameter(call, "can_transfer_stars")
    if integer_parameter(call.parameters, "star_count") <= 0:
        raise Refusal(400, "Bad Request: STARS_AMOUNT_INVALID")
    raise Refusal(400, "Bad Request: BALANCE_TOO_LOW")
