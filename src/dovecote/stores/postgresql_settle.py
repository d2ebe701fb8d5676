"""How the statement of a cycle begins: outcomes are recorded, leases renewed, recipients judged.

The parameters and the rules of the whole statement stand in `postgresql_cycle`. A recipient that is refused and
forgiven by the same batch counts as refused: a statement may not touch a row twice.
"""

from __future__ import annotations

SETTLE = """
WITH clock AS MATERIALIZED (
    SELECT dovecote.clock() AS now
),
result AS MATERIALIZED (
    SELECT *, retry_in IS NULL AND outcome <> 'released' AS leaves
    FROM unnest(
        $1::bigint[], $2::text::bigint[], $3::text::int[], $4::text::text[], $5::text::float8[], $6::text::float8[],
        $7::text::int[], $8::text[], $9::text::text[], $10::text[]
    ) AS r (id, lease_token, attempt, outcome, retry_in, took, error_code, error, message_ids, new_chat)
),
settled AS (
    DELETE FROM dovecote.notification n USING result r
    WHERE n.id = ANY ($1::bigint[]) AND n.id = r.id AND n.lease_token = r.lease_token AND r.leaves
    RETURNING n.*, r.outcome, r.took, r.error_code, r.error, r.message_ids
),
kept AS (
    UPDATE dovecote.notification n
    SET lease_token = NULL,
        chat = coalesce(r.new_chat, n.chat),
        due_at = clock.now + make_interval(secs => r.retry_in),
        attempts = n.attempts - (r.outcome = 'released')::int,
        failures = n.failures + (r.outcome IN ('failed', 'unknown'))::int
    FROM result r, clock
    WHERE n.id = ANY ($1::bigint[]) AND n.id = r.id AND n.lease_token = r.lease_token AND NOT r.leaves
    RETURNING n.id, r.lease_token, n.bot_id, n.weight
),
lost AS MATERIALIZED (
    SELECT r.* FROM result r
    WHERE (SELECT count(*) FROM result) > (SELECT count(*) FROM settled) + (SELECT count(*) FROM kept)
      AND (r.id, r.lease_token) NOT IN (
        SELECT id, lease_token FROM settled UNION ALL SELECT id, lease_token FROM kept
    )
),
renewed AS (
    UPDATE dovecote.notification n
    SET due_at = clock.now + make_interval(secs => $18)
    FROM unnest($15::bigint[], $16::bigint[]) AS r (id, lease_token), clock
    WHERE n.id = ANY ($15::bigint[]) AND n.id = r.id AND n.lease_token = r.lease_token
),
refused AS (
    INSERT INTO dovecote.recipient AS p (bot_id, chat, disabled_at, disabled_reason, strikes, blocked_at)
    SELECT x.bot_id, x.chat, CASE WHEN x.strikes >= 3 THEN clock.now END, x.reason, x.strikes,
        CASE WHEN x.reason = 'blocked' THEN clock.now END
    FROM unnest($22::int[], $23::text[], $24::text[], $25::int[]) AS x (bot_id, chat, reason, strikes), clock
    ORDER BY x.bot_id, x.chat
    ON CONFLICT (bot_id, chat) DO UPDATE
    SET strikes = least(3, p.strikes + excluded.strikes),
        disabled_at = coalesce(p.disabled_at, CASE WHEN p.strikes + excluded.strikes >= 3 THEN dovecote.clock() END),
        disabled_reason = CASE WHEN p.disabled_at IS NULL THEN excluded.disabled_reason ELSE p.disabled_reason END,
        blocked_at = coalesce(excluded.blocked_at, p.blocked_at)
),
forgiven AS (
    UPDATE dovecote.recipient p SET strikes = 0
    FROM settled s
    WHERE p.bot_id = s.bot_id AND p.chat = s.chat AND p.strikes > 0 AND p.disabled_at IS NULL
      AND s.outcome = 'delivered' AND (p.bot_id, p.chat) NOT IN (SELECT * FROM unnest($22::int[], $23::text[]))
),
"""
