"""Who is where: blocking, joining, leaving, migrating. Each changes recipients and statuses, and tells the bot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator import events
from dovecote.emulator.people import administrator
from dovecote.emulator.queries import JOIN_SECONDS, JoinQuery
from dovecote.emulator.recipients import Recipient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovecote.emulator.recipients import Kind, State
    from dovecote.emulator.world import World

MEMBER: Final = {"status": "member"}
LEFT: Final = {"status": "left"}
KICKED: Final = {"status": "kicked", "until_date": 0}
# In these states a bot gets nothing from a group.
ABSENT: Final = frozenset({"kicked", "not_member", "deleted", "not_found"})

Updates = tuple[dict[str, Any], ...]


class Memberships:
    """One bot in one chat. `receive` keeps a message of the chat."""

    def __init__(
        self,
        world: World,
        bot: int,
        chat: dict[str, Any],
        receive: Callable[[int, Mapping[str, Any], dict[str, Any]], dict[str, Any]],
    ) -> None:
        self._world = world
        self._bot = bot
        self._chat = chat
        self._receive = receive
        self._does: dict[str, Callable[[int], events.Happened]] = {
            "block": lambda user: self._happened(self._block(user)),
            "unblock": lambda user: self._happened(self._unblock(user)),
            "join": lambda user: self._arrives(user, user, MEMBER),
            "leave": self._leaves,
            "join_request": lambda user: self._happened(self._ask(user)),
            "join_query": self._ask_bot,
            "add_bot": self._added,
            "remove_bot": self._removed,
            "promote_bot": lambda user: self._happened(self._tell_bot(user, administrator(chat["type"]))),
        }

    @property
    def _state(self) -> State | None:
        return self._world.recipients.state(self._bot, self._chat["id"])

    def written(self, user: int) -> Updates:
        """Somebody writes, and unblocks the bot by that. Raises ValueError where nobody can write."""
        state, chat = self._state, self._chat["id"]
        if state == "deactivated":
            raise ValueError(f"user {user}: a deactivated user writes nothing.")
        if state == "migrated":
            raise ValueError(f"chat {chat}: it was upgraded to a supergroup; write there.")
        if self._chat["type"] == "private" and state in {"blocked", "never_started", "not_found"}:
            return self._unblock(user)
        if state in ABSENT:
            raise ValueError(f"chat {chat}: bot {self._bot} is not there ({state}); let somebody add it first.")
        return ()

    def change(self, event: events.Changed | events.Migrated) -> events.Happened:
        """Do it. Raises ValueError for what cannot be in such a chat."""
        private = self._chat["type"] == "private"
        if isinstance(event, events.Migrated):
            return self._migrate(event)
        if private != (event.event in {"block", "unblock"}):
            where = "with a bot in a private chat; leave chat out" if not private else "in a group; name it as chat"
            raise ValueError(f"event {event.event}: that is done {where}.")
        return self._does[event.event](event.user)

    def _happened(self, updates: Updates, message_id: int = 0) -> events.Happened:
        return events.Happened(self._bot, updates, message_id)

    def _block(self, user: int) -> Updates:
        if self._state == "blocked":
            return ()
        self._world.recipients.put(user, Recipient(user, "blocked", bot=self._bot))
        return self._tell_bot(user, KICKED)

    def _unblock(self, user: int) -> Updates:
        blocked = self._state == "blocked"
        self._as_usual()
        if not blocked:
            return ()
        # The state may have been set by itself, without an event.
        self._world.people.set_member(self._chat, self._bot, KICKED)
        return self._tell_bot(user, MEMBER)

    def _as_usual(self) -> None:
        number = self._chat["id"]
        for bot in (self._bot, None):
            self._world.recipients.put(number, Recipient(number, None, bot=bot))

    def _tell_bot(self, user: int, new: Mapping[str, Any]) -> Updates:
        """The bot's own status changes, and it is told."""
        world, chat = self._world, self._chat
        old = world.people.member(chat, self._bot, bot=True)
        world.people.set_member(chat, self._bot, dict(new))
        content = self._change(user, world.bot(self._bot), old, new)
        update = world.inboxes[self._bot].put("my_chat_member", content, chat["id"])
        return () if update is None else (update,)

    def _tell_member(self, user: int, new: Mapping[str, Any]) -> Updates:
        people = self._world.people
        old = people.member(self._chat, user) if user in people.members(self._chat) else _before(new)
        people.set_member(self._chat, user, dict(new))
        content = self._change(user, people.user(user), old, new)
        update = self._world.inboxes[self._bot].put("chat_member", content, self._chat["id"])
        return () if update is None else (update,)

    def _change(
        self, user: int, member: dict[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "chat": self._chat,
            "from": self._world.people.user(user),
            "date": int(self._world.clock.time()),
            "old_chat_member": {"user": member, **old},
            "new_chat_member": {"user": member, **new},
        }

    def _service(self, chat: dict[str, Any], user: int, **content: Any) -> tuple[Updates, int]:
        """A message that Telegram writes into the chat about what somebody did; in channels it writes none."""
        if chat["type"] == "channel":
            return (), 0
        head = {"from": self._world.people.user(user), "chat": chat, "date": int(self._world.clock.time())}
        whole = self._receive(self._bot, chat, head | content)
        update = self._world.inboxes[self._bot].put("message", whole, chat["id"])
        return () if update is None else (update,), whole["message_id"]

    def _arrives(self, by: int, user: int, status: Mapping[str, Any]) -> events.Happened:
        self.written(by)
        changed = self._tell_member(user, status)
        updates, message_id = self._service(self._chat, by, new_chat_members=[self._world.people.user(user)])
        return self._happened(changed + updates, message_id)

    def _leaves(self, user: int) -> events.Happened:
        self.written(user)
        changed = self._tell_member(user, LEFT)
        updates, message_id = self._service(self._chat, user, left_chat_member=self._world.people.user(user))
        return self._happened(changed + updates, message_id)

    def _ask_bot(self, user: int) -> events.Happened:
        until = self._world.clock.time() + JOIN_SECONDS
        query = self._world.queries.new_join(self._bot, JoinQuery(self._chat, user, until))
        return events.Happened(self._bot, self._ask(user, query_id=query), 0, query)

    def _ask(self, user: int, **more: str) -> Updates:
        self.written(user)
        person = self._world.people.user(user)
        content = {
            "chat": self._chat,
            "from": person,
            "user_chat_id": user,
            "date": int(self._world.clock.time()),
        } | more
        update = self._world.inboxes[self._bot].put("chat_join_request", content, user)
        return () if update is None else (update,)

    def _added(self, user: int) -> events.Happened:
        people = self._world.people
        if self._bot not in people.members(self._chat):
            people.set_member(self._chat, self._bot, dict(LEFT))
        self._as_usual()
        # A channel has no other bots than administrators.
        status = administrator("channel") if self._chat["type"] == "channel" else MEMBER
        changed = self._tell_bot(user, status)
        updates, message_id = self._service(self._chat, user, new_chat_members=[self._world.bot(self._bot)])
        return self._happened(changed + updates, message_id)

    def _removed(self, user: int) -> events.Happened:
        number = self._chat["id"]
        kind: Kind | None = "channel" if self._chat["type"] == "channel" else None
        changed = self._tell_bot(user, KICKED)
        self._world.recipients.put(number, Recipient(number, "kicked", bot=self._bot, kind=kind))
        return self._happened(changed)

    def _migrate(self, event: events.Migrated) -> events.Happened:
        if self._chat["type"] != "group":
            raise ValueError(f"chat {self._chat['id']}: only a basic group becomes a supergroup.")
        self.written(event.user)
        number = self._chat["id"]
        there = self._world.supergroup(number, event.to)
        before, message_id = self._service(self._chat, event.user, migrate_to_chat_id=there["id"])
        self._world.people.move(self._chat, there)
        after, _ = self._service(there, event.user, migrate_from_chat_id=number)
        self._world.recipients.put(number, Recipient(number, "migrated", migrate_to=there["id"]))
        return self._happened(before + after, message_id)


def _before(new: Mapping[str, Any]) -> Mapping[str, Any]:
    """What somebody was of whom nothing was ever said."""
    return LEFT if new["status"] == "member" else MEMBER
