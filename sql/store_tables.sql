-- The tables and views that the writer fills: whose they are, who may read them, and
-- that everything is explained.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;

-- nothing is without a comment
SELECT c.relname, a.attname
FROM pg_class c
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'pgwire_trace'::regnamespace AND c.relkind IN ('r', 'p', 'v')
      AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, 2;
SELECT c.relname
FROM pg_class c
WHERE c.relnamespace = 'pgwire_trace'::regnamespace AND c.relkind IN ('r', 'p', 'v')
      AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') IS NULL;
SELECT p.proname
FROM pg_proc p
WHERE p.pronamespace = 'pgwire_trace'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;

-- nothing is for everybody, but functions that only decode what they are given: whoever
-- may read a view needs those it uses
SELECT c.relname
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'pgwire_trace'::regnamespace AND a.grantee = 0;
SELECT p.proname
FROM pg_proc p
WHERE p.pronamespace = 'pgwire_trace'::regnamespace
      AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0));

-- ... and these take any bytes: they say what they find, or that it is none
DO $$
DECLARE
    facts bytea;
    bytes bytea;
    good bigint := 0;
    bad bigint := 0;
BEGIN
    PERFORM setseed(0.5);
    FOR i IN 1 .. 5000 LOOP
        -- facts with a few bytes changed, cut off, or with more behind; or something else
        facts := (ARRAY['\x027215800000000500020011', '\x9672008493150000226f34323730336d',
            '\x967200a88501020244a101fc836a72886a3a4f9f368f3a8dc87f005585c500a236554f18',
            '\x967210a8a001010364d70103ae49d7f17827ed0f746ac0234a944ccd69117867a8ed6ca9160853454c4543542031']::bytea[])[1 + i % 4];
        FOR j IN 1 .. i % 3 LOOP
            facts := set_byte(facts, (random() * (length(facts) - 1))::integer, (random() * 255)::integer);
        END LOOP;
        facts := CASE i % 10 WHEN 0 THEN substr(facts, 1, i % 40) WHEN 1 THEN facts || '\x01' WHEN 2 THEN sha256(facts)
            ELSE facts END;
        bytes := CASE i % 3 WHEN 0 THEN sha512(facts) WHEN 1 THEN ''::bytea END;
        BEGIN
            PERFORM pgwire_trace.fact_text(facts, 'kind'), pgwire_trace.fact_text(facts, 'command_tag'),
                pgwire_trace.fact_text(facts, 'sqlstate'), pgwire_trace.fact_bigint(facts, 'row_digest'),
                pgwire_trace.fact_boolean(facts, 'is_complete'), pgwire_trace.fact_time('epoch', facts, 'first_response');
            good := good + 1;
            PERFORM pgwire_trace.exchange_bytes(facts, bytes, 'request'), pgwire_trace.exchange_bytes(facts, bytes, 'response'),
                pgwire_trace.exchange_bytes(facts, bytes, 'chunks'), pgwire_trace.exchange_hashes(facts, bytes, i),
                pgwire_trace.exchange_query(facts, bytes, 'a', 'b', 'c'), pgwire_trace.request_steps(facts || bytes);
        EXCEPTION WHEN data_corrupted THEN
            bad := bad + 1;
        END;
    END LOOP;
    RAISE NOTICE 'there were both: %', good > 500 AND bad > 500;
END $$;

-- everything belongs to the extension
SELECT c.relname
FROM pg_class c
WHERE c.relnamespace = 'pgwire_trace'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');

-- the columns of what people read
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_attribute a
WHERE a.attrelid = 'pgwire_trace.log'::regclass AND a.attnum > 0
ORDER BY a.attnum;
SELECT attname, format_type(atttypid, atttypmod) AS type
FROM pg_attribute
WHERE attrelid = 'pgwire_trace.session'::regclass AND attnum > 0
ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) AS type
FROM pg_attribute
WHERE attrelid = 'pgwire_trace.exchange'::regclass AND attnum > 0
ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) AS type
FROM pg_attribute
WHERE attrelid = 'pgwire_trace.query_text'::regclass AND attnum > 0
ORDER BY attnum;

-- an ordinary role reads nothing, and through the view only what it may read
CREATE ROLE regress_trace_reader;
SET ROLE regress_trace_reader;
SELECT count(*) FROM pgwire_trace.exchange;
SELECT pgwire_trace.flush();
RESET ROLE;
GRANT USAGE ON SCHEMA pgwire_trace TO regress_trace_reader;
GRANT SELECT ON pgwire_trace.log TO regress_trace_reader;
SET ROLE regress_trace_reader;
SELECT count(*) FROM pgwire_trace.log;
RESET ROLE;
GRANT SELECT ON pgwire_trace.exchange, pgwire_trace.session TO regress_trace_reader;
SET ROLE regress_trace_reader;
SELECT count(*) FROM pgwire_trace.log WHERE session_id = -1;
RESET ROLE;
DROP OWNED BY regress_trace_reader;
DROP ROLE regress_trace_reader;
