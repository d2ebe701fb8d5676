"""The parts of a cycle on PostgreSQL that decide on paid broadcasts, and those that few batches need.

A claim for a bot is paid or free as a whole. It is paid when more is waiting than the free pace sends in a second, or
within half a second after what was paid for so: Telegram lets paid messages take the free share first, so one without
the flag would be refused then. For the same reason a free claim keeps away from that half second, in which enough of
the share comes back for requests that are not equally fast. Every message of a paid claim that can carry the flag is
granted a tenth of a Star, out of a budget that stands in the bot's row, which the claim has locked: it cannot be
overrun, whoever claims. That is never less than Telegram charges, for it charges only what is beyond the free share.

A method that the limit counts and that cannot carry the flag (forwardMessage and the like) keeps its bot to the free
pace for as long as one is to be sent. A bot without a paid pace is asked nothing of all this: `tariff` is null.
"""

from __future__ import annotations

DAY = "floor(extract(epoch FROM clock.now) / 86400)::int"

# What is granted to a bot that may pay: pace, slots, from how many on it pays, and what is left of today's budget. An
# album has at most ten items, so that the last of a budget cannot hold up an album for ever.
PAID_GRANT = """
        CASE WHEN h.paid_pace > h.pace THEN h.paid_pace * paced.pace / h.pace END AS paid_pace,
        CASE WHEN h.paid_pace > h.pace THEN floor(h.pace)::int + 1 END AS paid_from,
        CASE WHEN h.paid_pace > h.pace THEN
            h.paid_budget - CASE WHEN h.paid_day = {day} THEN h.paid_spent ELSE 0 END
        END AS paid_left,
        h.paid_until,
        CASE WHEN h.paid_pace > h.pace THEN least(
            greatest(1, $17 / count(*) OVER ()),
            greatest(1, floor(h.paid_pace * paced.pace / h.pace * extract(
                epoch FROM clock.now + make_interval(secs => $21) - greatest(h.next_slot_at, clock.now)
            )))
        )::int END AS paid_slots,
"""

TARIFF = """
CASE WHEN g.paid_pace IS NOT NULL THEN CASE
            WHEN lower(n.method) IN ('forwardmessage', 'forwardmessages', 'copymessages') THEN 'free'
            WHEN lower(n.method) = 'copymessage'
                OR lower(n.method) LIKE 'send%' AND lower(n.method) <> 'sendchataction' THEN 'paid'
            END END AS tariff"""

TERMS = """
terms AS MATERIALIZED (
    SELECT g.id, g.name, g.slots_given, g.paid_left, p.pays, p.pays AND p.many AS uses_up,
        CASE WHEN p.pays THEN g.paid_pace ELSE g.pace END AS pace,
        CASE WHEN p.pays THEN g.first_slot_at ELSE greatest(g.first_slot_at, g.paid_until) END AS first_slot_at,
        CASE
            WHEN p.pays THEN g.paid_slots
            WHEN g.paid_until >= clock.now + make_interval(secs => $21) THEN 0
            WHEN g.paid_until > clock.now THEN least(g.slots, greatest(1, floor(g.pace * extract(
                epoch FROM clock.now + make_interval(secs => $21) - greatest(g.first_slot_at, g.paid_until)
            ))::int))
            ELSE g.slots
        END AS slots
    FROM granted g CROSS JOIN clock CROSS JOIN LATERAL (
        SELECT d.payable >= g.paid_from AS many, g.paid_pace IS NOT NULL AND coalesce(
            g.paid_left >= greatest(10, d.heaviest) AND d.payable > 0 AND NOT d.free
            AND (d.payable >= g.paid_from OR g.paid_until > clock.now), false) AS pays
        FROM (
            SELECT sum(v.weight) FILTER (WHERE v.tariff = 'paid') AS payable, max(v.weight) AS heaviest,
                coalesce(bool_or(v.tariff = 'free'), false) AS free
            FROM verdict v
            WHERE g.paid_pace IS NOT NULL AND v.bot_id = g.id AND NOT v.blocked
        ) d
    ) p
),
"""

# $26..$28 what was granted and not sent: ids, lease tokens, the days of their grants
# $29      the bots of these
# $30..$32 chats that are told to wait: bots, chats, seconds
GIVEN_BACK = """
given_back AS MATERIALIZED (
    SELECT k.bot_id, sum(k.weight)::int AS stars
    FROM (
        SELECT id, lease_token, bot_id, weight FROM settled
        UNION ALL SELECT id, lease_token, bot_id, weight FROM kept
    ) k
    JOIN unnest($26::bigint[], $27::bigint[], $28::int[]) AS x (id, lease_token, day) USING (id, lease_token), clock
    WHERE x.day = {day}
    GROUP BY k.bot_id
),
told_to_wait AS (
    INSERT INTO dovecote.chat_wait AS w (bot_id, chat, until)
    SELECT x.bot_id, x.chat, clock.now + make_interval(secs => x.seconds)
    FROM unnest($30::int[], $31::text[], $32::float8[]) AS x (bot_id, chat, seconds), clock
    ORDER BY x.bot_id, x.chat
    ON CONFLICT (bot_id, chat) DO UPDATE SET until = greatest(w.until, excluded.until)
),
"""
WAITS_UNTIL = """(
            SELECT w.until FROM dovecote.chat_wait w WHERE w.bot_id = r.bot_id AND w.chat = r.chat
        )"""
# The statement does not see the waits that it records itself.
WAITS_UNTIL_NOW = """greatest((
            SELECT w.until FROM dovecote.chat_wait w WHERE w.bot_id = r.bot_id AND w.chat = r.chat
        ), (
            SELECT max(now) + make_interval(secs => max(x.seconds))
            FROM unnest($30::int[], $31::text[], $32::float8[]) AS x (bot_id, chat, seconds), clock
            WHERE x.bot_id = r.bot_id AND x.chat = r.chat
        ))"""
