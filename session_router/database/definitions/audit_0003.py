"""What keeps the trail as it was written: triggers, and the two ways past them.

On PostgreSQL a trigger lets a change through only where its own call stack shows that it runs
inside `prune_trail` or `erase_events`. Everything that is compared stands in the innermost frames,
before anything that a caller can choose, and is compared from its first character on:

- The names are printed with their schema, since the `search_path` of all three functions is pinned;
  a function that is named to look like one of ours is printed in quotes.
- The statement must be ours to its last character, the closing quote and the next frame included.
  One that goes on after that text with a quote and a forged frame is no SQL: a quoted name cannot
  follow a condition in parentheses.

SQLite has neither roles nor call stacks: there a prune drops the triggers and makes them again in
its one transaction.
"""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.append_only import on_postgresql, on_sqlite
from session_router.database.definitions.definition import Definition

PROTECTED: Final = {
    "session_events": ("event_id",),
    "audit_seals": ("seal_id",),
    "pruned_stories": ("seal_id", "session_uid"),
}
"""The tables whose rows nobody changes, and their primary keys."""

PRUNE_ARGUMENTS: Final = "uuid[],text[],timestamp with time zone,uuid,text"
ERASE_ARGUMENTS: Final = "bigint[],text,text[],text[],text[],uuid,text"

_REFUSAL: Final = (
    "is append-only; the trail is pruned by ''session-router audit prune'' and erased by "
    "''session-router sessions erase''"
)

# What runs, or may still be written, in a story keeps it whole, whoever calls the function.
_PRUNE: Final = """DELETE FROM {s}.session_events AS event
    USING unnest(session_uids, session_ids) AS story (session_uid, session_id)
    WHERE (event.session_id = story.session_id AND event.session_uid = story.session_uid
        AND NOT EXISTS (SELECT FROM {s}.sessions AS live
            WHERE live.session_id = story.session_id AND live.session_uid = story.session_uid)
        AND NOT EXISTS (SELECT FROM {s}.interrupt_signals AS signal
            WHERE signal.session_uid = story.session_uid)
        AND NOT EXISTS (SELECT FROM {s}.session_events AS younger
            WHERE younger.session_id = story.session_id
            AND younger.session_uid = story.session_uid AND younger.occurred_at >= before))"""

# Nothing but pseudonyms comes in, and only where something was.
_ERASE: Final = """UPDATE {s}.session_events AS event
    SET session_id = pseudonym, agent_key = fresh.agent_key, actor = fresh.actor,
        detail = fresh.detail, erased = true
    FROM unnest(event_ids, agent_keys, actors, details)
        AS fresh (event_id, agent_key, actor, detail)
    WHERE (event.event_id = fresh.event_id AND NOT event.erased
        AND concat_ws('|', pseudonym, fresh.agent_key, fresh.actor, fresh.detail)
            ~ '^erased-[0-9a-f]{{64}}([|]erased-[0-9a-f]{{64}})*$'
        AND num_nulls(fresh.agent_key, fresh.actor, fresh.detail)
            = num_nulls(event.agent_key, event.actor, event.detail))"""

_PRUNE_FUNCTION: Final = """
CREATE FUNCTION {s}.prune_trail(session_uids uuid[], session_ids text[],
    before timestamp with time zone, run uuid, asker text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    {prune};
    GET DIAGNOSTICS removed = ROW_COUNT;
    INSERT INTO {s}.session_events (session_id, session_uid, event, request_id, actor, detail)
    VALUES ('', '00000000-0000-0000-0000-000000000000', 'trail_pruned', run, asker,
        json_build_object('before', before, 'stories', cardinality(session_uids),
            'events', removed));
    RETURN removed;
END $$"""

_ERASE_FUNCTION: Final = """
CREATE FUNCTION {s}.erase_events(event_ids bigint[], pseudonym text, agent_keys text[],
    actors text[], details text[], run uuid, asker text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed bigint;
BEGIN
    {erase};
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed = 0 THEN
        RETURN 0;
    END IF;
    INSERT INTO {s}.session_events (session_id, session_uid, event, request_id, actor)
    SELECT DISTINCT pseudonym, event.session_uid, 'session_erased', run, asker
    FROM {s}.session_events AS event
    WHERE event.event_id = ANY (event_ids) AND NOT EXISTS (
        SELECT FROM {s}.session_events AS recorded
        WHERE recorded.session_id = pseudonym AND recorded.session_uid = event.session_uid
        AND recorded.event = 'session_erased' AND recorded.request_id = run);
    RETURN changed;
END $$"""

_REFUSING_FUNCTION: Final = """
CREATE FUNCTION {s}.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    frames text;
    caller text;
BEGIN
    GET DIAGNOSTICS frames = PG_CONTEXT;
    caller := substr(frames, strpos(frames, chr(10)) + 1);
    IF starts_with(caller, 'SQL statement "{prune}"' || chr(10)
            || 'PL/pgSQL function {s}.prune_trail({prune_arguments}) line ')
        OR starts_with(caller, 'SQL statement "{erase_in_quotes}"' || chr(10)
            || 'PL/pgSQL function {s}.erase_events({erase_arguments}) line ')
    THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of %.% is refused: it {refusal}', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$"""


def made_by_0003(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The functions and triggers of revision 0003."""
    if dialect == "sqlite":
        return [made for table in PROTECTED for made in _on_sqlite(table)]
    assert schema is not None
    return [*_functions(schema), *(made for t in PROTECTED for made in on_postgresql(schema, t))]


def _functions(schema: str) -> list[Definition]:
    erase = _ERASE.format(s=schema)
    words = {
        "s": schema,
        "prune": _PRUNE.format(s=schema),
        "erase": erase,
        "erase_in_quotes": erase.replace("'", "''"),
        "prune_arguments": PRUNE_ARGUMENTS,
        "erase_arguments": ERASE_ARGUMENTS,
        "refusal": _REFUSAL,
    }
    return [
        Definition(
            name,
            template.format(**words).strip(),
            f"DROP FUNCTION IF EXISTS {schema}.{name}({arguments})",
        )
        for name, template, arguments in (
            ("prune_trail", _PRUNE_FUNCTION, PRUNE_ARGUMENTS),
            ("erase_events", _ERASE_FUNCTION, ERASE_ARGUMENTS),
            ("refuse_change", _REFUSING_FUNCTION, ""),
        )
    ]


def _on_sqlite(table: str) -> list[Definition]:
    same = " AND ".join(f"{key} = NEW.{key}" for key in PROTECTED[table])
    return on_sqlite(table, same, _REFUSAL)
