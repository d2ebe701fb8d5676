"""Somebody who meets the bots, for tests in Python: what this person does becomes updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from dovecote.emulator import events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dovecote.emulator.events import Happened, Media
    from dovecote.emulator.life import Life


class User:
    """Somebody, by id. Emulator.user makes one.

    Every method answers what came of it. `bot` is the bot that gets the update, by id, and may be left out where there
    is only one; `chat` is where it happens, and is the private chat of the two when it is left out; `business` is whose
    business account that chat is in, and it is the bot's own chat when it is left out. Each raises
    ValueError, naming the value, for what cannot be.
    """

    def __init__(self, life: Life, number: int) -> None:
        self._life = life
        self.id = number

    def __repr__(self) -> str:
        return f"User({self.id})"

    def _happen(self, event: events.AnyEvent) -> Happened:
        return self._life.happen(event)

    def writes(
        self,
        text: str = "",
        *,
        bot: int | None = None,
        chat: int | str | None = None,
        reply_to: int | None = None,
        thread: int | None = None,
        business: int | None = None,
        entities: Sequence[Mapping[str, Any]] | None = None,
        **members: Any,
    ) -> Happened:
        """Write a text, and unblock the bot by that. `members` are others of a Message, as contact={...}."""
        written = events.Written(
            user=self.id,
            bot=bot,
            chat=chat,
            text=text,
            reply_to=reply_to,
            thread=thread,
            business=business,
            entities=entities,
            members=members,
        )
        return self._happen(written)

    def sends(
        self,
        media: Media,
        content: bytes = b"",
        *,
        name: str | None = None,
        size: int | None = None,
        caption: str = "",
        bot: int | None = None,
        chat: int | str | None = None,
        reply_to: int | None = None,
        thread: int | None = None,
        business: int | None = None,
    ) -> Happened:
        """Send a file, which getFile finds; a large one by its `size` in bytes alone."""
        bot_id = self._life.bot(bot)
        received = self._life.receive_file(bot_id, kind=media, content=content, size=size, name=name)
        written = events.Written(
            user=self.id,
            bot=bot_id,
            chat=chat,
            media=media,
            file_id=received["file_id"],
            file_name=name,
            caption=caption,
            reply_to=reply_to,
            thread=thread,
            business=business,
        )
        return self._happen(written)

    def edits(
        self,
        message_id: int,
        text: str | None = None,
        *,
        caption: str | None = None,
        bot: int | None = None,
        chat: int | str | None = None,
        business: int | None = None,
    ) -> Happened:
        """Change the text of a message, or the caption."""
        edited = events.Edited(
            user=self.id, bot=bot, chat=chat, message_id=message_id, text=text, caption=caption, business=business
        )
        return self._happen(edited)

    def presses(
        self,
        message_id: int,
        data: str | None = None,
        *,
        button: str | None = None,
        bot: int | None = None,
        chat: int | str | None = None,
        business: int | None = None,
        ephemeral: bool = False,
    ) -> Happened:
        """Press an inline button of a message, by its callback data or by the text on it.

        With `ephemeral`, of one that this user alone sees, by its ephemeral_message_id.
        """
        pressed = events.Pressed(
            user=self.id,
            bot=bot,
            chat=chat,
            message_id=message_id,
            data=data,
            button=button,
            business=business,
            ephemeral=ephemeral,
        )
        return self._happen(pressed)

    def reacts(self, message_id: int, *emoji: str, bot: int | None = None, chat: int | str | None = None) -> Happened:
        """Have these reactions to a message, and no others."""
        return self._happen(events.Reacted(user=self.id, bot=bot, chat=chat, message_id=message_id, emoji=emoji))

    def votes(self, message_id: int, *options: int, bot: int | None = None, chat: int | str | None = None) -> Happened:
        """Vote in a poll, by the options' places from 0; with none, take the vote back."""
        return self._happen(events.Voted(user=self.id, bot=bot, chat=chat, message_id=message_id, options=options))

    def asks(self, query: str, *, offset: str = "", bot: int | None = None, chat: int | str | None = None) -> Happened:
        """Type an inline query."""
        return self._happen(events.Asked(user=self.id, bot=bot, chat=chat, query=query, offset=offset))

    def blocks(self, *, bot: int | None = None) -> Happened:
        """Block the bot: it is told by my_chat_member, and what it sends is answered 403. Twice is once."""
        return self._happen(events.Changed(event="block", user=self.id, bot=bot))

    def unblocks(self, *, bot: int | None = None) -> Happened:
        """Take the bot back."""
        return self._happen(events.Changed(event="unblock", user=self.id, bot=bot))

    def joins(self, chat: int | str, *, bot: int | None = None) -> Happened:
        """Become a member of a group."""
        return self._happen(events.Changed(event="join", user=self.id, bot=bot, chat=chat))

    def leaves(self, chat: int | str, *, bot: int | None = None) -> Happened:
        """Leave a group."""
        return self._happen(events.Changed(event="leave", user=self.id, bot=bot, chat=chat))

    def asks_to_join(self, chat: int | str, *, query: bool = False, bot: int | None = None) -> Happened:
        """Ask to become a member; approveChatJoinRequest makes it so.

        `query`: of a bot that is assigned to decide, and has ten seconds for it. `Happened.query_id` is what
        sendChatJoinRequestWebApp and answerChatJoinRequestQuery name.
        """
        event: Literal["join_request", "join_query"] = "join_query" if query else "join_request"
        return self._happen(events.Changed(event=event, user=self.id, bot=bot, chat=chat))

    def adds_bot(self, chat: int | str, *, bot: int | None = None) -> Happened:
        """Add the bot to a group, as a member."""
        return self._happen(events.Changed(event="add_bot", user=self.id, bot=bot, chat=chat))

    def removes_bot(self, chat: int | str, *, bot: int | None = None) -> Happened:
        """Remove the bot from a group: what it sends is answered 403."""
        return self._happen(events.Changed(event="remove_bot", user=self.id, bot=bot, chat=chat))

    def promotes_bot(self, chat: int | str, *, bot: int | None = None) -> Happened:
        """Make the bot an administrator."""
        return self._happen(events.Changed(event="promote_bot", user=self.id, bot=bot, chat=chat))

    def connects(self, *, rights: Sequence[str] | None = None, bot: int | None = None) -> Happened:
        """Let the bot into the own business account, with the rights of a BusinessBotRights that are named, or all."""
        return self._happen(events.Connected(event="connect", user=self.id, bot=bot, rights=rights))

    def disconnects(self, *, bot: int | None = None) -> Happened:
        """Take the bot out of the own business account."""
        return self._happen(events.Connected(event="disconnect", user=self.id, bot=bot))

    def deletes(self, *message_ids: int, business: int, bot: int | None = None, chat: int | None = None) -> Happened:
        """Delete messages of a chat of somebody's business account; elsewhere no bot learns of it."""
        return self._happen(
            events.Deleted(user=self.id, bot=bot, chat=chat, message_ids=message_ids, business=business)
        )

    def ticks(
        self,
        message_id: int,
        *tasks: int,
        business: int,
        done: bool = True,
        bot: int | None = None,
        chat: int | None = None,
    ) -> Happened:
        """Mark tasks of a checklist as done, or as not done."""
        ticked = events.Ticked(
            user=self.id, bot=bot, chat=chat, message_id=message_id, tasks=tasks, business=business, done=done
        )
        return self._happen(ticked)

    def migrates(self, chat: int, *, to: int | None = None, bot: int | None = None) -> Happened:
        """Make a supergroup of a basic group; the old number is answered with the new one from then on."""
        return self._happen(events.Migrated(user=self.id, bot=bot, chat=chat, to=to))
