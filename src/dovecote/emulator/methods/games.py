"""Games: sending one, and the scores that the bot's own page has found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import File, photo_sizes
from dovecote.emulator.games import Games, ranking, shown
from dovecote.emulator.markup import reply_markup
from dovecote.emulator.methods.editing import edit
from dovecote.emulator.methods.posting import check_author, own_message, post
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import boolean_parameter, integer_parameter, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

PICTURE_SIDES: Final = (640, 360)


@method("sendGame")
def send_game(call: Call) -> Any:
    """A game; without a keyboard it has one button, which begins it."""
    short_name = text_parameter(call.parameters, "game_short_name")
    if not short_name:
        raise bad_request("game_short_name is empty")
    if not Games.can_be(short_name):
        raise bad_request("Wrong game short name specified")
    title = short_name.replace("_", " ").title()
    width, height = PICTURE_SIDES
    photo = File("photo", short_name.encode().ljust(9)[:9], None, width, height)
    content: dict[str, Any] = {"game": {"title": title, "description": title, "photo": photo_sizes(photo, call.bot_id)}}
    markup = reply_markup(call.parameters)
    if markup is None:
        content["reply_markup"] = {"inline_keyboard": [[{"text": f"Play {title}", "callback_game": {}}]]}
    else:
        _check_keyboard(markup)
    sent = post(call, content)
    call.world.games.note(call.chat()["id"], call.message_ids[-1], short_name)
    return sent


def _check_keyboard(markup: dict[str, Any]) -> None:
    """Raises Refusal when the first button does not begin the game."""
    buttons = [button for row in markup["inline_keyboard"] for button in row]
    places = [place for place, button in enumerate(buttons) if "callback_game" in button]
    if not places:
        raise Refusal(400, "Bad Request: REPLY_MARKUP_GAME_EMPTY")
    if places != [0]:
        raise Refusal(400, "Bad Request: BUTTON_POS_INVALID")


def _played(call: Call, what: str) -> tuple[dict[str, Any], dict[int, int], int]:
    """The message with a game, the scores of it in its chat, and the user that the call names. Raises Refusal."""
    user = integer_parameter(call.parameters, "user_id")
    if user <= 0:
        raise bad_request("Invalid user_id specified")
    if not text_parameter(call.parameters, "chat_id") and not integer_parameter(call.parameters, "message_id"):
        if not text_parameter(call.parameters, "inline_message_id"):
            raise bad_request("Message identifier is not specified")
        raise Refusal(400, "Bad Request: MESSAGE_ID_INVALID")
    chat, message = own_message(call, what)
    check_author(call, message, "message can't be edited")
    short_name = call.world.games.find(chat["id"], message["message_id"])
    if short_name is None or "game" not in message:
        raise Refusal(400, "Bad Request: MESSAGE_ID_INVALID")
    return message, call.world.games.scores(call.bot_id, chat["id"], short_name), user


@method("setGameScore")
def set_game_score(call: Call) -> Any:
    """Somebody's score, if it is better than before or `force` says so; the message tells the best."""
    parameters = call.parameters
    score = integer_parameter(parameters, "score")
    message, scores, user = _played(call, "Message to set game score")
    if score < 0:
        raise Refusal(400, "Bad Request: SCORE_INVALID")
    before = scores.get(user)
    if before is not None and (score == before or (score < before and not boolean_parameter(parameters, "force"))):
        raise Refusal(400, "Bad Request: BOT_SCORE_NOT_MODIFIED")
    scores[user] = score
    call.message_ids = (message["message_id"],)
    if boolean_parameter(parameters, "disable_edit_message"):
        return message
    people = call.world.people
    best = [f"{position}. {people.user(who)['first_name']}: {points}" for position, who, points in ranking(scores)]
    return edit(call, message, {"game": message["game"] | {"text": "\n".join(best)}}, ("game",))


@method("getGameHighScores", acts=False)
def get_game_high_scores(call: Call) -> Any:
    """The scores around somebody's, and the best three."""
    _, scores, user = _played(call, "Message with game high scores")
    people = call.world.people
    return [
        {"position": position, "user": people.user(who), "score": points}
        for position, who, points in shown(scores, user)
    ]
