"""The parts of a cycle on PostgreSQL that heed recipients: whom nothing is sent, and who is not to be woken.

The parameters and the rules of the whole statement stand in `postgresql_cycle`; `sqlite_heeded` has the same rules.
Quiet hours are about methods that make a sound. What is found under a lost lease has perhaps been sent already: it is
not held up again, and goes without a sound.
"""

from __future__ import annotations

# Fenced by OFFSET, so that each is asked for by the index of those that are to be heeded, and never joined as a whole.
HEEDED = """
    LEFT JOIN LATERAL (
        SELECT
            CASE WHEN x.disabled_at IS NOT NULL THEN 'the recipient is disabled: ' || coalesce(x.disabled_reason, '')
                 WHEN n.category = ANY (x.opted_out) THEN 'the recipient has opted out of ' || n.category
            END AS refusal,
            CASE WHEN x.quiet_from IS NOT NULL AND n.quiet IS DISTINCT FROM 'pass'
                  AND (n.quiet IS NOT NULL OR n.priority > 0 OR x.quiet_urgent IS NOT TRUE)
                  AND lower(n.method) ~ '^(send|copymessage|forwardmessage)' AND lower(n.method) <> 'sendchataction'
            THEN dovecote.quiet_end(clock.now, coalesce(x.zone, g.zone, 'UTC'), x.quiet_from, x.quiet_until)
            END AS quiet_end,
            coalesce(n.quiet = 'silent', x.quiet_silent) AS is_silent
        FROM dovecote.recipient x
        WHERE x.bot_id = n.bot_id AND x.chat = n.chat
          AND (x.disabled_at IS NOT NULL OR x.opted_out IS NOT NULL OR x.quiet_from IS NOT NULL)
        OFFSET 0
    ) x ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(x.refusal, 'the recipient is disabled: ' || n.topic_closed) AS refusal
    ) w
"""

# What quiet hours hold up is planned for their end, so that it holds up nothing itself; among each other such ones keep
# their order, a second of which is a microsecond then.
DEFERRED = """
deferred AS (
    UPDATE dovecote.notification n
    SET due_at = m.quiet_until, planned_at = m.quiet_until + (m.planned_at - m.quiet_until) / 1000000
    FROM met m
    WHERE n.ctid = m.tid AND n.due_at = m.due_at AND n.lease_token IS NULL
      AND m.ending IS NULL AND m.quiet_until IS NOT NULL
    RETURNING n.due_at
),
"""
