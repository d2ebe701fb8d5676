-- The functions of 0011 that notifications with a category and a word on quiet hours change: the same rules as those of
-- dovecote/validation.py.

-- A category, which recipients may opt out of.
CREATE FUNCTION dovecote.checked_category(value jsonb, place int)
RETURNS text LANGUAGE plpgsql STABLE AS $function$
BEGIN
    IF jsonb_typeof(value) <> 'string' OR value #>> '{}' !~ '^[[:alnum:]_.:/-]{1,64}$' THEN
        PERFORM dovecote.refuse(place, 'category', dovecote.shown(value) || ' is no category',
            'Give 1 to 64 letters, digits and any of . : / - _, such as news.');
    END IF;
    RETURN value #>> '{}';
END
$function$;

-- What quiet hours mean for it.
CREATE FUNCTION dovecote.checked_quiet(value jsonb, place int)
RETURNS text LANGUAGE plpgsql STABLE AS $function$
BEGIN
    IF value NOT IN ('"defer"', '"silent"', '"pass"') THEN
        PERFORM dovecote.refuse(place, 'quiet', dovecote.shown(value) || ' is no choice',
            'Give defer, silent or pass, or null for what the recipient says.');
    END IF;
    RETURN value #>> '{}';
END
$function$;

-- One notification as a row of the outbox, with `bot` for its name and `files` for what it sends.
CREATE OR REPLACE FUNCTION dovecote.checked_notification(given jsonb, place int)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $function$
DECLARE
    fields constant text[] := ARRAY['bot', 'chat_id', 'text', 'method', 'params', 'key', 'priority', 'due_at',
        'expires_at', 'delivery', 'labels', 'files', 'category', 'quiet'];
    stranger text;
    bot jsonb := nullif(given -> 'bot', 'null');
    method text COLLATE "C" := coalesce(nullif(given -> 'method', 'null'), '"sendMessage"') #>> '{}';
    params jsonb;
    content jsonb := nullif(given -> 'text', 'null');
    text_field text := 'text';
    chat text;
    other text;
    weight int;
    due_at timestamptz;
    expires_at timestamptz;
    key text;
    priority jsonb := coalesce(nullif(given -> 'priority', 'null'), '"normal"');
    delivery jsonb := coalesce(nullif(given -> 'delivery', 'null'), '"at_least_once"');
    labels jsonb;
BEGIN
    IF jsonb_typeof(given) <> 'object' THEN
        PERFORM dovecote.refuse(place, 'notification', dovecote.shown(given) || ' is no notification',
            'Write an object, as {"bot": "shop", "chat_id": 42, "text": "hello"}.');
    END IF;
    stranger := (SELECT k FROM jsonb_object_keys(given) k WHERE k <> ALL (fields) LIMIT 1);
    IF stranger IS NOT NULL THEN
        PERFORM dovecote.refuse(place, 'notification', dovecote.shown(to_jsonb(stranger)) || ' is no field of one',
            'There are ' || array_to_string(fields, ', ') || '.');
    END IF;
    IF bot IS NULL OR jsonb_typeof(bot) <> 'string' OR bot = '""' THEN
        PERFORM dovecote.refuse(place, 'bot', dovecote.shown(bot) || ' is no name of a bot',
            'Give the name that it was added with.');
    END IF;
    IF method !~ '^[A-Za-z]{3,64}$' OR jsonb_typeof(coalesce(given -> 'method', 'null')) NOT IN ('string', 'null') THEN
        PERFORM dovecote.refuse(place, 'method', dovecote.shown(given -> 'method')
            || ' is no name of a Bot API method', 'Write it as sendMessage.');
    END IF;
    params := dovecote.checked_params(nullif(given -> 'params', 'null'), place);
    IF params ? 'allow_paid_broadcast' THEN
        PERFORM dovecote.refuse(place, 'params["allow_paid_broadcast"]',
            dovecote.shown(params -> 'allow_paid_broadcast') || ' is not for a notification to say: a bot''s paid pace'
            || ' and its budget of Stars decide', 'Leave it out, and see `dovecote bot limits`.');
    END IF;
    chat := dovecote.checked_chat(nullif(given -> 'chat_id', 'null'), 'chat_id', place);
    IF params ? 'chat_id' THEN
        other := dovecote.checked_chat(params -> 'chat_id', 'params["chat_id"]', place);
        IF chat <> other THEN
            PERFORM dovecote.refuse(place, 'chat_id', dovecote.shown(given -> 'chat_id')
                || ' is not params["chat_id"], ' || dovecote.shown(params -> 'chat_id'), 'Give only one of them.');
        END IF;
        chat := other;
        params := params - 'chat_id';
    END IF;
    IF chat IS NULL AND lower(method) ~ ('^(send(message|photo|document|video|audio|voice|animation|sticker|videonote|'
        'paidmedia|mediagroup|location|venue|contact|poll|dice|chataction)|(copy|forward|delete)messages?|'
        'pinchatmessage)$')
    THEN
        PERFORM dovecote.refuse(place, 'chat_id', 'null: ' || method || ' needs a chat',
            'Give its number or an @channel.');
    END IF;
    IF content IS NULL THEN
        text_field := CASE WHEN params ? 'text' THEN 'params["text"]' ELSE 'text' END;
    ELSIF jsonb_typeof(content) <> 'string' THEN
        PERFORM dovecote.refuse(place, 'text', dovecote.shown(content) || ' is no text', 'Give text.');
    ELSIF params -> 'text' <> content THEN
        PERFORM dovecote.refuse(place, 'text', dovecote.shown(content) || ' is not params["text"], '
            || dovecote.shown(params -> 'text'), 'Give only one of them.');
    ELSE
        params := params || jsonb_build_object('text', content);
    END IF;
    weight := dovecote.weighed(lower(method), params, text_field, place);
    due_at := dovecote.checked_instant(nullif(given -> 'due_at', 'null'), 'due_at', place);
    expires_at := dovecote.checked_instant(nullif(given -> 'expires_at', 'null'), 'expires_at', place);
    IF expires_at <= due_at THEN
        PERFORM dovecote.refuse(place, 'expires_at', (given ->> 'expires_at') || ' is not after due_at '
            || (given ->> 'due_at') || ', so it could never be sent', 'Give a later one.');
    END IF;
    params := dovecote.with_files(params, nullif(given -> 'files', 'null'), place);
    PERFORM dovecote.check_size(params, place);
    key := dovecote.checked_key(nullif(given -> 'key', 'null'), place);
    IF priority NOT IN ('"urgent"', '"normal"', '"bulk"') THEN
        PERFORM dovecote.refuse(place, 'priority', dovecote.shown(priority) || ' is none',
            'Give urgent, normal or bulk.');
    END IF;
    IF delivery NOT IN ('"at_least_once"', '"at_most_once"') THEN
        PERFORM dovecote.refuse(place, 'delivery', dovecote.shown(delivery) || ' is no policy',
            'Give at_least_once or at_most_once.');
    END IF;
    labels := dovecote.checked_labels(nullif(given -> 'labels', 'null'), place);
    RETURN jsonb_build_object(
        'bot', bot, 'chat', chat, 'method', method, 'params', params, 'key', key, 'labels', labels,
        'priority', CASE priority WHEN '"urgent"' THEN 0 WHEN '"normal"' THEN 1 ELSE 2 END,
        'at_most_once', delivery = '"at_most_once"', 'weight', weight,
        'due_at', CAST(extract(epoch FROM due_at) * 1000000 AS bigint),
        'expires_at', CAST(extract(epoch FROM expires_at) * 1000000 AS bigint),
        'files', dovecote.checked_files(coalesce(nullif(given -> 'files', 'null'), '{}'), lower(method), params, place),
        'category', dovecote.checked_category(nullif(given -> 'category', 'null'), place),
        'quiet', dovecote.checked_quiet(nullif(given -> 'quiet', 'null'), place)
    );
END
$function$;

-- Writes what has been checked, each with its bot's id, in their order; answers the ids, of taken keys the first one's.
CREATE OR REPLACE FUNCTION dovecote.write_notifications(checked jsonb)
RETURNS bigint[] LANGUAGE plpgsql AS $function$
DECLARE
    given_rows text := checked;
    given_now text;
    given_window text := CAST(extract(epoch FROM dovecote.key_window()) * 1000000 AS bigint);
    given_keys text;
    found text;
    at text;
    woken bigint;
    ids bigint[];
    missed int[];
BEGIN
    FOR found, at, woken IN
        WITH clock AS MATERIALIZED (
            SELECT coalesce(
                TIMESTAMP WITH TIME ZONE 'epoch' + CAST(CAST(given_now AS text) AS bigint) * INTERVAL '1 microsecond',
                dovecote.clock()
            ) AS now
        ),
        asked AS MATERIALIZED (
            SELECT coalesce(r.id, nextval('dovecote.notification_id_seq')) AS id, r.place, r.bot_id, r.chat, r.method,
                r.params, r.key, r.labels, coalesce(r.priority, 1) AS priority, coalesce(r.at_most_once, false) AS at_most_once,
                coalesce(r.weight, 1) AS weight, clock.now,
                greatest(TIMESTAMP WITH TIME ZONE 'epoch' + r.due_at * INTERVAL '1 microsecond', clock.now) AS due_at,
                TIMESTAMP WITH TIME ZONE 'epoch' + r.expires_at * INTERVAL '1 microsecond' AS expires_at,
                r.category, r.quiet
            FROM ROWS FROM (
                json_to_recordset(CAST(CAST(given_rows AS text) AS json)) AS (
                    id bigint, bot_id int, chat text, method text, params json, key text, labels text[], priority smallint,
                    at_most_once boolean, weight smallint, due_at bigint, expires_at bigint, category text, quiet text
                )
            ) WITH ORDINALITY AS r (
                id, bot_id, chat, method, params, key, labels, priority, at_most_once, weight, due_at, expires_at,
                category, quiet, place
            ), clock
        ),
        new_key AS (
            INSERT INTO dovecote.notification_key AS k (bot_id, key, notification_id, expires_at)
            SELECT a.bot_id, a.key, a.id, a.now + CAST(CAST(given_window AS text) AS bigint) * INTERVAL '1 microsecond'
            FROM asked a
            WHERE a.key IS NOT NULL
            ORDER BY a.bot_id, a.key COLLATE "C" -- the order in which every enqueue waits for the same keys
            ON CONFLICT (bot_id, key) DO UPDATE
            SET notification_id = excluded.notification_id, expires_at = excluded.expires_at
            WHERE k.expires_at <= (SELECT now FROM clock)
            RETURNING notification_id
        ),
        written AS (
            INSERT INTO dovecote.notification (
                id, bot_id, chat, method, params, key, labels, priority, at_most_once, enqueued_at, planned_at, expires_at,
                weight, due_at, category, quiet
            )
            SELECT a.id, a.bot_id, a.chat, a.method, a.params, a.key, a.labels, a.priority, a.at_most_once, a.now, a.due_at,
                a.expires_at, a.weight, a.due_at, a.category, a.quiet
            FROM asked a
            WHERE a.key IS NULL OR a.id IN (SELECT notification_id FROM new_key)
            RETURNING due_at
        ),
        woken AS MATERIALIZED (
            SELECT pg_notify('dovecote', '')
            FROM clock
            WHERE EXISTS (SELECT FROM dovecote.idle_worker w WHERE w.until > clock.now)
              AND EXISTS (SELECT FROM written w WHERE w.due_at <= clock.now)
        ),
        answered AS (
            SELECT a.place, a.now, CASE
                WHEN a.key IS NULL OR a.id IN (SELECT notification_id FROM new_key) THEN a.id
                ELSE (
                    SELECT k.notification_id FROM dovecote.notification_key k
                    WHERE k.bot_id = a.bot_id AND k.key = a.key AND k.expires_at > a.now
                )
            END AS id
            FROM asked a
        )
        SELECT string_agg(coalesce(CAST(id AS text), ''), ',' ORDER BY place),
            CAST(CAST(extract(epoch FROM max(now)) * 1000000 AS bigint) AS text), (SELECT count(*) FROM woken)
        FROM answered
    LOOP
        -- A comma goes before, since no text at all would be an array of nothing, and not of one that is missing.
        ids := (CAST(string_to_array(',' || found, ',', '') AS bigint[]))[2:];
    END LOOP;
    missed := array_positions(ids, NULL);
    IF cardinality(missed) > 0 THEN
        given_keys := (
            SELECT jsonb_agg(jsonb_build_object('bot_id', r -> 'bot_id', 'key', r -> 'key') ORDER BY m.n)
            FROM unnest(missed) WITH ORDINALITY AS m (place, n), LATERAL (SELECT checked -> m.place - 1) AS c (r)
        );
        FOR found IN
            SELECT string_agg(CAST(k.notification_id AS text), ',' ORDER BY a.place)
            FROM ROWS FROM (
                json_to_recordset(CAST(CAST(given_keys AS text) AS json)) AS (bot_id int, key text)
            ) WITH ORDINALITY AS a (bot_id, key, place)
            JOIN dovecote.notification_key k ON k.bot_id = a.bot_id AND k.key = a.key
        LOOP
            FOR place IN 1 .. cardinality(missed) LOOP
                ids[missed[place]] := split_part(found, ',', place);
            END LOOP;
        END LOOP;
    END IF;
    RETURN ids;
END
$function$;

-- Enqueues one notification in the caller's transaction and answers its id; of a key that is taken, the first one's.
CREATE FUNCTION dovecote.enqueue(
    bot text, chat_id bigint, text text DEFAULT NULL, method text DEFAULT 'sendMessage', params jsonb DEFAULT '{}',
    key text DEFAULT NULL, priority text DEFAULT 'normal', due_at timestamptz DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL, delivery text DEFAULT 'at_least_once', labels jsonb DEFAULT '[]',
    files jsonb DEFAULT NULL, category text DEFAULT NULL, quiet text DEFAULT NULL
)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (dovecote.enqueue_rows(jsonb_build_array(jsonb_build_object(
        'bot', $1, 'chat_id', $2, 'text', $3, 'method', $4, 'params', $5, 'key', $6, 'priority', $7, 'due_at', $8,
        'expires_at', $9, 'delivery', $10, 'labels', $11, 'files', $12,
        'category', $13, 'quiet', $14
    )), true))[1];
END
$function$;

-- The same with the chat as text: an @channel, a number in text, or null for a method without a chat.
CREATE FUNCTION dovecote.enqueue(
    bot text, chat_id text DEFAULT NULL, text text DEFAULT NULL, method text DEFAULT 'sendMessage',
    params jsonb DEFAULT '{}', key text DEFAULT NULL, priority text DEFAULT 'normal',
    due_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, delivery text DEFAULT 'at_least_once',
    labels jsonb DEFAULT '[]', files jsonb DEFAULT NULL, category text DEFAULT NULL, quiet text DEFAULT NULL
)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (dovecote.enqueue_rows(jsonb_build_array(jsonb_build_object(
        'bot', $1, 'chat_id', $2, 'text', $3, 'method', $4, 'params', $5, 'key', $6, 'priority', $7, 'due_at', $8,
        'expires_at', $9, 'delivery', $10, 'labels', $11, 'files', $12,
        'category', $13, 'quiet', $14
    )), true))[1];
END
$function$;

-- When quiet hours end that hold now, null where it is none of them. They are minutes since midnight in a zone; where
-- clocks are put forward over their end they end as much later, and where they are put back, the second time. A zone
-- that this server does not know is UTC: an error here would stop every claim.
CREATE FUNCTION dovecote.quiet_end(now timestamptz, zone text, begins int, ends int)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $function$
DECLARE
    wall timestamp;
    minute int;
    days int;
BEGIN
    BEGIN
        wall := now AT TIME ZONE zone;
    EXCEPTION WHEN invalid_parameter_value THEN
        zone := 'UTC';
        wall := now AT TIME ZONE zone;
    END;
    minute := extract(hour FROM wall) * 60 + extract(minute FROM wall);
    IF begins < ends THEN
        IF minute < begins OR minute >= ends THEN
            RETURN NULL;
        END IF;
        days := 0;
    ELSIF minute >= begins THEN
        days := 1;
    ELSIF minute < ends THEN
        days := 0;
    ELSE
        RETURN NULL;
    END IF;
    RETURN (date_trunc('day', wall) + make_interval(days => days, mins => ends)) AT TIME ZONE zone;
END
$function$;
