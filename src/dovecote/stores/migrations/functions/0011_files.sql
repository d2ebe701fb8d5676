-- Stored files in a notification: the rules of dovecote/references.py and of `attached` and `check_file`.

-- Where a file stands: `photo` or `media[0].media`, as a path into the parameters.
CREATE FUNCTION dovecote.path_of(field text)
RETURNS text[] LANGUAGE sql IMMUTABLE AS $function$
    SELECT string_to_array(regexp_replace(field, '\[([0-9]+)\]', '.\1', 'g'), '.')
$function$;

-- The same as a field of the parameters for an error message: `params["media"][0]["media"]`.
CREATE FUNCTION dovecote.place_of(field text)
RETURNS text LANGUAGE sql IMMUTABLE AS $function$
    SELECT 'params' || regexp_replace(field, '([^].[]+)((?:\[[0-9]+\])*)[.]?', '["\1"]\2', 'g')
$function$;

-- The files as an array of field, id and kind: what it is sent as, null where only Telegram knows. `params` has them.
CREATE FUNCTION dovecote.checked_files(files jsonb, method text, params jsonb, place int)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $function$
DECLARE
    known constant text[] := ARRAY['photo', 'document', 'video', 'audio', 'voice', 'animation', 'sticker'];
    -- Of these Telegram keeps the name that they were uploaded with, and takes a thumbnail.
    named constant text[] := ARRAY['document', 'video', 'audio', 'animation'];
    -- Which file the method sends.
    own text := CASE WHEN substr(method, 5) = ANY (known) AND left(method, 4) = 'send' THEN substr(method, 5) END;
    file record;
    path text[];
    beside jsonb;
    kind text;
    answer jsonb := '[]';
BEGIN
    FOR file IN SELECT f.key AS field, f.value FROM jsonb_each(files) f LOOP
        path := dovecote.path_of(file.field);
        beside := params #> path[:cardinality(path) - 1];
        kind := CASE
            WHEN path[cardinality(path)] = 'thumbnail' THEN 'thumbnail'
            WHEN file.field = own THEN own
            WHEN path[cardinality(path)] = 'media' AND beside ->> 'type' = ANY (known) THEN beside ->> 'type'
        END;
        IF method IN ('sendmessage', 'editmessagetext', 'editmessagecaption', 'editmessagereplymarkup')
            OR path[cardinality(path)] IN ('text', 'caption', 'parse_mode', 'title', 'performer')
        THEN
            PERFORM dovecote.refuse(place, dovecote.place_of(file.field),
                'a text stands here and no file, and what would be read is how the outbox names it',
                'Send it as a photo or a document, with sendPhoto or sendDocument.');
        ELSIF kind IS NULL AND own IS NOT NULL AND (beside -> own IS NULL OR beside -> own = 'null') THEN
            PERFORM dovecote.refuse(place, dovecote.place_of(file.field), method || ' sends a ' || own,
                'Give the file as ' || own || '.');
        ELSIF kind = 'thumbnail' AND coalesce(own, beside ->> 'type') = ANY (known)
            AND NOT coalesce(own, beside ->> 'type') = ANY (named)
        THEN
            PERFORM dovecote.refuse(place, dovecote.place_of(file.field), 'a ' || coalesce(own, beside ->> 'type')
                || ' has no thumbnail of one''s own', 'Leave it out.');
        ELSIF method = 'sendmediagroup' AND path[cardinality(path)] = 'media'
            AND coalesce(beside ->> 'type', '') NOT IN ('photo', 'video', 'audio', 'document')
        THEN
            PERFORM dovecote.refuse(place, dovecote.place_of(file.field), dovecote.shown(beside -> 'type')
                || ' is no type of an album''s item', 'Write photo, video, audio or document.');
        END IF;
        answer := answer || jsonb_build_object('field', file.field, 'file_id', file.value, 'kind', kind);
    END LOOP;
    RETURN nullif(answer, '[]');
END
$function$;

-- The parameters with a reference wherever a file is to stand; only the outbox writes those.
CREATE FUNCTION dovecote.with_files(given jsonb, files jsonb, place int)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $function$
DECLARE
    params jsonb := given;
    file record;
    path text[];
    outside jsonb;
BEGIN
    IF files IS NULL THEN
        RETURN params;
    ELSIF jsonb_typeof(files) <> 'object' THEN
        PERFORM dovecote.refuse(place, 'files', dovecote.shown(files) || ' is no object of files',
            'Write {"photo": 17}, with the id of a stored file.');
    ELSIF (SELECT count(*) FROM jsonb_object_keys(files)) > 50 THEN
        PERFORM dovecote.refuse(place, 'files', 'they are more than 50', 'Telegram takes 50 in one call: send fewer.');
    END IF;
    FOR file IN SELECT f.key AS field, f.value FROM jsonb_each(files) f LOOP
        IF jsonb_typeof(file.value) <> 'number' OR file.value #>> '{}' !~ '^[1-9][0-9]{0,17}$' THEN
            PERFORM dovecote.refuse(place, 'files', dovecote.shown(file.value) || ' is no id of a stored file',
                'Write {"photo": 17}; `dovecote file list` shows the ids.');
        END IF;
        path := dovecote.path_of(file.field);
        outside := params #> path[:cardinality(path) - 1];
        IF file.field COLLATE "C" !~ '^[A-Za-z_]+(\[[0-9]{1,2}\][.][A-Za-z_]+)?$'
            OR coalesce(jsonb_typeof(outside), '') <> 'object'
        THEN
            PERFORM dovecote.refuse(place, 'files',
                dovecote.shown(to_jsonb(file.field)) || ' is no place in the params',
                'Write the name of a parameter, such as photo, or media[0].media for an item that is there.');
        ELSIF outside -> path[cardinality(path)] IS NOT NULL THEN
            PERFORM dovecote.refuse(place, 'files', dovecote.shown(to_jsonb(file.field)) || ' has a value in params',
                'Give only one of them.');
        END IF;
        params := jsonb_set(params, path, to_jsonb('attach://file' || (file.value #>> '{}')));
    END LOOP;
    RETURN params;
END
$function$;

-- What only a stored file tells; `size` is in bytes, null where there is no such file.
CREATE FUNCTION dovecote.check_file(file jsonb, size bigint, content_type text, place int)
RETURNS void LANGUAGE plpgsql STABLE AS $function$
DECLARE
    field text := dovecote.place_of(file ->> 'field');
    which text := 'file ' || (file ->> 'file_id');
    kind text := coalesce(file ->> 'kind', 'file');
    most bigint := least(
        dovecote.largest_upload(), CASE kind WHEN 'photo' THEN 10485760 WHEN 'thumbnail' THEN 204800 END
    );
BEGIN
    IF size IS NULL THEN
        PERFORM dovecote.refuse(place, field, 'no file has the id ' || (file ->> 'file_id'),
            '`dovecote file list` shows those that there are.', '42704');
    ELSIF size > most THEN
        PERFORM dovecote.refuse(place, field, which || ' is ' || size || ' bytes, and Telegram takes ' || most
            || ' for a ' || kind, CASE kind
                WHEN 'photo' THEN 'Make the picture smaller, or send it as a document.'
                WHEN 'thumbnail' THEN 'Make it smaller, at most 320 pixels wide and high.'
                ELSE 'Run a local Bot API server, which takes 2000 MB, and set telegram.largest_upload.' END, '54000');
    ELSIF size = 0 THEN
        PERFORM dovecote.refuse(place, field, which || ' is empty, and Telegram refuses that',
            'Put one with a content.');
    ELSIF kind = 'photo' AND NOT starts_with(content_type, 'image/') THEN
        PERFORM dovecote.refuse(place, field, which || ' is ' || content_type || ' and no picture',
            'Send it as a document, with sendDocument.');
    END IF;
END
$function$;
