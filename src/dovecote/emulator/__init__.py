"""A strict Bot API server for tests, demonstrations and the suites of bot developers."""

from dovecote.emulator.process import EmulatorProcess
from dovecote.emulator.records import Record
from dovecote.emulator.script import Answer, Match, Rule
from dovecote.emulator.server import DEFAULT_PORT, Emulator, run_emulator
from dovecote.emulator.world import Clock

__all__ = ["DEFAULT_PORT", "Answer", "Clock", "Emulator", "EmulatorProcess", "Match", "Record", "Rule", "run_emulator"]
