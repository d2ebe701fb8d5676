"""What people do, done: each event changes the emulated Telegram and puts the updates of it into the bot's inbox.

A bot's recipients agree with what people did: to whoever has blocked it sending is answered 403 from then on, and
whoever writes to it can be written to again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator import events
from dovecote.emulator.accounts import Accounts, BusinessEvent
from dovecote.emulator.files import file_parameter
from dovecote.emulator.finding import found_entities
from dovecote.emulator.inbox import KINDS
from dovecote.emulator.memberships import Memberships
from dovecote.emulator.methods.media import content_of
from dovecote.emulator.methods.posting import kept_json
from dovecote.emulator.refusal import Refusal
from dovecote.emulator.rich_text import buttons_in, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovecote.emulator.world import World


# Buttons whose pressing is a query to the bot.
_PRESSED: Final = frozenset({"callback_data", "callback_game"})


class Happenings:
    """Does what events say. `bot` finds the bot that an event leaves out. Every ValueError names what cannot be."""

    def __init__(self, world: World, bot: Callable[[int | None], int]) -> None:
        self._world = world
        self._bot = bot

    def happen(self, event: events.AnyEvent) -> events.Happened:
        """Do it. Raises ValueError for what cannot be; nothing has happened then."""
        try:
            bot = self._bot(event.bot)
            if isinstance(event, events.Raw):
                return self._raw(bot, event.update)
            if isinstance(event, BusinessEvent):
                return Accounts(self._world, bot).change(event)
            chat = self._world.chat(event.user if event.chat is None else event.chat)
            if isinstance(event, events.Changed | events.Migrated):
                return Memberships(self._world, bot, chat, self.receive).change(event)
            return self._done(bot, chat, event)
        except Refusal as refusal:
            raise ValueError(f"{refusal.description.removeprefix('Bad Request: ')}.") from None

    def _done(self, bot: int, chat: dict[str, Any], event: events.AnyEvent) -> events.Happened:
        match event:
            case events.Written():
                return self._written(bot, chat, event)
            case events.Edited():
                return self._edited(bot, chat, event)
            case events.Pressed():
                return self._pressed(bot, chat, event)
            case events.Reacted():
                return self._reacted(bot, chat, event)
            case events.Voted():
                return self._voted(bot, chat, event)
            case events.Asked():
                return self._asked(bot, chat, event)
        raise TypeError(f"{type(event).__name__} is no event.")

    def _raw(self, bot: int, update: Mapping[str, Any]) -> events.Happened:
        kinds = [name for name in update if name != "update_id"]
        if len(kinds) != 1 or kinds[0] not in KINDS:
            raise ValueError(f"update: it has one member, named for its kind: {', '.join(KINDS)}.")
        content = dict(update[kinds[0]])
        queue = (content.get("chat") or content.get("from") or {}).get("id", 0)
        query = str(content.get("id", "")) if "query" in kinds[0] else ""
        if query:
            self._world.queries.add(bot, query)
        given = self._world.inboxes[bot].put(kinds[0], content, queue)
        updates = () if given is None else (given,)
        return events.Happened(bot, updates, content.get("message_id", 0), query)

    def receive(self, bot: int, chat: Mapping[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        """Give a message its id and keep it; answers it whole."""
        messages = self._world.messages
        space = messages.space(bot, chat["id"])
        message = {"message_id": messages.next_id(space), **message}
        messages.receive(space, message["message_id"], kept_json(message))
        return message

    def _written(self, bot: int, chat: dict[str, Any], event: events.Written) -> events.Happened:
        content = self._content(bot, event)
        if event.business is not None:
            return self._written_to_account(bot, event, event.business, content)
        reply = self._message(bot, chat, event.reply_to) if event.reply_to else None
        before = Memberships(self._world, bot, chat, self.receive).written(event.user)
        message = self._head(chat, event.user)
        if event.thread:
            message |= {"message_thread_id": event.thread, "is_topic_message": True}
        if reply is not None:
            message["reply_to_message"] = {name: value for name, value in reply.items() if name != "reply_to_message"}
        whole = self.receive(bot, chat, message | content)
        kind = "channel_post" if chat["type"] == "channel" else "message"
        update = self._world.inboxes[bot].put(kind, whole, chat["id"])
        return events.Happened(bot, (*before, *_given(update)), whole["message_id"])

    def _written_to_account(
        self, bot: int, event: events.Written, business: int, content: dict[str, Any]
    ) -> events.Happened:
        accounts = Accounts(self._world, bot)
        connection, chat = accounts.place(event, business)
        reply = self._message(business, chat, event.reply_to, in_account=True) if event.reply_to else None
        accounts.note(event, business)
        head = self._head(chat, event.user) | {"business_connection_id": connection.id}
        if reply is not None:
            head["reply_to_message"] = {name: value for name, value in reply.items() if name != "reply_to_message"}
        whole = self.receive(business, chat, head | content)
        update = self._world.inboxes[bot].put("business_message", whole, chat["id"])
        return events.Happened(bot, _given(update), whole["message_id"])

    def _head(self, chat: dict[str, Any], user: int) -> dict[str, Any]:
        date = int(self._world.clock.time())
        if chat["type"] == "channel":
            return {"sender_chat": chat, "chat": chat, "date": date}
        return {"from": self._world.people.user(user), "chat": chat, "date": date}

    def _content(self, bot: int, event: events.Written) -> dict[str, Any]:
        content: dict[str, Any] = {}
        if event.media is not None:
            file = file_parameter(event.media, event.file_id, {}, bot)
            if file is None:
                raise ValueError(f'file_id "{event.file_id}": use one that receive_file has answered.')
            name = event.file_name or self._world.downloads.name(file.digest)
            content = content_of(event.media, replace(file, name=name), {}, {}, bot)
            if event.media == "sticker":
                content["sticker"] |= self._world.sticker_sets.described(file.digest, bot)
        text, where = (event.text, "text") if event.text else (event.caption, "caption")
        if text:
            entities = found_entities(text) if event.entities is None else list(event.entities)
            content |= {where: text} | _entities(where, entities)
        return content | dict(event.members)

    def _message(
        self, viewer: int, chat: Mapping[str, Any], message_id: int, *, in_account: bool = False
    ) -> dict[str, Any]:
        found = self._world.messages.find(viewer, chat["id"], message_id)
        if found is None:
            whose = f"{viewer}'s account" if in_account else f"bot {viewer}"
            raise ValueError(f"message_id {message_id}: chat {chat['id']} of {whose} has no such message.")
        return found

    def _viewer(self, bot: int, event: events.Edited | events.Pressed) -> int:
        """Whose chat it happens in: the bot's, or that of the business account. Raises ValueError."""
        if event.business is None:
            return bot
        Accounts(self._world, bot).place(event, event.business)
        return event.business

    def _edited(self, bot: int, chat: dict[str, Any], event: events.Edited) -> events.Happened:
        viewer = self._viewer(bot, event)
        message = self._message(viewer, chat, event.message_id, in_account=event.business is not None)
        author = message.get("from", {}).get("id")
        if author is not None and author != event.user:
            raise ValueError(
                f"message_id {event.message_id}: {author} has written it, and {event.user} cannot edit it."
            )
        where, text = ("text", event.text) if event.text is not None else ("caption", event.caption)
        message.pop("entities" if where == "text" else "caption_entities", None)
        message["edit_date"] = int(self._world.clock.time())
        message |= {where: text} | _entities(where, found_entities(text or ""))
        messages = self._world.messages
        messages.put(messages.space(viewer, chat["id"]), event.message_id, kept_json(message))
        kind = "edited_channel_post" if chat["type"] == "channel" else "edited_message"
        if event.business is not None:
            kind = "edited_business_message"
        update = self._world.inboxes[bot].put(kind, message, chat["id"])
        return events.Happened(bot, _given(update), event.message_id)

    def _pressable(self, bot: int, chat: dict[str, Any], event: events.Pressed) -> dict[str, Any]:
        """The message that the button is on. Raises ValueError when it is not there."""
        if not event.ephemeral:
            viewer = self._viewer(bot, event)
            return self._message(viewer, chat, event.message_id, in_account=event.business is not None)
        found = self._world.ephemerals.find((bot, chat["id"], event.user), event.message_id)
        if found is None:
            raise ValueError(f"message_id {event.message_id}: {event.user} sees no such ephemeral message there.")
        return found

    def _pressed(self, bot: int, chat: dict[str, Any], event: events.Pressed) -> events.Happened:
        message = self._pressable(bot, chat, event)
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        buttons = [button for row in [*rows, buttons_in(message.get("rich_message"))] for button in row]
        buttons = [{**button, "text": plain(button["text"])} for button in buttons if _PRESSED & button.keys()]
        for button in buttons:
            if event.button == button["text"] or (event.button is None and event.data == button.get("callback_data")):
                break
        else:
            there = ", ".join(f'"{one["text"]}" ({one.get("callback_data", "a game")})' for one in buttons) or "none"
            raise ValueError(f"data: message {event.message_id} has no such button; it has: {there}.")
        query = self._world.queries.new(bot)
        content = {
            "id": query,
            "from": self._world.people.user(event.user),
            "message": message,
            "chat_instance": str(abs(chat["id"])),
            **self._meant(button, message, event),
        }
        update = self._world.inboxes[bot].put("callback_query", content, event.user)
        return events.Happened(bot, _given(update), event.message_id, query)

    def _meant(self, button: Mapping[str, Any], message: Mapping[str, Any], event: events.Pressed) -> dict[str, Any]:
        """What the query of a pressed button says was meant: its data, or the message's game."""
        if "callback_data" in button:
            return {"data": button["callback_data"]}
        game = self._world.games.find(message["chat"]["id"], event.message_id)
        return {"game_short_name": "" if game is None else game}

    def _reacted(self, bot: int, chat: dict[str, Any], event: events.Reacted) -> events.Happened:
        self._message(bot, chat, event.message_id)
        key = (bot, chat["id"], event.message_id, event.user)
        before = self._world.reactions.get(key, ())
        self._world.reactions[key] = tuple(event.emoji)
        content = {
            "chat": chat,
            "message_id": event.message_id,
            "user": self._world.people.user(event.user),
            "date": int(self._world.clock.time()),
            "old_reaction": [{"type": "emoji", "emoji": emoji} for emoji in before],
            "new_reaction": [{"type": "emoji", "emoji": emoji} for emoji in event.emoji],
        }
        update = self._world.inboxes[bot].put("message_reaction", content, chat["id"])
        return events.Happened(bot, _given(update), event.message_id)

    def _voted(self, bot: int, chat: dict[str, Any], event: events.Voted) -> events.Happened:
        message = self._message(bot, chat, event.message_id)
        poll = message.get("poll")
        if poll is None or poll["is_closed"]:
            raise ValueError(f"message_id {event.message_id}: it has no open poll.")
        if not all(0 <= option < len(poll["options"]) for option in event.options):
            raise ValueError(f"options {list(event.options)}: use 0 to {len(poll['options']) - 1}.")
        if len(event.options) > 1 and not poll["allows_multiple_answers"]:
            raise ValueError(f"options {list(event.options)}: this poll takes one answer.")
        key = (poll["id"], event.user)
        before = self._world.votes.get(key, ())
        self._world.votes[key] = tuple(event.options)
        for option in before:
            poll["options"][option]["voter_count"] -= 1
        for option in event.options:
            poll["options"][option]["voter_count"] += 1
        poll["total_voter_count"] += bool(event.options) - bool(before)
        messages = self._world.messages
        messages.put(messages.space(bot, chat["id"]), event.message_id, kept_json(message))
        inbox = self._world.inboxes[bot]
        updates = _given(inbox.put("poll", poll, chat["id"]))
        if not poll["is_anonymous"]:
            answer = {"poll_id": poll["id"], "user": self._world.people.user(event.user)}
            chosen = {
                "option_ids": list(event.options),
                "option_persistent_ids": [poll["options"][option]["persistent_id"] for option in event.options],
            }
            updates += _given(inbox.put("poll_answer", answer | chosen, event.user))
        return events.Happened(bot, updates, event.message_id)

    def _asked(self, bot: int, chat: dict[str, Any], event: events.Asked) -> events.Happened:
        query = self._world.queries.new(bot)
        content = {
            "id": query,
            "from": self._world.people.user(event.user),
            "query": event.query,
            "offset": event.offset,
            "chat_type": "sender" if event.chat is None else chat["type"],
        }
        update = self._world.inboxes[bot].put("inline_query", content, event.user)
        return events.Happened(bot, _given(update), 0, query)


def _given(update: dict[str, Any] | None) -> tuple[dict[str, Any], ...]:
    return () if update is None else (update,)


def _entities(where: str, entities: list[Any]) -> dict[str, Any]:
    name = "entities" if where == "text" else "caption_entities"
    return {name: entities} if entities else {}
