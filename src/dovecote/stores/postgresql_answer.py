"""How the statement of a cycle ends: what it did and found, and what it claimed.

The parameters and the rules of the whole statement stand in `postgresql_cycle`.
"""

from __future__ import annotations

# Seconds until a worker asks again whose bot was in the claim of another.
TURNED_AWAY = 0.01

# The summary comes as the first row, so that one result carries everything.
ANSWER = """
SELECT NULL::bigint AS id, NULL::int AS bot_id, NULL::text AS bot, NULL::text AS chat, NULL::text AS method,
    json_build_object(
        'lost', (SELECT coalesce(json_agg(id), '[]') FROM lost),
        'ended', (SELECT coalesce(json_object_agg(ending, count), '{}')
                  FROM (SELECT ending, count(*) FROM ended GROUP BY ending) e),
        'postponed', (SELECT count(*) FROM postponed) + (SELECT count(*) FROM deferred),
        'suspects', NOT $20 AND EXISTS (
            SELECT FROM dovecote.notification n JOIN dovecote.bot b ON b.id = n.bot_id, clock
            WHERE n.lost_leases >= 1 AND n.lost_leases + (n.lease_token IS NOT NULL)::int >= 2
              AND n.due_at <= clock.now AND n.id <> ALL ($1::bigint[] || $15::bigint[])
              AND b.stopped_reason IS NULL AND (b.halted_until IS NULL OR b.halted_until <= clock.now)
        ),
        'next_due_in', CASE
            WHEN $17 = 0 THEN NULL
            WHEN EXISTS (SELECT FROM eligible e WHERE e.id NOT IN (SELECT id FROM granted)) THEN {turned_away}
            WHEN EXISTS (SELECT FROM taken) THEN (
                SELECT CASE
                    WHEN count(*) = 50 OR bool_or(a.pace IS NULL AND a.left_over) THEN 0
                    ELSE coalesce(
                        min(extract(epoch FROM a.next_slot_at - clock.now) - $21 / 2) FILTER (WHERE a.left_over),
                        0.05)
                END
                FROM advanced a, clock
            )
            WHEN EXISTS (SELECT FROM ended) OR EXISTS (SELECT FROM deferred)
                OR EXISTS (SELECT FROM advanced a WHERE a.left_over) THEN 0
            ELSE least(
                (SELECT extract(epoch FROM min(p.due_at) - clock.now) FROM postponed p, clock GROUP BY clock.now),
                (
                    SELECT extract(epoch FROM min(greatest(
                        d.due_at, b.halted_until, CASE WHEN b.pace IS NOT NULL
                        THEN b.next_slot_at - make_interval(secs => $21 / 2) END)) - max(clock.now))
                    FROM clock CROSS JOIN dovecote.bot b CROSS JOIN (VALUES (0), (1), (2)) AS p (priority)
                    CROSS JOIN LATERAL (
                        SELECT n.due_at FROM dovecote.notification n
                        WHERE n.bot_id = b.id AND n.priority = p.priority AND n.due_at > '-infinity'
                          AND n.due_at > CASE
                            WHEN b.id IN (SELECT id FROM eligible) THEN clock.now ELSE '-infinity' END
                        ORDER BY n.due_at LIMIT 1
                    ) d
                    WHERE b.stopped_reason IS NULL
                ))
        END
    )::text AS params,
    false AS at_most_once, 0 AS attempts, 0 AS failures, 0::float8 AS send_in, 0::bigint AS slot,
    NULL::int AS paid_day, 0::bigint AS refusals, 0::bigint AS moves, false AS silent
UNION ALL
SELECT l.id, l.bot_id, l.bot, l.chat, l.method, l.params::text, l.at_most_once, l.attempts, l.failures,
    l.send_in::float8, l.slot::bigint, l.paid_day,
    -- Only what has been tried before has anything to be counted.
    CASE WHEN l.failures = 0 THEN 0 ELSE (
        SELECT count(*) FILTER (WHERE f.outcome = 'failed' AND f.error_code IS NOT NULL)
        FROM (
            SELECT a.outcome, a.error_code FROM dovecote.attempt a
            WHERE a.notification_id = l.id AND a.outcome IN ('failed', 'unknown')
            ORDER BY a.number DESC LIMIT l.failures
        ) f
    ) END,
    CASE WHEN l.attempts = 1 THEN 0 ELSE (
        SELECT count(*) FROM dovecote.attempt a WHERE a.notification_id = l.id AND a.outcome = 'migrated'
    ) END,
    l.silent
FROM leased l
"""
