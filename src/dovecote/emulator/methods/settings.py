"""What a bot says of itself: its commands, names, descriptions, menu button, suggested rights, picture."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from dovecote.emulator.files import file_parameter, photo_sizes
from dovecote.emulator.methods.registry import method
from dovecote.emulator.people import CHANNEL_RIGHTS, RIGHTS, SUPERGROUP_RIGHTS
from dovecote.emulator.reading import boolean_parameter, integer_parameter, json_of, string_field, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.emulator.methods.registry import Call

MOST_COMMANDS: Final = 100
LONGEST_COMMAND: Final = 32
LONGEST_DESCRIPTION: Final = 256
SCOPES: Final = frozenset(
    {
        "default",
        "all_private_chats",
        "all_group_chats",
        "all_chat_administrators",
        "chat",
        "chat_administrators",
        "chat_member",
    }
)

_COMMAND = re.compile(r"[a-z0-9_]+")
_LANGUAGE = re.compile(r"([a-z]{2})?")


def _language(call: Call) -> str:
    language = text_parameter(call.parameters, "language_code")
    if not _LANGUAGE.fullmatch(language):
        raise bad_request("Invalid language code specified")
    return language


def _scope(call: Call) -> tuple[int, str, str]:
    """What commands are kept under: the bot, the scope with the number of its chat, the language."""
    given = json_of(call.parameters.get("scope") or {"type": "default"}, "bot command scope")
    if not isinstance(given, dict):
        raise bad_request("Can't parse BotCommandScope: expected an Object")
    kind = string_field(given, "type")
    if kind not in SCOPES:
        raise bad_request("Can't parse BotCommandScope: unsupported type specified")
    scope: dict[str, Any] = {"type": kind}
    if kind.startswith("chat"):
        scope["chat_id"] = call.world.chat(given.get("chat_id"))["id"]
    if kind == "chat_member":
        scope["user_id"] = integer_parameter(given, "user_id")
    return call.bot_id, orjson.dumps(scope).decode(), _language(call)


@method("setMyCommands")
def set_my_commands(call: Call) -> Any:
    """The commands of a scope in a language."""
    value = call.parameters.get("commands", "")
    if value == "":
        raise bad_request("Can't parse commands JSON object")
    given = json_of(value, "commands")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of BotCommand")
    if len(given) > MOST_COMMANDS:
        raise Refusal(400, "Bad Request: BOT_COMMANDS_TOO_MUCH")
    call.world.bots.commands[_scope(call)] = [_command(one) for one in given]
    return True


def _command(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise bad_request("Can't parse BotCommand: expected an Object")
    try:
        command = string_field(given, "command", required=True).removeprefix("/")
        description = string_field(given, "description", required=True).strip()
    except ValueError as error:
        raise bad_request(f"Can't parse BotCommand: {error}") from None
    if not command:
        raise bad_request("Command must be non-empty")
    if len(command) > LONGEST_COMMAND:
        raise bad_request(f"Command length must not exceed {LONGEST_COMMAND}")
    if not description:
        raise bad_request("Command description must be non-empty")
    if len(description) > LONGEST_DESCRIPTION:
        raise bad_request(f"Command description length must not exceed {LONGEST_DESCRIPTION}")
    if not _COMMAND.fullmatch(command):
        raise Refusal(400, "Bad Request: BOT_COMMAND_INVALID")
    ephemeral = {"is_ephemeral": True} if boolean_parameter(given, "is_ephemeral") else {}
    return {"command": command, "description": description, **ephemeral}


@method("getMyCommands", acts=False)
def get_my_commands(call: Call) -> Any:
    """The commands of exactly that scope and language."""
    return call.world.bots.commands.get(_scope(call), [])


@method("deleteMyCommands")
def delete_my_commands(call: Call) -> Any:
    """None for that scope and language."""
    call.world.bots.commands.pop(_scope(call), None)
    return True


def _text(name: str, what: str, longest: int) -> None:
    """The two methods of a text that a bot has in each language."""

    def get(call: Call) -> Any:
        default = call.world.bot(call.bot_id)["first_name"] if name == "name" else ""
        text = call.world.bots.text(call.bot_id, name, _language(call))
        return {name: default if text is None else text}

    def put(call: Call) -> Any:
        text = text_parameter(call.parameters, name).strip()
        if len(text) > longest:
            raise bad_request(f"Bot {what} is too long")
        key = (call.bot_id, name, _language(call))
        if text:
            call.world.bots.texts[key] = text
        else:
            call.world.bots.texts.pop(key, None)
        return True

    spelling = "".join(word.capitalize() for word in name.split("_"))
    method(f"getMy{spelling}", acts=False)(get)
    method(f"setMy{spelling}")(put)


_text("name", "name", 64)
_text("description", "description", 512)
_text("short_description", "short description", 120)


@method("setChatMenuButton")
def set_chat_menu_button(call: Call) -> Any:
    """What stands beside the text field, in a private chat or in all of them."""
    given = json_of(call.parameters.get("menu_button") or {"type": "default"}, "menu button")
    if not isinstance(given, dict):
        raise bad_request("Can't parse MenuButton: expected an Object")
    kind = given.get("type")
    if kind not in {"default", "commands", "web_app"}:
        raise bad_request("Can't parse MenuButton: unsupported type specified")
    if kind == "web_app" and not (given.get("text") and isinstance(given.get("web_app"), dict)):
        raise bad_request("Can't parse MenuButton: Can't find field \"text\"")
    call.world.bots.menu_buttons[call.bot_id, _private(call)] = given
    return True


def _private(call: Call) -> int:
    if not text_parameter(call.parameters, "chat_id"):
        return 0
    chat = call.chat()
    if chat["type"] != "private":
        raise bad_request("User not found")
    number: int = chat["id"]
    return number


@method("getChatMenuButton", acts=False)
def get_chat_menu_button(call: Call) -> Any:
    """The button of that chat, or of all."""
    buttons = call.world.bots.menu_buttons
    own = buttons.get((call.bot_id, _private(call)), {"type": "default"})
    return own if own["type"] != "default" else buttons.get((call.bot_id, 0), {"type": "commands"})


def rights_of(given: Mapping[str, Any], *, channel: bool) -> dict[str, bool]:
    """ChatAdministratorRights, those that were given."""
    names = RIGHTS + (CHANNEL_RIGHTS if channel else SUPERGROUP_RIGHTS)
    return {"is_anonymous": boolean_parameter(given, "is_anonymous")} | {
        name: boolean_parameter(given, name) for name in names
    }


@method("setMyDefaultAdministratorRights")
def set_my_default_administrator_rights(call: Call) -> Any:
    """What the bot suggests to whoever adds it as an administrator."""
    given = json_of(call.parameters.get("rights") or {}, "administrator rights")
    if not isinstance(given, dict):
        raise bad_request("Can't parse ChatAdministratorRights: expected an Object")
    channel = boolean_parameter(call.parameters, "for_channels")
    call.world.bots.rights[call.bot_id, channel] = rights_of(given, channel=channel)
    return True


@method("getMyDefaultAdministratorRights", acts=False)
def get_my_default_administrator_rights(call: Call) -> Any:
    """The same."""
    channel = boolean_parameter(call.parameters, "for_channels")
    return call.world.bots.rights.get((call.bot_id, channel)) or rights_of({}, channel=channel)


@method("setMyProfilePhoto")
def set_my_profile_photo(call: Call) -> Any:
    """The bot's picture; getUserProfilePhotos has it."""
    given = json_of(call.parameters.get("photo", ""), "profile photo")
    if not isinstance(given, dict) or given.get("type") != "static":
        raise bad_request("Can't parse InputProfilePhoto: unsupported type specified")
    photo = file_parameter("photo", given.get("photo"), call.uploads, call.bot_id)
    if photo is None:
        raise bad_request("Can't parse InputProfilePhoto: photo must be uploaded as a new file")
    call.world.bots.photos[call.bot_id].insert(0, photo_sizes(photo, call.bot_id))
    return True


@method("removeMyProfilePhoto")
def remove_my_profile_photo(call: Call) -> Any:
    """The one before it, or none."""
    del call.world.bots.photos[call.bot_id][:1]
    return True


@method("logOut", acts=False)
def log_out(call: Call) -> Any:
    """Leave this server. Nothing follows from it here: there is no other server to go to."""
    del call
    return True


@method("close", acts=False)
def close(call: Call) -> Any:
    """End the bot's instance on this server. Nothing follows from it, as above."""
    del call
    return True
