"""What is due, met together with what is to be heeded of its recipient: the statements, and what quiet hours mean.

The rules are those of `postgresql_heeded`. Quiet hours are judged in Python, which knows zones.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dovecote.stores.column_types import EPOCH, MICROSECOND
from dovecote.zones import quiet_end

if TYPE_CHECKING:
    from dovecote.stores.sqlite_judgement import GrantedBot, Met

COMPRESSED: Final = 1_000_000
"""So much shorter is the time between two that are planned for the end of the same quiet hours."""

_MET = """
SELECT n.id, n.bot_id, n.chat, n.priority, n.planned_at, n.due_at, n.expires_at, n.at_most_once, n.weight, n.attempts,
    n.method,
    n.lease_token IS NOT NULL AS lost, n.lost_leases + (n.lease_token IS NOT NULL) AS lost_leases,
    coalesce(
        CASE WHEN x.disabled_at IS NOT NULL THEN 'the recipient is disabled: ' || coalesce(x.disabled_reason, '')
             WHEN n.category IN (SELECT c.value FROM json_each(x.opted_out) c)
             THEN 'the recipient has opted out of ' || n.category END,
        CASE WHEN substr(n.chat, 1, 1) IN ('-', '@') THEN 'the recipient is disabled: ' || (
            SELECT t.disabled_reason FROM dovecote_recipient t INDEXED BY dovecote_recipient_disabled
            WHERE t.bot_id = n.bot_id AND t.disabled_at IS NOT NULL
              AND t.chat = n.chat || '/' || json_extract(n.params, '$.message_thread_id')
        ) END
    ) AS refusal,
    CASE WHEN x.quiet_from IS NOT NULL AND n.quiet IS NOT 'pass'
          AND (n.quiet IS NOT NULL OR n.priority > 0 OR x.quiet_urgent IS NOT 1)
          AND (n.method LIKE 'send%' OR n.method LIKE 'copymessage%' OR n.method LIKE 'forwardmessage%')
          AND n.method NOT LIKE 'sendchataction'
    THEN json_array(x.zone, x.quiet_from, x.quiet_until, coalesce(n.quiet = 'silent', x.quiet_silent))
    END AS hours
"""
_HEEDED = """
    LEFT JOIN dovecote_recipient x INDEXED BY dovecote_recipient_heeded
        ON x.bot_id = n.bot_id AND x.chat = n.chat
       AND (x.disabled_at IS NOT NULL OR x.opted_out IS NOT NULL OR x.quiet_from IS NOT NULL)
"""

# The list of ids is made anew for each bot and priority: the front of its part of the index, and no more.
# :bots, :now, :limit
MEET = """
WITH priorities (priority) AS (VALUES (0), (1), (2)){met}
FROM json_each(:bots) g CROSS JOIN priorities p CROSS JOIN dovecote_notification n {heeded}
WHERE n.id IN (
    SELECT q.id FROM dovecote_notification q INDEXED BY dovecote_notification_due
    WHERE q.bot_id = g.value AND q.priority = p.priority AND q.due_at IS NOT NULL AND q.due_at <= :now
      AND q.lost_leases + (q.lease_token IS NOT NULL) < 2
    ORDER BY q.due_at
    LIMIT :limit
)
"""

# :bots, :now, :limit
MEET_SUSPECTS = """{met}
FROM dovecote_notification n INDEXED BY dovecote_notification_suspect {heeded}
WHERE n.lost_leases >= 1 AND n.due_at <= :now AND n.lost_leases + (n.lease_token IS NOT NULL) >= 2
  AND n.bot_id IN (SELECT value FROM json_each(:bots))
ORDER BY n.due_at
LIMIT :limit
"""

MEET, MEET_SUSPECTS = (
    statement.replace("{met}", _MET).replace("{heeded}", _HEEDED) for statement in (MEET, MEET_SUSPECTS)
)

# What quiet hours hold up is planned for their end, so that it holds up nothing itself; among each other such ones keep
# their order.
# :rows [id, due at, planned at]
DEFER = """
UPDATE dovecote_notification
SET due_at = r.due_at, planned_at = r.planned_at
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS due_at,
        json_extract(value, '$[2]') AS planned_at
    FROM json_each(:rows)
) r
WHERE dovecote_notification.id = r.id
"""


def quiet_until(met: Met, bot: GrantedBot, now: int) -> tuple[int | None, bool]:
    """When quiet hours end that hold now, in microseconds, or None; and whether it is sent all the same, silently."""
    if met.hours is None:
        return None, False
    own, begins, ends, silent = json.loads(met.hours)
    instant = (EPOCH + timedelta(microseconds=now)).replace(tzinfo=None)
    end = quiet_end(instant, own or bot.zone or "UTC", begins, ends)
    if end is None:
        return None, False
    return (end - EPOCH.replace(tzinfo=None)) // MICROSECOND, bool(silent or met.lost)


def deferred(met: Met, until: int) -> tuple[int, int, int]:
    """The row of `DEFER` for one that waits."""
    return met.id, until, until + (met.planned_at - until) // COMPRESSED
