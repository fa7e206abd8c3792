CREATE FUNCTION fuzz_json(text) RETURNS void AS ':library', 'fuzz_json' LANGUAGE C;
SELECT fuzz_json(':arguments');
