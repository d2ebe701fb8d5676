-- What a notification may be: the rules of dovecote/validation.py and dovecote/content.py, in their order.
-- `place` is the index in the array of enqueue_many, null for a notification alone; `field` is the caller's word.
-- Whatever compares or changes letters says COLLATE "C": the rules do not depend on the language of the database.

CREATE FUNCTION dovecote.refuse(place int, field text, problem text, remedy text, state text DEFAULT '22023')
RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = state,
        MESSAGE = coalesce('notification ' || place || ': ', '') || field || ': ' || problem,
        HINT = remedy,
        SCHEMA = 'dovecote', TABLE = 'notification', COLUMN = field;
END
$function$;

-- A value for an error message: short, in one line.
CREATE FUNCTION dovecote.shown(value jsonb)
RETURNS text LANGUAGE sql IMMUTABLE AS $function$
    SELECT CASE WHEN char_length(t.written) > 60 THEN left(t.written, 28) || '...' || right(t.written, 29)
        ELSE t.written END
    FROM (SELECT coalesce(CAST(value AS text), 'null') AS written) t
$function$;

-- A chat as the outbox holds it: decimal text or @channel in lower case; null for none.
CREATE FUNCTION dovecote.checked_chat(value jsonb, field text, place int)
RETURNS text LANGUAGE plpgsql STABLE AS $function$
DECLARE
    kind text := jsonb_typeof(value);
    chat text COLLATE "C" := value #>> '{}';
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    ELSIF kind IN ('number', 'string') AND chat ~ '^-?[1-9][0-9]{0,15}$' THEN
        -- Telegram promises that an id has at most 52 significant bits.
        IF abs(CAST(chat AS bigint)) < 4503599627370496 THEN
            RETURN chat;
        END IF;
    ELSIF kind = 'string' AND chat ~ '^@[A-Za-z0-9_]{4,32}$' THEN
        RETURN lower(chat);
    ELSIF kind = 'string' AND chat ~ '^[A-Za-z][A-Za-z0-9_]{3,31}$' THEN
        PERFORM dovecote.refuse(place, field, dovecote.shown(value) || ' is no chat',
            'The name of a channel begins with @, write "@' || chat || '".');
    END IF;
    PERFORM dovecote.refuse(place, field, dovecote.shown(value) || ' is no chat',
        'Give its number (not 0, at most 52 bits), or the @name of a public channel.');
END
$function$;

-- An instant that was written as JSON text, with its zone.
CREATE FUNCTION dovecote.checked_instant(value jsonb, field text, place int)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $function$
DECLARE
    written text COLLATE "C" := value #>> '{}';
    day constant text := '^[0-9]{4,6}-[0-9]{2}-[0-9]{2}';
    time constant text := '[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?';
    instant timestamptz;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(value) = 'string' AND written ~ (day || '(' || time || ')?$') THEN
        PERFORM dovecote.refuse(place, field, dovecote.shown(value) || ' has no zone',
            'Give one, as 2026-01-31T09:00+01:00, or with Z for UTC.');
    ELSIF jsonb_typeof(value) <> 'string'
        OR written !~ (day || time || '([Zz]|[+-][0-9]{2}(:?[0-9]{2}(:?[0-9]{2})?)?)( BC)?$|^-?infinity$')
        OR NOT pg_input_is_valid(written, 'timestamptz')
    THEN
        PERFORM dovecote.refuse(place, field, dovecote.shown(value) || ' is no instant',
            'Write it as 2026-01-31T09:00+01:00, or with Z for UTC.');
    END IF;
    instant := CAST(written AS timestamptz);
    -- No database and no zone overflows in these years, nor when a retry is added.
    IF NOT isfinite(instant) OR extract(year FROM instant AT TIME ZONE 'UTC') NOT BETWEEN 2000 AND 9998 THEN
        PERFORM dovecote.refuse(place, field, dovecote.shown(value) || ' is beyond the years 2000 to 9998 in UTC',
            'Give a nearer one, or null.');
    END IF;
    RETURN instant;
END
$function$;

-- UTF-16 code units of what is shown of a text, without white space around it; less where markup leaves it uncertain.
CREATE FUNCTION dovecote.units_shown(content text, parse_mode jsonb)
RETURNS int LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
    mode text := CASE WHEN jsonb_typeof(parse_mode) = 'string' THEN lower((parse_mode #>> '{}') COLLATE "C") END;
    shown text COLLATE "C" := content;
    -- What Python's str.strip takes away, which no class of a regular expression is in every language.
    space constant text := '[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+';
    -- Entities that stand for a character of two code units.
    wide int := 0;
    rest text COLLATE "C" := '';
    behind int;
BEGIN
    IF mode = 'html' THEN
        -- After the last > no tag ends, and looking for one from each < would take the square of the length.
        behind := strpos(reverse(shown), '>') - 1;
        IF behind >= 0 THEN
            rest := right(shown, behind);
            shown := left(shown, char_length(shown) - behind);
            shown := regexp_replace(shown, '<[^>]*>', '', 'g');
        END IF;
        shown := shown || rest;
        IF strpos(shown, '&') > 0 THEN
            wide := (
                SELECT count(*)
                FROM regexp_matches(shown, '&#([0-9]{1,7}|[xX][0-9a-fA-F]{1,6})', 'g') AS entity,
                    CAST(
                        CASE WHEN entity[1] ~ '^[xX]' THEN '0x' || substr(entity[1], 2) ELSE entity[1] END AS int
                    ) AS code
                WHERE code BETWEEN 65536 AND 1114111
            );
            shown := regexp_replace(
                shown, '&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});?', '&', 'g'
            );
        END IF;
    ELSIF mode IN ('markdown', 'markdownv2') THEN
        -- An address that does not end is none, and nor is any behind it: what is there is shown, its signs apart.
        rest := substring(shown FROM '\]\((?:[^)\\]|\\.)*\\?$');
        IF rest IS NOT NULL THEN
            shown := left(shown, char_length(shown) - char_length(rest)) || translate(rest, '(', ')');
        END IF;
        -- What certainly shows nothing: addresses of links, languages of code blocks, and the signs themselves.
        shown := regexp_replace(shown, '\]\((?:[^)\\]|\\.)*\)|```[^\n`]*\n|[][\\*_~|`()>!]', '', 'g');
    ELSIF mode <> '' THEN
        shown := left(shown, 1); -- A mode of a newer API: it alone knows.
    END IF;
    shown := regexp_replace(regexp_replace(shown, '^' || space, ''), space || '$', '');
    RETURN char_length(shown) + wide + regexp_count(shown, '[\U00010000-\U0010ffff]');
END
$function$;

CREATE FUNCTION dovecote.check_length(content text, parse_mode jsonb, field text, most int, place int)
RETURNS void LANGUAGE plpgsql STABLE AS $function$
DECLARE
    units int;
    remedy constant text := 'Shorten it or send it in parts.';
BEGIN
    IF char_length(content) * 2 <= most THEN
        RETURN;
    END IF;
    -- Without a bound, a megabyte of signs is work for what shows nothing.
    IF char_length(content) > 65536 AND parse_mode NOT IN ('""', 'false', '0', '[]', '{}') THEN
        PERFORM dovecote.refuse(place, field, dovecote.shown(to_jsonb(content)) || ' has ' || char_length(content)
            || ' characters with its markup, and at most 65536 are looked at', remedy);
    END IF;
    units := dovecote.units_shown(content, parse_mode);
    IF units > most THEN
        PERFORM dovecote.refuse(place, field, dovecote.shown(to_jsonb(content)) || ' is ' || units
            || ' UTF-16 code units long, and Telegram takes ' || most, remedy);
    END IF;
END
$function$;

CREATE FUNCTION dovecote.check_caption(holder jsonb, field text, place int)
RETURNS void LANGUAGE plpgsql STABLE AS $function$
BEGIN
    IF jsonb_typeof(holder -> 'caption') = 'string' THEN
        PERFORM dovecote.check_length(holder ->> 'caption', holder -> 'parse_mode', field, 1024, place);
    END IF;
END
$function$;

-- How many messages an album makes.
CREATE FUNCTION dovecote.album_size(given jsonb, place int)
RETURNS int LANGUAGE plpgsql STABLE AS $function$
DECLARE
    field constant text := 'params["media"]';
    media jsonb := given;
    kinds text[];
    kind text;
BEGIN
    IF jsonb_typeof(given) = 'string' THEN -- The Bot API takes a list as JSON text as well.
        IF NOT pg_input_is_valid(given #>> '{}', 'jsonb') THEN
            PERFORM dovecote.refuse(place, field, dovecote.shown(given) || ' is neither a list nor JSON text of one',
                'Give an array.');
        END IF;
        media := CAST(given #>> '{}' AS jsonb);
    END IF;
    IF media IS NULL OR jsonb_typeof(media) <> 'array' THEN
        PERFORM dovecote.refuse(place, field, dovecote.shown(media), 'An album is a list of 2 to 10 items.');
    ELSIF jsonb_array_length(media) NOT BETWEEN 2 AND 10 THEN
        PERFORM dovecote.refuse(place, field, jsonb_array_length(media) || ' items',
            'An album is a list of 2 to 10 items.');
    END IF;
    FOR item IN 0 .. jsonb_array_length(media) - 1 LOOP
        IF jsonb_typeof(media -> item) = 'object' THEN
            kinds := kinds || coalesce(media -> item ->> 'type', 'None');
            PERFORM dovecote.check_caption(media -> item, field || '[' || item || ']["caption"]', place);
        END IF;
    END LOOP;
    FOREACH kind IN ARRAY ARRAY['audio', 'document'] LOOP
        IF kind = ANY (kinds) AND kind <> ANY (kinds) THEN
            PERFORM dovecote.refuse(place, field, 'an album of ' || kind || 's holds nothing else, and this one holds '
                || (SELECT string_agg(DISTINCT k, ' and ') FROM unnest(kinds) AS k WHERE k <> kind),
                'Send two albums.');
        END IF;
    END LOOP;
    RETURN jsonb_array_length(media);
END
$function$;

-- How many messages it makes, once nothing in its texts is certain to be refused. `method` is in lower case.
CREATE FUNCTION dovecote.weighed(method text, params jsonb, text_field text, place int)
RETURNS int LANGUAGE plpgsql STABLE AS $function$
DECLARE
    content jsonb := params -> 'text';
BEGIN
    IF method IN ('sendmessage', 'editmessagetext') AND (content IS NOT NULL OR method = 'sendmessage') THEN
        IF content IS NULL OR jsonb_typeof(content) <> 'string' THEN
            PERFORM dovecote.refuse(place, 'text', dovecote.shown(content) || ' is no text, and ' || method
                || ' is nothing without it', 'Give text => ...');
        END IF;
        PERFORM dovecote.check_length(content #>> '{}', params -> 'parse_mode', text_field, 4096, place);
        IF dovecote.units_shown(content #>> '{}', params -> 'parse_mode') = 0 THEN
            PERFORM dovecote.refuse(place, text_field, dovecote.shown(content)
                || ' shows nothing, and Telegram refuses an empty message', 'Write a text.');
        END IF;
    ELSIF content IS NOT NULL AND method IN (
        'sendphoto', 'senddocument', 'sendvideo', 'sendaudio', 'sendvoice', 'sendanimation', 'sendpaidmedia',
        'sendmediagroup', 'copymessage', 'editmessagecaption'
    ) THEN
        PERFORM dovecote.refuse(place, text_field,
            dovecote.shown(content) || ': ' || method || ' has a caption and no text',
            'Write params => ''{"caption": ...}''.');
    END IF;
    PERFORM dovecote.check_caption(params, 'params["caption"]', place);
    RETURN CASE WHEN method = 'sendmediagroup' THEN dovecote.album_size(params -> 'media', place) ELSE 1 END;
END
$function$;

-- Every name, number, text and container in the parameters; answers how many spaces their text has for people to read.
CREATE FUNCTION dovecote.check_members(params jsonb, place int)
RETURNS bigint LANGUAGE plpgsql STABLE AS $function$
DECLARE
    member record;
    spaces bigint := 0;
    reference constant text := '^attach://file[1-9][0-9]{0,18}!?(/.*)?$';
BEGIN
    FOR member IN
        WITH RECURSIVE node (field, outside, name, value, depth) AS (
            SELECT 'params', CAST(NULL AS text), CAST(NULL AS text), params, 0
            UNION ALL
            SELECT n.field || '[' || i.step || ']', n.field, i.name, i.value, n.depth + 1
            FROM node n
            CROSS JOIN LATERAL (
                SELECT to_jsonb(m.key) #>> '{}' AS name, CAST(to_jsonb(left(m.key, 60)) AS text) AS step, m.value
                FROM jsonb_each(CASE WHEN jsonb_typeof(n.value) = 'object' THEN n.value ELSE '{}' END) m
                UNION ALL
                SELECT NULL, CAST(e.number - 1 AS text), e.value
                FROM jsonb_array_elements(CASE WHEN jsonb_typeof(n.value) = 'array' THEN n.value ELSE '[]' END)
                    WITH ORDINALITY AS e (value, number)
            ) i
            WHERE n.depth < 64
        )
        SELECT field, outside, name, value, depth, jsonb_typeof(value) AS kind FROM node
    LOOP
        IF member.name ~ reference THEN
            PERFORM dovecote.refuse(place, member.outside, dovecote.shown(to_jsonb(member.name))
                || ' is how the outbox names a stored file', 'Give the id of the file in files => ...');
        END IF;
        CASE member.kind
            WHEN 'string' THEN
                IF member.value #>> '{}' ~ reference THEN
                    PERFORM dovecote.refuse(place, member.field, dovecote.shown(member.value)
                        || ' is how the outbox names a stored file', 'Give the id of the file in files => ...');
                END IF;
            WHEN 'number' THEN
                IF strpos(CAST(member.value AS text), '.') = 0
                    AND CAST(member.value AS numeric) NOT BETWEEN -9223372036854775808 AND 18446744073709551615
                THEN
                    PERFORM dovecote.refuse(place, member.field, 'the integer has more than 64 bits',
                        'Write it as text if the method takes text.');
                ELSIF abs(CAST(member.value AS numeric)) > 1.7976931348623157e308 THEN
                    PERFORM dovecote.refuse(place, member.field, 'the number is more than any program reads',
                        'Leave the parameter out.');
                END IF;
            WHEN 'object', 'array' THEN
                IF member.depth >= 64 THEN
                    PERFORM dovecote.refuse(place, member.field, 'it is nested more than 64 deep', 'Flatten it.');
                END IF;
                spaces := spaces + CASE WHEN member.value IN ('{}', '[]') THEN 0
                    WHEN member.kind = 'array' THEN jsonb_array_length(member.value) - 1
                    ELSE 2 * (SELECT count(*) FROM jsonb_object_keys(member.value)) - 1 END;
            ELSE
        END CASE;
    END LOOP;
    RETURN spaces;
END
$function$;

-- The parameters without what is null at the top, which means not given.
CREATE FUNCTION dovecote.checked_params(given jsonb, place int)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $function$
DECLARE
    params jsonb := coalesce(given, '{}');
    written text := CAST(params AS text);
BEGIN
    IF jsonb_typeof(params) <> 'object' THEN
        PERFORM dovecote.refuse(place, 'params', dovecote.shown(params) || ' is no object',
            'Write the method''s parameters as {"disable_notification": true}.');
    END IF;
    -- Only what has such signs in its text can hold what is refused; the others are not taken apart.
    IF written ~ '"attach://file|[0-9]{19}'
        OR char_length(written) - char_length(translate(written, '{[', '')) > 64
    THEN
        PERFORM dovecote.check_members(params, place);
    END IF;
    IF strpos(written, 'null') > 0 THEN
        params := coalesce(
            (SELECT jsonb_object_agg(m.key, m.value) FROM jsonb_each(params) m WHERE m.value <> 'null'), '{}'
        );
    END IF;
    RETURN params;
END
$function$;

CREATE FUNCTION dovecote.check_size(params jsonb, place int)
RETURNS void LANGUAGE plpgsql STABLE AS $function$
DECLARE
    size bigint := octet_length(CAST(params AS text));
BEGIN
    IF size > 1048576 THEN
        size := size - dovecote.check_members(params, place);
        IF size > 1048576 THEN
            PERFORM dovecote.refuse(place, 'params', 'they are ' || size || ' bytes of JSON',
                'Telegram takes 1048576 in one call.');
        END IF;
    END IF;
END
$function$;

CREATE FUNCTION dovecote.checked_labels(value jsonb, place int)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $function$
DECLARE
    label jsonb;
BEGIN
    IF value IS NULL OR value = '[]' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(value) <> 'array' THEN
        PERFORM dovecote.refuse(place, 'labels', dovecote.shown(value) || ' is no array of labels', 'Write ["promo"].');
    ELSIF jsonb_array_length(value) > 16 THEN
        PERFORM dovecote.refuse(place, 'labels', 'there are ' || jsonb_array_length(value)
            || ', and a notification has at most 16', 'Leave some out.');
    END IF;
    FOR label IN SELECT e FROM jsonb_array_elements(value) e LOOP
        IF jsonb_typeof(label) <> 'string' OR char_length(label #>> '{}') NOT BETWEEN 1 AND 64 THEN
            PERFORM dovecote.refuse(place, 'labels', dovecote.shown(label) || ' is no label',
                'Give text of 1 to 64 characters.');
        END IF;
    END LOOP;
    RETURN value;
END
$function$;

CREATE FUNCTION dovecote.checked_key(value jsonb, place int)
RETURNS text LANGUAGE plpgsql STABLE AS $function$
DECLARE
    key text := value #>> '{}';
BEGIN
    IF value IS NOT NULL AND (jsonb_typeof(value) <> 'string' OR key = '') THEN
        PERFORM dovecote.refuse(place, 'key', dovecote.shown(value) || ' is no key',
            'Give text such as order-17-shipped, or null for no idempotency.');
    ELSIF char_length(key) > 255 THEN
        PERFORM dovecote.refuse(place, 'key', dovecote.shown(value) || ' has ' || char_length(key)
            || ' characters, and a key has at most 255', 'Hash it.');
    END IF;
    RETURN key;
END
$function$;
