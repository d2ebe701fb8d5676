"""The statement that carries the engine: settle a finished batch and claim the next, in one round trip.

How it stays correct:

- Every part of a statement sees the same snapshot, so no row may be touched by two parts. A row that is being settled
  is still leased in the snapshot: the claim sees its chat as busy and leaves it for the next cycle.
- A claim is granted for a bot only if this statement holds the bot's row and the row still has the version that the
  snapshot saw. SKIP LOCKED alone is not enough: it can succeed on a row that another claim committed after the
  snapshot, and the order check below would then read the past.
- A settlement, a renewal and a claim each name the lease they saw; a row that has changed since is left alone.
- What a claim has met it finds again by its place (ctid): no other row can have it while this statement's snapshot is
  there, and one that has changed since has another. By its id it would be sought in the whole backlog, where the plan
  was made for an empty table.
- Only what is needed further on is carried from part to part: each part copies its rows, some of them for a sort.
- The index of due times is partial by a condition that is always true. Only the parts that name the condition can use
  it; without statistics the planner would take it for the order check too, and read the whole backlog. A claim alone
  names that of the suspects' index instead, or it would read the backlog for one.
- A unique index allows one leased notification per chat, whatever this statement believes.
- Bots that a 429 halts, or that Stars are given back to, are locked first, in id order and waiting; the bots to claim
  for are locked after that, skipping. So two cycles cannot wait for each other's bots.
- A bot's budget of Stars stands in its row, and is judged and spent under that lock (`postgresql_paid`).
- A chat that a 429 of its own makes wait is blocked until the end of its wait, whatever is to be sent there.

Quiet hours are no block: what they hold up is planned for their end in the claim that meets it, and takes no slot.

A notification is blocked by a leased one of its chat, and by an older one of the same or a more urgent priority, where
older is (planned_at, id). A blocked one is given a later due time, behind the last of its chat, and so is met again
only then. One whose lease ran out is never blocked: it is what its chat has in flight, the others wait for it, and if
it waited for them, all would wait for ever.
"""

from __future__ import annotations

from dovecote.stores.postgresql_answer import ANSWER, TURNED_AWAY
from dovecote.stores.postgresql_heeded import DEFERRED, HEEDED
from dovecote.stores.postgresql_paid import (
    DAY,
    GIVEN_BACK,
    PAID_GRANT,
    TARIFF,
    TERMS,
    WAITS_UNTIL,
    WAITS_UNTIL_NOW,
)
from dovecote.stores.postgresql_settle import SETTLE

# $1..$10  settlements: ids, lease tokens, attempt numbers, outcomes, seconds until the retry (null: leaves the outbox),
#          seconds taken, error codes, errors, message ids (as array literals), new chats of migrated groups
# $11..$14 bots to halt with seconds, bots to stop with reasons
# $15, $16 leases to renew: ids, tokens
# $17..$21 how many to claim, lease in seconds, the new lease token, alone, horizon in seconds
# $22..$25 refused recipients: bots, chats (or chat/topic), reasons, strikes
# $26..$32 only in the statement for rare outcomes: see `postgresql_paid`

GRANT = """
touched AS MATERIALIZED (
    SELECT b.id FROM dovecote.bot b WHERE b.id = ANY ($11::int[] || $13::int[]{given_back_to}) ORDER BY b.id FOR UPDATE
),
eligible AS MATERIALIZED (
    SELECT b.id, b.version
    FROM dovecote.bot b, clock
    WHERE $17 > 0
      AND (SELECT count(*) FROM touched) >= 0 -- locks those first
      AND b.id <> ALL ($11::int[] || $13::int[])
      AND b.stopped_reason IS NULL
      AND (b.halted_until IS NULL OR b.halted_until <= clock.now)
      AND (b.pace IS NULL OR b.next_slot_at < clock.now + make_interval(secs => $21))
      AND (
          EXISTS (SELECT FROM dovecote.notification n
                  WHERE n.bot_id = b.id AND n.priority = 0 AND n.due_at > '-infinity' AND n.due_at <= clock.now)
          OR EXISTS (SELECT FROM dovecote.notification n
                     WHERE n.bot_id = b.id AND n.priority = 1 AND n.due_at > '-infinity' AND n.due_at <= clock.now)
          OR EXISTS (SELECT FROM dovecote.notification n
                     WHERE n.bot_id = b.id AND n.priority = 2 AND n.due_at > '-infinity' AND n.due_at <= clock.now)
      )
      AND (NOT $20 OR EXISTS (
          SELECT FROM dovecote.notification n
          WHERE n.bot_id = b.id AND n.due_at <= clock.now
            AND n.lost_leases >= 1 AND n.lost_leases + (n.lease_token IS NOT NULL)::int >= 2
      ))
    ORDER BY b.next_slot_at, b.id
    LIMIT least($17, 50)
),
held AS MATERIALIZED (
    SELECT b.* FROM dovecote.bot b
    WHERE b.id IN (SELECT id FROM eligible)
    ORDER BY b.id
    FOR UPDATE SKIP LOCKED
),
granted AS MATERIALIZED (
    SELECT h.id, h.name, h.slots_given, paced.pace,
        h.private_count, h.private_window, h.group_count, h.group_window, h.zone,
        greatest(h.next_slot_at, clock.now) AS first_slot_at,
        EXISTS (SELECT FROM dovecote.chat_wait w WHERE w.bot_id = h.id AND w.until > clock.now) AS chats_wait,
        {paid_grant}
        least(
            greatest(1, $17 / count(*) OVER ()),
            CASE WHEN paced.pace IS NOT NULL THEN greatest(1, floor(paced.pace * extract(
                epoch FROM clock.now + make_interval(secs => $21) - greatest(h.next_slot_at, clock.now)
            ))) END
        )::int AS slots
    FROM held h JOIN eligible e USING (id, version), clock,
        LATERAL (SELECT dovecote.kept_pace(h.pace, h.pace_held, h.pace_held_at, clock.now) AS pace) AS paced
    WHERE h.stopped_reason IS NULL AND (h.halted_until IS NULL OR h.halted_until <= clock.now)
),
"""

MEET = """
met AS MATERIALIZED (
    SELECT n.id, n.tid, n.bot_id, n.chat, n.priority, n.planned_at, n.due_at, n.weight, n.lease_token, n.lost,
        n.lost_leases, n.tariff,
        CASE WHEN n.is_group THEN g.group_count ELSE g.private_count END AS chat_count,
        CASE WHEN n.is_group THEN g.group_window ELSE g.private_window END AS chat_window,
        g.chats_wait,
        CASE
            WHEN n.lost THEN
                CASE WHEN n.at_most_once OR n.expires_at <= clock.now OR w.refusal IS NOT NULL THEN 'unknown'
                     WHEN n.lost_leases >= 3 THEN 'poison' END
            WHEN n.expires_at <= clock.now THEN 'expired'
            WHEN w.refusal IS NOT NULL THEN 'suppressed'
        END AS ending,
        w.refusal, x.quiet_end IS NOT NULL AS silent,
        CASE WHEN NOT x.is_silent AND NOT n.lost THEN x.quiet_end END AS quiet_until
    FROM clock CROSS JOIN granted g CROSS JOIN (VALUES (0), (1), (2)) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT n.id, n.ctid AS tid, n.bot_id, n.chat, n.priority, n.planned_at, n.due_at, n.expires_at, n.at_most_once,
            n.weight, n.lease_token, n.lease_token IS NOT NULL AS lost, n.method, n.category, n.quiet,
            n.lost_leases + (n.lease_token IS NOT NULL)::int AS lost_leases,
            {tariff},
            ascii(n.chat) IN (45, 64) AS is_group, -- begins with "-" or "@"
            CASE WHEN ascii(n.chat) IN (45, 64) THEN (
                SELECT x.disabled_reason FROM dovecote.recipient x
                WHERE x.bot_id = n.bot_id AND x.chat = n.chat || '/' || (n.params ->> 'message_thread_id')
                  AND x.disabled_at IS NOT NULL
            ) END AS topic_closed
        FROM dovecote.notification n
        WHERE n.bot_id = g.id AND n.priority = p.priority
          AND ($20 OR n.due_at > '-infinity') AND n.due_at <= (SELECT now FROM clock)
          AND (n.lost_leases + (n.lease_token IS NOT NULL)::int >= 2) = $20
          AND (NOT $20 OR n.lost_leases >= 1)
          AND (n.lease_token IS NULL OR n.id <> ALL ($1::bigint[] || $15::bigint[]))
        ORDER BY n.due_at
        LIMIT greatest(g.slots, g.paid_slots, g.paid_from, 64)
    ) n
{heeded}
),
ranked AS (
    SELECT id, tid, bot_id, chat, priority, planned_at, due_at, weight, lease_token, lost, lost_leases, tariff,
        chat_count, chat_window, chats_wait, silent,
        row_number() OVER (PARTITION BY chat, bot_id ORDER BY lost DESC, priority, planned_at, id) AS chat_rank
    FROM met WHERE ending IS NULL AND quiet_until IS NULL
),
judged AS (
    SELECT r.id, r.tid, r.bot_id, r.chat, r.priority, r.planned_at, r.due_at, r.weight, r.lease_token, r.lost,
        r.lost_leases, r.tariff, r.chat_count, r.chat_window, r.silent, r.chat_rank,
        CASE WHEN r.chat_rank = 1 THEN (
            SELECT q.due_at FROM dovecote.notification q
            WHERE q.bot_id = r.bot_id AND q.chat = r.chat AND q.lease_token IS NOT NULL AND q.id <> r.id
        ) END AS mate_lease_ends_at,
        greatest(CASE WHEN r.chat_rank = 1 AND r.chat_count IS NOT NULL THEN (
            SELECT h.settled_at FROM dovecote.history h
            WHERE h.bot_id = r.bot_id AND h.chat = r.chat
            ORDER BY h.settled_at DESC OFFSET r.chat_count - 1 LIMIT 1
        ) + make_interval(secs => r.chat_window) END, CASE WHEN r.chat_rank = 1 AND {waiting} THEN
        {waits_until} END) AS paced_until,
        r.chat IS NOT NULL AND NOT r.lost AND (
            r.chat_rank > 1
            OR EXISTS (SELECT FROM dovecote.notification q
                       WHERE q.bot_id = r.bot_id AND q.chat = r.chat
                         AND q.priority = ANY (CASE r.priority
                             WHEN 0 THEN '{0}' WHEN 1 THEN '{0,1}' ELSE '{0,1,2}' END::smallint[])
                         AND (q.planned_at, q.id) < (r.planned_at, r.id))
        ) AS behind
    FROM ranked r
    OFFSET 0 -- judged once, whatever is made of it
),
verdict AS MATERIALIZED (
    SELECT j.*, NOT j.lost AND (
        j.behind OR j.mate_lease_ends_at IS NOT NULL OR coalesce(j.paced_until > clock.now, false)
    ) AS blocked
    FROM judged j, clock
),
"""

# A share of the slots goes to each priority that has something waiting (16 urgent : 4 normal : 1 bulk): a bot's slots
# repeat a pattern of 21, four urgent and one normal four times over, then one bulk. A claim goes on in the pattern
# where the last one ended, or bulk would never have a small one's slot.
TAKE = """
queued AS (
    SELECT p.id, p.tid, p.bot_id, p.priority, p.due_at, p.weight, p.lease_token, p.lost, p.lost_leases, p.tariff,
        p.silent,
        CASE p.priority
        WHEN 0 THEN (ahead + phase - phase / 5) / 16 * 21 + (ahead + phase - phase / 5) % 16 * 5 / 4
        WHEN 1 THEN (ahead + phase / 5) / 4 * 21 + (ahead + phase / 5) % 4 * 5 + 4
        ELSE ahead * 21 + 20
    END AS turn
    FROM (
        SELECT v.id, v.tid, v.bot_id, v.priority, v.due_at, v.weight, v.lease_token, v.lost, v.lost_leases, v.tariff,
            v.silent, g.slots_given % 21 AS phase,
            row_number() OVER (PARTITION BY v.bot_id, v.priority ORDER BY v.due_at, v.id) - 1 AS ahead
        FROM verdict v JOIN terms g ON g.id = v.bot_id WHERE NOT v.blocked
    ) p
),
taken AS MATERIALIZED (
    SELECT q.id, q.tid, q.bot_id, q.due_at, q.weight, q.lease_token, q.lost, q.lost_leases, q.silent, g.name AS bot,
        CASE WHEN g.pace IS NULL THEN 0
             ELSE extract(epoch FROM g.first_slot_at - clock.now) + q.slots_before / g.pace END AS send_in,
        g.slots_given + q.slots_before AS slot,
        CASE WHEN g.pays AND q.tariff = 'paid' THEN {day} END AS paid_day
    FROM (
        SELECT *, sum(weight) OVER (
            PARTITION BY bot_id ORDER BY turn, priority, id ROWS UNBOUNDED PRECEDING
        ) - weight AS slots_before
        FROM queued
    ) q JOIN terms g ON g.id = q.bot_id, clock
    WHERE q.slots_before < g.slots AND (NOT g.pays OR q.slots_before + q.weight <= g.paid_left)
),
leased AS (
    UPDATE dovecote.notification n
    SET lease_token = $19, due_at = clock.now + make_interval(secs => $18), attempts = n.attempts + 1,
        lost_leases = t.lost_leases
    FROM taken t, clock
    WHERE n.ctid = t.tid AND n.due_at = t.due_at AND n.lease_token IS NOT DISTINCT FROM t.lease_token
    RETURNING n.id, n.bot_id, t.bot, n.chat, n.method, n.params, n.at_most_once, n.attempts, n.failures,
        t.send_in, t.slot, t.lost, t.paid_day, t.silent
),
postponement AS MATERIALIZED (
    SELECT w.tid, w.due_at, greatest(clock.now, w.head_paced_until, w.tail_due_at) + make_interval(secs => CASE
        WHEN w.head_paced_until > clock.now
            THEN (w.class_rank - 1) * coalesce(w.chat_window / w.chat_count, 0.02)
        WHEN w.chat_count IS NULL OR w.class_rank <= w.chat_count THEN greatest(w.class_rank * 0.02, w.patience)
        ELSE (w.class_rank - w.chat_count) * w.chat_window / w.chat_count + w.patience
    END) AS due_again_at
    FROM (
        SELECT v.*,
            first_value(v.paced_until) OVER of_chat AS head_paced_until,
            -- Wait as long again as the one in flight has been there already, so that a slow one is asked about seldom.
            coalesce(least(1, greatest(0.02, $18 - extract(
                epoch FROM first_value(v.mate_lease_ends_at) OVER of_chat - clock.now
            ))), 0) AS patience,
            first_value(v.own_tail_due_at) OVER of_class AS tail_due_at
        FROM (
            SELECT verdict.*, CASE WHEN blocked AND class_rank = 1 THEN (
                SELECT max(last.due_at) FROM (VALUES (0), (1), (2)) AS p (priority) CROSS JOIN LATERAL (
                    SELECT q.due_at FROM dovecote.notification q
                    WHERE q.bot_id = verdict.bot_id AND q.chat = verdict.chat AND q.priority = p.priority
                      AND q.lease_token IS NULL AND (q.planned_at, q.id) < (verdict.planned_at, verdict.id)
                    ORDER BY q.planned_at DESC, q.id DESC LIMIT 1
                ) last
                WHERE p.priority <= verdict.priority
            ) END AS own_tail_due_at
            FROM (
                SELECT v.*, row_number() OVER (
                    PARTITION BY bot_id, chat, priority ORDER BY lost DESC, planned_at, id
                ) AS class_rank
                FROM verdict v WHERE EXISTS (SELECT FROM verdict WHERE blocked)
            ) verdict
        ) v, clock
        WINDOW of_chat AS (PARTITION BY bot_id, chat ORDER BY chat_rank),
            of_class AS (PARTITION BY bot_id, chat, priority ORDER BY class_rank)
    ) w, clock
    WHERE w.blocked
),
postponed AS (
    UPDATE dovecote.notification n SET due_at = p.due_again_at
    FROM postponement p
    WHERE n.ctid = p.tid AND n.due_at = p.due_at AND n.lease_token IS NULL
    RETURNING n.due_at
),
"""

RECORD = """
{deferred}
ended AS (
    DELETE FROM dovecote.notification n USING met m
    WHERE n.ctid = m.tid AND n.due_at = m.due_at AND n.lease_token IS NOT DISTINCT FROM m.lease_token
      AND m.ending IS NOT NULL
    RETURNING n.*, m.ending, m.refusal, m.lost_leases AS leases_lost
),
recorded AS (
    INSERT INTO dovecote.history (
        id, bot_id, chat, method, params, key, labels, priority, at_most_once, enqueued_at, planned_at, expires_at,
        attempts, failures, lost_leases, outcome, settled_at, took, error_code, error, message_ids,
        category, quiet
    )
    SELECT id, bot_id, chat, method, params, key, labels, priority, at_most_once, enqueued_at, planned_at, expires_at,
        attempts, failures + (outcome = 'failed')::int, lost_leases,
        CASE outcome WHEN 'failed' THEN 'dead' ELSE outcome END,
        clock.now, took, error_code, error, message_ids::bigint[], category, quiet
    FROM settled, clock
    UNION ALL
    SELECT id, bot_id, chat, method, params, key, labels, priority, at_most_once, enqueued_at, planned_at, expires_at,
        attempts, failures, leases_lost,
        CASE ending WHEN 'unknown' THEN 'unknown' ELSE 'dead' END,
        clock.now, NULL, NULL,
        CASE ending
            WHEN 'expired' THEN 'it expired before it could be sent'
            WHEN 'suppressed' THEN refusal
            WHEN 'unknown' THEN 'its worker was lost while it was being sent'
            ELSE leases_lost || ' workers were lost while sending it'
        END,
        NULL, category, quiet
    FROM ended, clock
),
attempted AS (
    INSERT INTO dovecote.attempt AS a (
        notification_id, number, outcome, ended_at, took, error_code, error, message_ids
    )
    SELECT r.id, r.attempt, r.outcome, clock.now, r.took, r.error_code, r.error, r.message_ids::bigint[]
    FROM result r, clock
    WHERE r.outcome <> 'released' AND (r.id, r.lease_token) IN (SELECT id, lease_token FROM kept)
       OR r.outcome = 'delivered' AND (r.id, r.lease_token) IN (SELECT id, lease_token FROM lost)
    UNION ALL
    SELECT l.id, l.number, 'lost', clock.now, NULL, NULL, 'its lease ran out unsettled', NULL
    FROM (
        SELECT id, attempts - 1 AS number FROM leased WHERE lost
        UNION ALL
        SELECT id, attempts FROM ended WHERE ending NOT IN ('expired', 'suppressed')
    ) l, clock
    ON CONFLICT (notification_id, number) DO UPDATE
    SET outcome = excluded.outcome, ended_at = excluded.ended_at, took = excluded.took,
        error = excluded.error, message_ids = excluded.message_ids
),
advanced AS (
    UPDATE dovecote.bot b
    SET version = b.version + c.claims,
        slots_given = b.slots_given + c.used,
        next_slot_at = CASE WHEN c.claims = 0 THEN b.next_slot_at
            ELSE c.first_slot_at + make_interval(secs => coalesce(c.used / c.pace, 0)) END,
        -- What is on its way when a wait begins is refused as well: only the first refusal says something of the pace.
        pace_held = CASE WHEN c.halt IS NULL OR b.halted_until > clock.now THEN b.pace_held
            ELSE 0.93 * dovecote.kept_pace(b.pace, b.pace_held, b.pace_held_at, clock.now) END,
        pace_held_at = CASE WHEN c.halt IS NULL OR b.halted_until > clock.now THEN b.pace_held_at
            ELSE clock.now + make_interval(secs => c.halt) END,
        halted_until = CASE WHEN c.halt IS NULL THEN b.halted_until
            ELSE greatest(b.halted_until, clock.now + make_interval(secs => c.halt)) END,
        stopped_reason = coalesce(c.stop, b.stopped_reason),
        paid_spent = CASE WHEN c.stars = 0 THEN b.paid_spent ELSE
            greatest(0, CASE WHEN b.paid_day = {day} THEN b.paid_spent ELSE 0 END + c.stars) END,
        paid_day = CASE WHEN c.stars = 0 THEN b.paid_day ELSE {day} END,
        paid_until = coalesce(c.paid_until, b.paid_until)
    FROM (
        SELECT g.id, g.pace, 1 AS claims, g.first_slot_at, coalesce(t.used, 0) AS used,
            m.count >= g.slots OR m.free > t.count AS left_over, NULL::float8 AS halt, NULL::text AS stop,
            coalesce(t.stars, 0) - {given_back} AS stars,
            CASE WHEN g.uses_up THEN
                g.first_slot_at + make_interval(secs => 0.5 + coalesce(t.used / g.pace, 0)) END AS paid_until
        FROM terms g
        LEFT JOIN (
            SELECT bot_id, count(*), sum(weight) AS used, sum(weight) FILTER (WHERE paid_day IS NOT NULL) AS stars
            FROM taken GROUP BY bot_id
        ) t ON t.bot_id = g.id
        LEFT JOIN (
            SELECT bot_id, count(*), count(*) FILTER (WHERE NOT blocked) AS free FROM verdict GROUP BY bot_id
        ) m ON m.bot_id = g.id
        UNION ALL
        SELECT g.id, NULL, 0, NULL, 0, false,
            (SELECT max(seconds) FROM unnest($11::int[], $12::float8[]) AS x (id, seconds) WHERE x.id = g.id),
            (SELECT max(reason) FROM unnest($13::int[], $14::text[]) AS x (id, reason) WHERE x.id = g.id),
            -{given_back}, NULL
        FROM touched g WHERE g.id NOT IN (SELECT id FROM terms)
    ) c, clock
    WHERE b.id = c.id
    RETURNING b.pace, b.next_slot_at, c.left_over
)
"""


def _cycle(*, alone: bool, rare: bool) -> str:
    """The whole statement; `rare` adds what only some batches need, so that the others do not pay for it."""
    settle = SETTLE + GIVEN_BACK if rare else SETTLE
    text = settle + (GRANT + MEET).replace("$20", "true" if alone else "false") + TERMS + TAKE + RECORD + ANSWER
    given_back = "coalesce((SELECT x.stars FROM given_back x WHERE x.bot_id = g.id), 0)" if rare else "0"
    parts = {
        "{paid_grant}": PAID_GRANT.strip(),
        "{tariff}": TARIFF.strip(),
        "{heeded}": HEEDED.strip(),
        "{deferred}": DEFERRED.strip(),
        "{day}": DAY,
        "{given_back}": given_back,
        "{given_back_to}": " || $29::int[]" if rare else "",
        "{waiting}": "true" if rare else "r.chats_wait",
        "{turned_away}": str(TURNED_AWAY),
        "{waits_until}": WAITS_UNTIL_NOW if rare else WAITS_UNTIL,
    }
    for name, part in parts.items():
        text = text.replace(name, part)
    return text


CYCLE = _cycle(alone=False, rare=False)
CYCLE_ALONE = _cycle(alone=True, rare=False)
CYCLE_RARE = _cycle(alone=False, rare=True)
CYCLE_ALONE_RARE = _cycle(alone=True, rare=True)
