"""What the trail's keepers may write, and the trigger that knows its callers in every language.

- `refuse_change` compares its call stack with one that it makes itself: it calls a function by a
  statement of its own, and puts our statement and our function's name where its own stand. What the
  server says around them, in whatever language, is the same in both. Both statements stand in the
  fifth line of their functions, so the frames are equal to the last character. The proof of
  revision 0003 holds as it did: what follows our statement in a frame is a quotation mark or a
  letter, and after a condition in parentheses neither goes on in SQL.
- A type of somebody else may be printed as one of ours by whoever puts its schema first in their
  `search_path`. So nothing passes while there is a second function of either name.
- Names in frames are printed when a function is compiled; with `quote_all_identifiers` they would
  be in quotes. So all three functions have it switched off.
- Seals, and what is left of pruned stories, are written by functions of their own, which see to it
  that they fit the trail. Whether a seal is authentic only the erasure key tells.

A marker that the functions set for the trigger, such as a setting or a row, would prove nothing:
whoever may change the trail by hand may also set it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from session_router.database.definitions.audit_0003 import (
    _ERASE,
    _PRUNE,
    _REFUSAL,
    ERASE_ARGUMENTS,
    PRUNE_ARGUMENTS,
    made_by_0003,
)
from session_router.database.definitions.definition import Definition

SEAL_ARGUMENTS: Final = "bigint,bigint,bigint,bigint,text,text,text,timestamp with time zone"
LEAVE_ARGUMENTS: Final = "bigint[],text[],uuid[],bigint[],text[],uuid"

_PINNED_BEFORE: Final = "SET search_path = pg_catalog, pg_temp"
_PINNED: Final = f"{_PINNED_BEFORE} SET quote_all_identifiers = off"

_CALL_STACK: Final = """
CREATE FUNCTION {s}.call_stack() RETURNS text
LANGUAGE plpgsql {pinned} AS $$
DECLARE
    frames text;
BEGIN
    GET DIAGNOSTICS frames = PG_CONTEXT;
    RETURN frames;
END $$"""

# The first frame is that of call_stack, the next two are ours, the caller's come behind.
_REFUSING_FUNCTION: Final = """
CREATE FUNCTION {s}.refuse_change() RETURNS trigger
LANGUAGE plpgsql {pinned} AS $$
DECLARE
    frames text[];
BEGIN
    SELECT string_to_array({s}.call_stack(), chr(10)) INTO frames;
    IF EXISTS (
        SELECT FROM (VALUES
            ('{prune}', '{s}.prune_trail({prune_arguments})'),
            ('{erase}', '{s}.erase_events({erase_arguments})')) AS ours (statement, function)
        WHERE starts_with(array_to_string(frames[4:], chr(10)) || chr(10),
            replace(frames[2], 'SELECT string_to_array({s}.call_stack(), chr(10))', ours.statement)
            || chr(10)
            || replace(frames[3], '{s}.refuse_change()'::regprocedure::text,
                ours.function::regprocedure::text) || chr(10)))
        AND (SELECT count(*) = 2 FROM pg_proc AS each JOIN pg_proc AS trigger USING (pronamespace)
            WHERE each.proname IN ('prune_trail', 'erase_events')
            AND trigger.oid = '{s}.refuse_change()'::regprocedure)
    THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of %.% is refused: it {refusal}', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$"""

# Numbers above it were never given out: somebody chose them.
_LAST_NUMBER: Final = """
CREATE FUNCTION {s}.last_event_number() RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER {pinned} AS $$
BEGIN
    RETURN coalesce(pg_sequence_last_value(
        pg_get_serial_sequence('{s}.session_events', 'event_id')::regclass), 0);
END $$"""

_SEAL_FUNCTION: Final = """
CREATE FUNCTION {s}.seal_trail(number bigint, first_event bigint, last_event bigint,
    counted bigint, told text, link text, key text, moment timestamp with time zone) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    IF number > 0 AND first_event <= last_event AND last_event <= {s}.last_event_number()
        AND told ~ '^[0-9a-f]{{64}}$' AND link ~ '^[0-9a-f]{{64}}$' AND key ~ '^[0-9a-f]{{16}}$'
        AND moment <= clock_timestamp()
        AND EXISTS (SELECT FROM {s}.session_events WHERE event_id = last_event)
        AND counted = (SELECT count(*) FROM {s}.session_events
            WHERE event_id BETWEEN first_event AND last_event)
        AND (EXISTS (SELECT FROM {s}.audit_seals WHERE last_event_id = first_event - 1)
            OR NOT EXISTS (SELECT FROM {s}.session_events WHERE event_id < first_event))
    THEN
        INSERT INTO {s}.audit_seals (seal_id, first_event_id, last_event_id, events, digest,
            chain, key_id, sealed_at)
        VALUES (number, first_event, last_event, counted, told, link, key, moment);
        RETURN;
    END IF;
    RAISE EXCEPTION 'seal % of events % to % is refused: it does not fit the trail', number,
        first_event, last_event USING ERRCODE = 'check_violation';
END $$"""

_LEAVE_FUNCTION: Final = """
CREATE FUNCTION {s}.leave_digests(seals bigint[], names text[], uids uuid[], counts bigint[],
    digests text[], run uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    left_behind bigint;
BEGIN
    INSERT INTO {s}.pruned_stories (seal_id, session_uid, events, digest, request_id)
    SELECT story.seal_id, story.session_uid, story.events, story.digest, run
    FROM unnest(seals, names, uids, counts, digests)
        AS story (seal_id, session_id, session_uid, events, digest)
    JOIN {s}.audit_seals AS seal ON seal.seal_id = story.seal_id
    WHERE story.digest ~ '^[0-9a-f]{{64}}$' AND story.events > 0 AND story.events = (
        SELECT count(*) FROM {s}.session_events AS event
        WHERE event.session_id = story.session_id AND event.session_uid = story.session_uid
        AND event.event_id BETWEEN seal.first_event_id AND seal.last_event_id);
    GET DIAGNOSTICS left_behind = ROW_COUNT;
    IF left_behind IS DISTINCT FROM cardinality(seals) THEN
        RAISE EXCEPTION 'digests of % ranges of stories are refused: % fit the trail and its seals',
            cardinality(seals), left_behind USING ERRCODE = 'check_violation';
    END IF;
END $$"""


def made_by_0006(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The audit's functions and triggers since revision 0006; SQLite has those of 0003."""
    older = made_by_0003(dialect, schema)
    if schema is None:
        return older
    functions = replaced_functions(schema)
    return [
        *(_changed(made, schema) for made in functions),
        *new_functions(schema),
        *(made for made in older if made not in functions),
    ]


def replaced_functions(schema: str) -> list[Definition]:
    """The functions of 0003 that 0006 replaces, as they were."""
    return [made for made in made_by_0003("postgresql", schema) if "FUNCTION" in made.drop]


def new_functions(schema: str) -> list[Definition]:
    """Those that no revision had before."""
    return [
        _function(schema, name, template, arguments)
        for name, template, arguments in (
            ("call_stack", _CALL_STACK, ""),
            ("last_event_number", _LAST_NUMBER, ""),
            ("seal_trail", _SEAL_FUNCTION, SEAL_ARGUMENTS),
            ("leave_digests", _LEAVE_FUNCTION, LEAVE_ARGUMENTS),
        )
    ]


def _changed(made: Definition, schema: str) -> Definition:
    if made.name == "refuse_change":
        return _function(schema, made.name, _REFUSING_FUNCTION, "")
    return replace(made, create=made.create.replace(_PINNED_BEFORE, _PINNED))


def _function(schema: str, name: str, template: str, arguments: str) -> Definition:
    words = {
        "s": schema,
        "pinned": _PINNED,
        "prune": _PRUNE.format(s=schema),
        "erase": _ERASE.format(s=schema).replace("'", "''"),
        "prune_arguments": PRUNE_ARGUMENTS,
        "erase_arguments": ERASE_ARGUMENTS,
        "refusal": _REFUSAL,
    }
    return Definition(
        name,
        template.format(**words).strip(),
        f"DROP FUNCTION IF EXISTS {schema}.{name}({arguments})",
    )
