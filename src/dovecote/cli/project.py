"""What `init` leaves beside settings, key and outbox: an `.env` template, an example, a systemd unit, a README.

Each begins with a line that says who made it. A file without that line is somebody's own and is never written over.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dovecote.cli.context import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.config import Settings

MADE_BY: Final = "Made by `dovecote init`"
PRIVATE: Final = 0o600
MARGIN: Final = timedelta(seconds=10)
"""What a worker may need beyond its drain deadline to record what was cut off."""
HOMES: Final = ("/home", "/root", "/run/user")
BOT_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

ENVIRONMENT: Final = f"""\
# {MADE_BY}. Copy it to .env, fill it in, and keep that file to yourself: it holds the bot's token.

# What @BotFather gave you. This one is made up: it is good for the emulator alone.
%(variable)s=123456789:made-up-for-the-emulator-and-nothing-else

# Where everything is sent: the emulator, `dovecote emulator`. Take the line away to send to Telegram.
DOVECOTE_TELEGRAM_BASE_URL=http://127.0.0.1:8081
"""

EXAMPLE: Final = """\
# Made by `dovecote init`.
\"\"\"An order and the notification about it, written in one transaction. Run it as: python example_bot.py CHAT_ID

If the transaction rolls back, nobody is told of an order that does not exist. If this program dies right after the
commit, the notification is delivered all the same: `dovecote run` does that, from the outbox.
\"\"\"

import asyncio
%(imports)s

from dovecote import Dovecote, Notification

BOT = %(bot)s


%(order)s

async def main(chat: int) -> None:
    async with Dovecote() as dovecote:  # from dovecote.toml here, and the DOVECOTE_* variables
        if BOT not in {bot.name for bot in await dovecote.bots()}:
            await dovecote.add_bot(BOT, token_variable=%(variable)s)
        number = await order(dovecote, chat)
    print(f"Order {number} is written, and the notification with it.")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
"""

ON_SQLITE: Final = """\
async def order(dovecote: Dovecote, chat: int) -> int:
    connection = sqlite3.connect(str(dovecote.database.url.database))
    with connection:  # your transaction
        connection.execute("CREATE TABLE IF NOT EXISTS example_order (id INTEGER PRIMARY KEY, chat INTEGER)")
        number = connection.execute("INSERT INTO example_order (chat) VALUES (?)", (chat,)).lastrowid
        note = Notification(bot=BOT, chat_id=chat, text=f"Order {number} is on its way", key=f"order-{number}")
        await dovecote.enqueue(connection, note)
    connection.close()
    return number
"""

ON_POSTGRESQL: Final = """\
async def order(dovecote: Dovecote, chat: int) -> int:
    connection = await asyncpg.connect(dovecote.database.url.render_as_string(hide_password=False))
    async with connection.transaction():  # your transaction
        await connection.execute("CREATE TABLE IF NOT EXISTS example_order (id serial PRIMARY KEY, chat bigint)")
        number = await connection.fetchval("INSERT INTO example_order (chat) VALUES ($1) RETURNING id", chat)
        note = Notification(bot=BOT, chat_id=chat, text=f"Order {number} is on its way", key=f"order-{number}")
        await dovecote.enqueue(connection, note)
    await connection.close()
    return number
"""

UNIT: Final = f"""\
# {MADE_BY}. README.md says how to install it.
[Unit]
Description=Dovecote: delivers the notifications of the bot %(name)s
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User=dovecote
Group=dovecote
WorkingDirectory=%(folder)s
EnvironmentFile=%(folder)s/.env
ExecStart="%(python)s" -m dovecote run
Restart=always
RestartSec=2
# SIGTERM begins the drain: what is in flight is finished, for worker.drain_deadline (%(drain)s s) at most. Were the
# time here no longer than that, what systemd kills would be sent a second time.
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec=%(stop)s
# It writes into its own folder and needs nothing else of the machine.
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=%(home)s
ReadWritePaths=%(written)s
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""

README: Final = f"""\
<!-- {MADE_BY}. -->
# Notifications of the bot %(name)s

`dovecote.toml` has the settings, `dovecote.keys` the encryption key, `.env.example` what comes from the environment,
`example_bot.py` shows an order and its notification in one transaction. `dovecote --help` knows the rest.

## Try it without Telegram

```bash
cp .env.example .env
set -a; . ./.env; set +a
dovecote emulator --port 8081 &
%(python)s example_bot.py 42
dovecote worker --until-empty
dovecote notification show 1
```

## With your bot

Put the token that @BotFather gave you into `.env`, and take the line with the emulator's address away. `42` becomes the
chat id of somebody who has written to your bot. `dovecote run` delivers until Ctrl-C.

## As a service

```console
$ sudo useradd --system --shell /usr/sbin/nologin dovecote
$ sudo chown -R dovecote: "%(folder)s"
$ sudo cp dovecote.service /etc/systemd/system/
$ sudo systemctl enable --now dovecote
```
%(home)s"""
# A home folder is closed to others on many systems, and what `pipx install` makes lies there.
HOME_NOTE = """
The user `dovecote` has to be able to run `%s`, and to reach this folder, and one of them lies in a home folder.
Where that is closed to others, move this folder out of it (to `/srv`, say), install the program for all
(`sudo pipx install --global dovecote`), and name both anew in `dovecote.service`.
"""


def check_bot_name(bot: str) -> None:
    """Raise Refused for what cannot be a bot's name."""
    if not BOT_NAME.fullmatch(bot):
        raise Refused(f'--bot: "{bot}" cannot be a bot\'s name: use 1 to 64 letters, digits, hyphens and underscores.')


def token_variable(bot: str) -> str:
    """The variable of the environment that holds the bot's token."""
    return f"DOVECOTE_TOKEN_{bot.upper().replace('-', '_')}"


def project_files(bot: str, settings: Settings, folder: Path) -> Mapping[str, str]:
    """The files by name, for a bot and the settings that stand in `folder`, an absolute path."""
    on_sqlite = settings.database.url.startswith("sqlite")
    variable = token_variable(bot)
    drain = settings.worker.drain_deadline
    # Not resolved: the path within a virtual environment is what makes it that environment's.
    python = Path(sys.executable).absolute()
    written = [folder]
    if on_sqlite:
        database = folder / settings.database.url.removeprefix("sqlite:///")
        written += [] if database.is_relative_to(folder) else [database.parent]
    in_home = any(path.is_relative_to(home) for path in (*written, python, python.resolve()) for home in HOMES)
    unit = {
        "name": bot,
        "folder": _of_unit(folder),
        "written": " ".join(f'"{_of_unit(path)}"' for path in written),
        "python": _of_unit(python),
        "drain": f"{drain.total_seconds():g}",
        "stop": f"{(drain + MARGIN).total_seconds():g}",
        "home": "read-only" if in_home else "yes",
    }
    example = {
        "imports": "import sqlite3\nimport sys" if on_sqlite else "import sys\n\nimport asyncpg",
        "bot": json.dumps(bot),
        "variable": json.dumps(variable),
        "order": ON_SQLITE if on_sqlite else ON_POSTGRESQL,
    }
    note = HOME_NOTE % python if in_home else ""
    return {
        ".env.example": ENVIRONMENT % {"variable": variable},
        "example_bot.py": EXAMPLE % example,
        "dovecote.service": UNIT % unit,
        "README.md": README % {"name": bot, "folder": str(folder), "python": python_of_shell(python), "home": note},
    }


def python_of_shell(python: Path) -> str:
    """What runs this interpreter in a shell: as pipx installs it, the `python` there is another, without Dovecote."""
    there = shutil.which("python")
    return (
        "python" if there is not None and Path(there).absolute().parent == python.parent else shlex.quote(str(python))
    )


def _of_unit(path: Path) -> str:
    """A path as a unit file has it: with its specifiers and quotes escaped."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def write_project(folder: Path, files: Mapping[str, str], *, force: bool) -> tuple[list[str], list[str]]:
    """Write them; answer the names of those that were written, and of those that were kept.

    One that is there already is kept, and with `force` only if it is somebody's own. Raises Refused.
    """
    written, kept = [], []
    for name, text in files.items():
        path = folder / name
        try:
            if path.exists() and not (force and MADE_BY in path.read_text(encoding="utf-8", errors="replace")[:200]):
                kept.append(name)
                continue
            path.write_text(text, encoding="utf-8")
            if name == ".env.example":
                # Its copy will hold a token.
                path.chmod(PRIVATE)
        except OSError as error:
            raise Refused(f'"{path}" cannot be written ({error.strerror}): choose another --directory.') from error
        written.append(name)
    return written, kept
