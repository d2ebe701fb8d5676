"""Settings: from `dovecote.toml` and from `DOVECOTE_*` variables; the environment wins.

A setting has one name, `section.name`: in the file it stands as `name` in the table `[section]`, in the environment
it is `DOVECOTE_SECTION_NAME`. The file is the one that DOVECOTE_CONFIG names, else `dovecote.toml` in the working
directory, which need not exist. Nothing is read at import, only by `load_settings` and `configuration_faults`.

A configuration is refused as a whole, with every fault at once, each a sentence that names the setting, its value
(unless that is a secret) and the remedy. A name that is no setting is a fault as well: a misspelt setting that is
silently ignored is found weeks later. Two families of variables belong to others and are left alone:
`DOVECOTE_TOKEN_*` hold bots' tokens, `DOVECOTE_TEST_*` steer the tests.
"""

from dovecote.config.contradictions import LEASE_MARGIN
from dovecote.config.reading import Tables, configuration_faults, load_settings
from dovecote.config.schedules import (
    edited_schedule,
    load_schedules,
    schedule_faults,
    schedule_of,
    table_faults,
    table_of,
)
from dovecote.config.settings import (
    SETTINGS,
    Database,
    Encryption,
    Enqueue,
    Files,
    Http,
    Leadership,
    Log,
    Redis,
    Retry,
    Scheduler,
    Setting,
    Settings,
    Storage,
    Telegram,
    Worker,
)
from dovecote.config.template import template
from dovecote.config.values import is_loopback, parse_duration

__all__ = [
    "LEASE_MARGIN",
    "SETTINGS",
    "Database",
    "Encryption",
    "Enqueue",
    "Files",
    "Http",
    "Leadership",
    "Log",
    "Redis",
    "Retry",
    "Scheduler",
    "Setting",
    "Settings",
    "Storage",
    "Tables",
    "Telegram",
    "Worker",
    "configuration_faults",
    "edited_schedule",
    "is_loopback",
    "load_schedules",
    "load_settings",
    "parse_duration",
    "schedule_faults",
    "schedule_of",
    "table_faults",
    "table_of",
    "template",
]
