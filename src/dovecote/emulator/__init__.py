"""A strict Bot API server for tests, demonstrations and the suites of bot developers."""

from dovecote.emulator.connection import TELEGRAM_AGE
from dovecote.emulator.events import Happened
from dovecote.emulator.limits import BotLimit, GroupLimit, Limits, PaidLimit, Penalty, PrivateLimit, UploadLimit
from dovecote.emulator.process import EmulatorProcess
from dovecote.emulator.recipients import Recipient
from dovecote.emulator.records import Record
from dovecote.emulator.script import Answer, Match, Rule
from dovecote.emulator.server import DEFAULT_PORT, Emulator, run_emulator
from dovecote.emulator.traffic import BotTraffic
from dovecote.emulator.uploads import Uploaded
from dovecote.emulator.user import User
from dovecote.emulator.world import Clock, ScaledClock

__all__ = [
    "DEFAULT_PORT",
    "TELEGRAM_AGE",
    "Answer",
    "BotLimit",
    "BotTraffic",
    "Clock",
    "Emulator",
    "EmulatorProcess",
    "GroupLimit",
    "Happened",
    "Limits",
    "Match",
    "PaidLimit",
    "Penalty",
    "PrivateLimit",
    "Recipient",
    "Record",
    "Rule",
    "ScaledClock",
    "UploadLimit",
    "Uploaded",
    "User",
    "run_emulator",
]
