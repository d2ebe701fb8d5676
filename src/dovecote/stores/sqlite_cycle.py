"""The statements of a cycle on SQLite: settle a finished batch and claim the next, in one transaction.

SQLite has no statement that changes several tables, so a cycle is one `BEGIN IMMEDIATE` transaction of about a dozen
statements, however large the batch: sets of rows go in as JSON arrays. `sqlite_heeded` has those that meet what is due,
and what is judged between them stands in `sqlite_judgement`. All follow `postgresql_cycle`, with these differences:

- The transaction is the only writer from its beginning to its end, so nothing is locked, skipped or tried again, and
  every statement sees what the earlier ones did: a chat that has just been settled is free for this claim.
- The connection plans without statistics, which may have been taken while the tables were almost empty: a scan looks
  cheap then. Every search names its index as well; one that cannot serve is an error at once, not a slow cycle.

Instants and durations are whole microseconds. A cycle runs the statements in the order in which they stand here.
"""

from __future__ import annotations

BEGIN = "BEGIN IMMEDIATE"
COMMIT = "COMMIT"

# It differs from an earlier answer on the same connection when another connection has committed since.
FOREIGN_COMMITS = "PRAGMA data_version"

# The same, and what differs when tables were changed, or statistics taken for the first time: the connection has read
# the schema again then, and the statistics with it.
VERSIONS = "SELECT d.data_version, s.schema_version FROM pragma_data_version d, pragma_schema_version s"

HAS_STATISTICS = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1')"
# Reads the statistics, and takes none.
READ_STATISTICS = "ANALYZE sqlite_master"

# :ids
LEASES_OF = """
SELECT n.id, n.lease_token
FROM json_each(:ids) i CROSS JOIN dovecote_notification n ON n.id = i.value
"""

# :rows [id, outcome, failures to add, lost leases to add, seconds taken, error code, error, message ids], :now
TO_HISTORY = """
INSERT INTO dovecote_history (
    id, bot_id, chat, method, params, key, labels, priority, at_most_once, enqueued_at, planned_at, expires_at,
    attempts, failures, lost_leases, outcome, settled_at, took, error_code, error, message_ids, category, quiet
)
SELECT n.id, n.bot_id, n.chat, n.method, n.params, n.key, n.labels, n.priority, n.at_most_once, n.enqueued_at,
    n.planned_at, n.expires_at, n.attempts,
    n.failures + json_extract(r.value, '$[2]'),
    n.lost_leases + json_extract(r.value, '$[3]'),
    json_extract(r.value, '$[1]'),
    :now,
    json_extract(r.value, '$[4]'),
    json_extract(r.value, '$[5]'),
    json_extract(r.value, '$[6]'),
    json_extract(r.value, '$[7]'),
    n.category, n.quiet
FROM json_each(:rows) r CROSS JOIN dovecote_notification n ON n.id = json_extract(r.value, '$[0]')
"""

# :ids
OUT_OF_OUTBOX = "DELETE FROM dovecote_notification WHERE id IN (SELECT value FROM json_each(:ids))"

# :rows [id, retry in, attempts to add, failures to add, new chat (or null)], :now
KEEP = """
UPDATE dovecote_notification
SET lease_token = NULL,
    due_at = :now + r.retry_in,
    attempts = attempts + r.attempts_added,
    failures = failures + r.failures_added,
    chat = coalesce(r.new_chat, chat)
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS retry_in,
        json_extract(value, '$[2]') AS attempts_added, json_extract(value, '$[3]') AS failures_added,
        json_extract(value, '$[4]') AS new_chat
    FROM json_each(:rows)
) r
WHERE dovecote_notification.id = r.id
"""

# :rows [id, lease token], :lease_ends_at
RENEW = """
UPDATE dovecote_notification
SET due_at = :lease_ends_at
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS lease_token FROM json_each(:rows)
) r
WHERE dovecote_notification.id = r.id AND dovecote_notification.lease_token = r.lease_token
"""

# :rows [bot, halt for (or null), reason to stop (or null)], :now
HALT = """
UPDATE dovecote_bot
SET halted_until = CASE WHEN r.halt IS NULL THEN halted_until ELSE max(coalesce(halted_until, 0), :now + r.halt) END,
    stopped_reason = coalesce(r.stop, stopped_reason),
    -- What is on its way when a wait begins is refused as well: only the first refusal says something of the pace.
    pace_held = CASE WHEN r.halt IS NULL OR coalesce(halted_until, 0) > :now THEN pace_held
        ELSE 0.93 * CASE WHEN pace_held IS NULL THEN pace
            ELSE min(pace, pace_held + pace * 0.001 * max(0, :now - pace_held_at) / 1000000) END END,
    pace_held_at = CASE WHEN r.halt IS NULL OR coalesce(halted_until, 0) > :now THEN pace_held_at
        ELSE :now + r.halt END
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS halt, json_extract(value, '$[2]') AS stop
    FROM json_each(:rows)
) r
WHERE dovecote_bot.id = r.id
"""

# :rows [bot, chat (or chat/topic), reason, strikes], :now
STRIKE = """
INSERT INTO dovecote_recipient (bot_id, chat, disabled_at, disabled_reason, strikes, blocked_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
    CASE WHEN json_extract(value, '$[3]') >= 3 THEN :now END,
    json_extract(value, '$[2]'), json_extract(value, '$[3]'),
    CASE WHEN json_extract(value, '$[2]') = 'blocked' THEN :now END
FROM json_each(:rows) WHERE true
ON CONFLICT (bot_id, chat) DO UPDATE
SET strikes = min(3, strikes + excluded.strikes),
    disabled_reason = CASE WHEN disabled_at IS NULL THEN excluded.disabled_reason ELSE disabled_reason END,
    disabled_at = coalesce(disabled_at, CASE WHEN strikes + excluded.strikes >= 3 THEN :now END),
    blocked_at = coalesce(excluded.blocked_at, blocked_at)
"""

# :rows [bot, chat]
FORGIVE = """
UPDATE dovecote_recipient SET strikes = 0
FROM (SELECT json_extract(value, '$[0]') AS bot_id, json_extract(value, '$[1]') AS chat FROM json_each(:rows)) r
WHERE dovecote_recipient.bot_id = r.bot_id AND dovecote_recipient.chat = r.chat
  AND dovecote_recipient.strikes > 0 AND dovecote_recipient.disabled_at IS NULL
"""
# Hardly any recipient has strikes without being disabled, so most cycles forgive nobody.
HAS_STRIKES = """
SELECT EXISTS (
    SELECT 1 FROM dovecote_recipient INDEXED BY dovecote_recipient_struck WHERE strikes > 0 AND disabled_at IS NULL
)
"""

# What waits for a group moves to the supergroup that it has become, in bounded batches. Leased ones are left alone:
# whoever holds them hears the same of Telegram.
# :bot, :old, :new, :limit
MOVE = """
UPDATE dovecote_notification SET chat = :new
WHERE id IN (
    SELECT q.id FROM dovecote_notification q INDEXED BY dovecote_notification_chat_order
    WHERE q.bot_id = :bot AND q.chat = :old AND q.chat IS NOT NULL AND q.lease_token IS NULL
    LIMIT :limit
)
RETURNING id
"""

# What was granted and not sent is had again, while its lease is held and its day goes on.
# :rows [id, lease token, day of the grant], :day
GIVE_BACK = """
UPDATE dovecote_bot SET paid_spent = max(0, paid_spent - r.stars)
FROM (
    SELECT n.bot_id, sum(n.weight) AS stars
    FROM json_each(:rows) i CROSS JOIN dovecote_notification n
        ON n.id = json_extract(i.value, '$[0]') AND n.lease_token = json_extract(i.value, '$[1]')
    WHERE json_extract(i.value, '$[2]') = :day
    GROUP BY n.bot_id
) r
WHERE dovecote_bot.id = r.bot_id AND dovecote_bot.paid_day = :day
"""

# :rows [bot, chat, wait], :now
TOLD_TO_WAIT = """
INSERT INTO dovecote_chat_wait (bot_id, chat, until)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), :now + json_extract(value, '$[2]')
FROM json_each(:rows) WHERE true
ON CONFLICT (bot_id, chat) DO UPDATE SET until = max(until, excluded.until)
"""

# A suspect has lost two workers: the leases lost before, and the one that it is found under now.
# :now, :day, :horizon, :alone, :bots
GRANT = """
SELECT b.id, b.name,
    CASE WHEN b.pace_held IS NULL THEN b.pace
        ELSE min(b.pace, b.pace_held + b.pace * 0.001 * max(0, :now - b.pace_held_at) / 1000000) END AS pace,
    b.slots_given, b.next_slot_at,
    b.private_count, b.private_window, b.group_count, b.group_window, b.pace AS whole_pace, b.zone,
    CASE WHEN b.paid_pace > b.pace THEN b.paid_pace END AS paid_pace,
    b.paid_budget - CASE WHEN b.paid_day = :day THEN b.paid_spent ELSE 0 END AS paid_left,
    coalesce(b.paid_until, 0) AS paid_until
FROM dovecote_bot b
WHERE b.stopped_reason IS NULL
  AND (b.halted_until IS NULL OR b.halted_until <= :now)
  AND (b.pace IS NULL OR b.next_slot_at < :now + :horizon)
  AND CASE WHEN :alone THEN
      EXISTS (SELECT 1 FROM dovecote_notification n INDEXED BY dovecote_notification_suspect
              WHERE n.bot_id = b.id AND n.lost_leases >= 1 AND n.due_at <= :now
                AND n.lost_leases + (n.lease_token IS NOT NULL) >= 2)
  ELSE
      EXISTS (SELECT 1 FROM dovecote_notification n INDEXED BY dovecote_notification_due
              WHERE n.bot_id = b.id AND n.priority = 0 AND n.due_at IS NOT NULL AND n.due_at <= :now)
      OR EXISTS (SELECT 1 FROM dovecote_notification n INDEXED BY dovecote_notification_due
                 WHERE n.bot_id = b.id AND n.priority = 1 AND n.due_at IS NOT NULL AND n.due_at <= :now)
      OR EXISTS (SELECT 1 FROM dovecote_notification n INDEXED BY dovecote_notification_due
                 WHERE n.bot_id = b.id AND n.priority = 2 AND n.due_at IS NOT NULL AND n.due_at <= :now)
  END
ORDER BY b.next_slot_at, b.id
LIMIT :bots
"""

# What the table knows about the first of each chat and priority: when the lease of one in flight ends, whether an older
# one is waiting, when the one just before it is due, and when the chat's latest were settled, within its window.
# What is found under a lost lease has had its turn: whatever is older waits behind it, or the two would wait for each
# other.
# :heads, :now
JUDGE = """
SELECT f.id,
    (
        SELECT q.due_at FROM dovecote_notification q INDEXED BY dovecote_notification_leased_chat
        WHERE q.bot_id = f.bot_id AND q.chat = f.chat AND q.chat IS NOT NULL AND q.lease_token IS NOT NULL
          AND q.id <> f.id
    ) AS mate_lease_ends_at,
    f.lease_token IS NULL AND (
        EXISTS (SELECT 1 FROM dovecote_notification q INDEXED BY dovecote_notification_chat_order
                WHERE q.bot_id = f.bot_id AND q.chat = f.chat AND q.chat IS NOT NULL AND q.priority = 0
                  AND (q.planned_at, q.id) < (f.planned_at, f.id))
        OR f.priority >= 1 AND EXISTS (
            SELECT 1 FROM dovecote_notification q INDEXED BY dovecote_notification_chat_order
            WHERE q.bot_id = f.bot_id AND q.chat = f.chat AND q.chat IS NOT NULL AND q.priority = 1
              AND (q.planned_at, q.id) < (f.planned_at, f.id))
        OR f.priority >= 2 AND EXISTS (
            SELECT 1 FROM dovecote_notification q INDEXED BY dovecote_notification_chat_order
            WHERE q.bot_id = f.bot_id AND q.chat = f.chat AND q.chat IS NOT NULL AND q.priority = 2
              AND (q.planned_at, q.id) < (f.planned_at, f.id))
    ) AS behind,
    (
        SELECT max((
            SELECT q.due_at FROM dovecote_notification q INDEXED BY dovecote_notification_chat_order
            WHERE q.bot_id = f.bot_id AND q.chat = f.chat AND q.chat IS NOT NULL AND q.priority = p.value
              AND q.lease_token IS NULL AND (q.planned_at, q.id) < (f.planned_at, f.id)
            ORDER BY q.planned_at DESC, q.id DESC LIMIT 1
        ))
        FROM json_each('[0, 1, 2]') p WHERE p.value <= f.priority
    ) AS tail_due_at,
    (
        SELECT json_group_array(h.settled_at) FROM dovecote_history h INDEXED BY dovecote_history_chat
        WHERE h.bot_id = f.bot_id AND h.chat = f.chat AND h.settled_at > :now - 1000000 * CASE
            WHEN substr(f.chat, 1, 1) IN ('-', '@') THEN b.group_window ELSE b.private_window END
    ) AS settled_ats,
    coalesce((SELECT w.until FROM dovecote_chat_wait w WHERE w.bot_id = f.bot_id AND w.chat = f.chat), 0) AS waits_until
FROM json_each(:heads) i
    CROSS JOIN dovecote_notification f ON f.id = i.value
    CROSS JOIN dovecote_bot b ON b.id = f.bot_id
"""

# :ids, :token, :lease_ends_at
LEASE = """
UPDATE dovecote_notification
SET lease_token = :token,
    due_at = :lease_ends_at,
    attempts = attempts + 1,
    lost_leases = lost_leases + (lease_token IS NOT NULL)
WHERE id IN (SELECT value FROM json_each(:ids))
RETURNING id, method, params, failures
"""

# :rows [id, due again at]
POSTPONE = """
UPDATE dovecote_notification
SET due_at = r.due_again_at
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS due_again_at FROM json_each(:rows)
) r
WHERE dovecote_notification.id = r.id
"""

# :rows [notification, number, outcome, seconds taken, error code, error, message ids], :now
ATTEMPT = """
INSERT INTO dovecote_attempt (notification_id, number, outcome, ended_at, took, error_code, error, message_ids)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), :now,
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), json_extract(value, '$[6]')
FROM json_each(:rows)
WHERE true -- without it ON CONFLICT would be read as part of a join
ON CONFLICT (notification_id, number) DO UPDATE
SET outcome = excluded.outcome, ended_at = excluded.ended_at, took = excluded.took,
    error_code = excluded.error_code, error = excluded.error, message_ids = excluded.message_ids
"""

# What was tried before, and had an answer of Telegram's that bounds how often it is tried.
# :rows [id, failures]
ANSWERED = """
SELECT json_extract(r.value, '$[0]'), (
    SELECT count(*) FILTER (WHERE latest.outcome = 'failed' AND latest.error_code IS NOT NULL)
    FROM (
        SELECT a.outcome, a.error_code, row_number() OVER (ORDER BY a.number DESC) AS place FROM dovecote_attempt a
        WHERE a.notification_id = json_extract(r.value, '$[0]') AND a.outcome IN ('failed', 'unknown')
    ) latest
    WHERE latest.place <= json_extract(r.value, '$[1]')
), (
    SELECT count(*) FROM dovecote_attempt a
    WHERE a.notification_id = json_extract(r.value, '$[0]') AND a.outcome = 'migrated'
)
FROM json_each(:rows) r
"""

# :rows [bot, slots used, next slot at]
ADVANCE = """
UPDATE dovecote_bot
SET version = version + 1, slots_given = slots_given + r.used, next_slot_at = r.next_slot_at
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS used,
        json_extract(value, '$[2]') AS next_slot_at
    FROM json_each(:rows)
) r
WHERE dovecote_bot.id = r.id
"""

# :rows [bot, tenths of Stars, until when the free share may be used up (or null)], :day
PAY = """
UPDATE dovecote_bot
SET paid_spent = CASE WHEN paid_day = :day THEN paid_spent ELSE 0 END + r.stars, paid_day = :day,
    paid_until = coalesce(r.until, paid_until)
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS stars,
        json_extract(value, '$[2]') AS until
    FROM json_each(:rows)
) r
WHERE dovecote_bot.id = r.id
"""

# :now
SUSPECTS = """
SELECT EXISTS (
    SELECT 1
    FROM dovecote_notification n INDEXED BY dovecote_notification_suspect
        CROSS JOIN dovecote_bot b ON b.id = n.bot_id
    WHERE n.lost_leases >= 1 AND n.due_at <= :now AND n.lost_leases + (n.lease_token IS NOT NULL) >= 2
      AND b.stopped_reason IS NULL AND (b.halted_until IS NULL OR b.halted_until <= :now)
)
"""

# Of a bot that was granted a claim only what is due later counts: what is due now was met.
# :granted, :now, :horizon, :ever
NEXT_DUE = """
WITH priorities (priority) AS (VALUES (0), (1), (2))
SELECT min(max(
    w.due_at,
    coalesce(w.halted_until, w.due_at),
    CASE WHEN w.pace IS NULL THEN w.due_at ELSE w.next_slot_at - :horizon / 2 END
))
FROM (
    SELECT b.halted_until, b.pace, b.next_slot_at, (
        SELECT n.due_at FROM dovecote_notification n INDEXED BY dovecote_notification_due
        WHERE n.bot_id = b.id AND n.priority = p.priority AND n.due_at IS NOT NULL
          AND n.due_at > CASE WHEN b.id IN (SELECT value FROM json_each(:granted)) THEN :now ELSE :ever END
        ORDER BY n.due_at LIMIT 1
    ) AS due_at
    FROM dovecote_bot b CROSS JOIN priorities p
    WHERE b.stopped_reason IS NULL
) w
"""
