"""What people do with business accounts, done: connecting a bot, writing to an account, deleting, ticking tasks off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.emulator import events
from dovecote.emulator.methods.posting import kept_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.emulator.business import BusinessConnection
    from dovecote.emulator.world import World

BusinessEvent = events.Connected | events.Deleted | events.Ticked


class Accounts:
    """One bot in people's accounts. Every ValueError names what cannot be."""

    def __init__(self, world: World, bot: int) -> None:
        self._world = world
        self._bot = bot

    def change(self, event: BusinessEvent) -> events.Happened:
        """Do it. Raises ValueError for what cannot be."""
        match event:
            case events.Connected():
                return self._connected(event)
            case events.Deleted():
                return self._deleted(event)
            case events.Ticked():
                return self._ticked(event)

    def place(self, event: events.Event, business: int) -> tuple[BusinessConnection, dict[str, Any]]:
        """The connection to that account, and the chat of it in which something happens. Raises ValueError."""
        connection = self._world.business.of(self._bot, business)
        chat = self._world.chat(event.user if event.chat is None else event.chat)
        if chat["type"] != "private" or chat["id"] == business:
            raise ValueError(f"chat {chat['id']}: in {business}'s account, name the person whom {business} talks to.")
        if event.user not in {business, chat["id"]}:
            raise ValueError(f"user {event.user}: {business} and {chat['id']} are alone in that chat.")
        return connection, chat

    def note(self, event: events.Event, business: int) -> None:
        """The other side has written to the account now: the bot may answer."""
        if event.user != business:
            self._world.business.note_contact(business, event.user, self._world.clock.time())

    def _happened(self, kind: str, content: dict[str, Any], queue: int, **told: Any) -> events.Happened:
        update = self._world.inboxes[self._bot].put(kind, content, queue)
        return events.Happened(self._bot, () if update is None else (update,), **told)

    def _connected(self, event: events.Connected) -> events.Happened:
        world = self._world
        if event.event == "disconnect":
            connection = world.business.of(self._bot, event.user)
            connection.is_enabled = False
        else:
            connection = world.business.connect(self._bot, event.user, event.rights, int(world.clock.time()))
        content = connection.as_json(world.people.user(event.user))
        return self._happened("business_connection", content, event.user, connection_id=connection.id)

    def _deleted(self, event: events.Deleted) -> events.Happened:
        connection, chat = self.place(event, event.business)
        for number in event.message_ids:
            self._message(event.business, chat, number)
        self._world.messages.forget(event.business, event.message_ids)
        content = {
            "business_connection_id": connection.id,
            "chat": chat,
            "message_ids": list(event.message_ids),
        }
        return self._happened("deleted_business_messages", content, chat["id"])

    def _message(self, business: int, chat: Mapping[str, Any], message_id: int) -> dict[str, Any]:
        found = self._world.messages.find(business, chat["id"], message_id)
        if found is None:
            raise ValueError(f"message_id {message_id}: chat {chat['id']} of {business}'s account has no such message.")
        return found

    def _ticked(self, event: events.Ticked) -> events.Happened:
        connection, chat = self.place(event, event.business)
        message = self._message(event.business, chat, event.message_id)
        checklist = message.get("checklist")
        if checklist is None:
            raise ValueError(f"message_id {event.message_id}: it has no checklist.")
        if event.user != event.business and not checklist.get("others_can_mark_tasks_as_done"):
            raise ValueError(f"user {event.user}: others cannot mark tasks of this checklist as done.")
        tasks = {task["id"]: task for task in checklist["tasks"]}
        unknown = [number for number in event.tasks if number not in tasks]
        if unknown:
            raise ValueError(f"tasks {unknown}: the checklist has {list(tasks)}.")
        world, user = self._world, self._world.people.user(event.user)
        now = int(world.clock.time())
        for task in event.tasks:
            for name in ("completed_by_user", "completion_date"):
                tasks[task].pop(name, None)
            if event.done:
                tasks[task] |= {"completed_by_user": user, "completion_date": now}
        messages = world.messages
        messages.put(event.business, event.message_id, kept_json(message))
        marked = "marked_as_done_task_ids" if event.done else "marked_as_not_done_task_ids"
        number = messages.next_id(event.business)
        told = {
            "message_id": number,
            "from": user,
            "chat": chat,
            "date": now,
            "business_connection_id": connection.id,
            "checklist_tasks_done": {"checklist_message": message, marked: list(event.tasks)},
        }
        messages.receive(event.business, number, kept_json(told))
        return self._happened("business_message", told, chat["id"], message_id=number)
