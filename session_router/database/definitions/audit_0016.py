"""What the trail's keepers may write, since seals are signed and digests need no key.

- `seal_trail` takes seals whose digests anybody can make anew, signed or authenticated by a key.
- `keep_changes` keeps what stands for a story that leaves a sealed range, or is erased in it. What
  it takes is believed for its signature alone, which the database cannot check; so it sees to the
  form only. It takes the place of `leave_digests`.
- `prune_trail` asks once a story, not once an event, whether it may go.
- `prune_trail` and `erase_events` begin with the request, unlike before: code of an older release,
  which would sign nothing, finds no such function, and has to be upgraded first.

The trigger is that of revision 0006, with these functions and statements in the place of its own.
"""

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions.append_only import append_only
from session_router.database.definitions.audit_0003 import (
    _ERASE,
    _REFUSAL,
    ERASE_ARGUMENTS,
    PRUNE_ARGUMENTS,
)
from session_router.database.definitions.audit_0003 import _ERASE_FUNCTION as _ERASE_BEFORE
from session_router.database.definitions.audit_0003 import _PRUNE_FUNCTION as _PRUNE_BEFORE
from session_router.database.definitions.audit_0006 import (
    _PINNED,
    _PINNED_BEFORE,
    _REFUSING_FUNCTION,
    LEAVE_ARGUMENTS,
    SEAL_ARGUMENTS,
    made_by_0006,
)
from session_router.database.definitions.audit_0006 import _SEAL_FUNCTION as _SEAL_BEFORE
from session_router.database.definitions.definition import Definition

FORM: Final = "2:"
"""What the digests of sealed ranges begin with, since they need no key."""

CHANGES: Final = "sealed_changes"
NO_DELETE: Final = "session_events_no_delete"
NO_UPDATE: Final = "session_events_no_update"
NOW: Final = "{}_0016"
_SEALS_NOW: Final = "audit_seals_of_now"
PRUNE_NOW: Final = "uuid,timestamp with time zone,text[],uuid[],text"
ERASE_NOW: Final = "uuid,bigint[],text,text[],text[],text[],text"
KEEP_ARGUMENTS: Final = "uuid,bigint[],uuid[],bigint[],text[],text[],text,text[]"

# What runs, or may still be written, in a story keeps it whole, whoever calls the function.
PRUNE: Final = """WITH story AS MATERIALIZED (
        SELECT each.session_uid, each.session_id
        FROM unnest(session_uids, session_ids) AS each (session_uid, session_id)
        WHERE NOT EXISTS (SELECT FROM {s}.sessions AS live
            WHERE live.session_id = each.session_id AND live.session_uid = each.session_uid)
        AND NOT EXISTS (SELECT FROM {s}.interrupt_signals AS signal
            WHERE signal.session_uid = each.session_uid)
        AND NOT EXISTS (SELECT FROM {s}.session_events AS younger
            WHERE younger.session_id = each.session_id
            AND younger.session_uid = each.session_uid AND younger.occurred_at >= before))
    DELETE FROM {s}.session_events AS event USING story
    WHERE (event.session_id = story.session_id AND event.session_uid = story.session_uid)"""
ERASE: Final = _ERASE


def _changed(template: str, *changes: tuple[str, str]) -> str:
    """A function's text of before with these in the place of others, each of which it has once."""
    for before, now in changes:
        assert template.count(before) == 1, before
        template = template.replace(before, now)
    return template


_PINNED_NOW: Final = (_PINNED_BEFORE, "{pinned}")
_PRUNE_FUNCTION: Final = _changed(
    _PRUNE_BEFORE,
    (
        """session_uids uuid[], session_ids text[],
    before timestamp with time zone, run uuid, asker text)""",
        """run uuid, before timestamp with time zone, session_ids text[],
    session_uids uuid[], asker text)""",
    ),
    _PINNED_NOW,
)
_ERASE_FUNCTION: Final = _changed(
    _ERASE_BEFORE,
    (
        """event_ids bigint[], pseudonym text, agent_keys text[],
    actors text[], details text[], run uuid, asker text)""",
        """run uuid, event_ids bigint[], pseudonym text, agent_keys text[],
    actors text[], details text[], asker text)""",
    ),
    _PINNED_NOW,
)
_SEAL_FUNCTION: Final = _changed(
    _SEAL_BEFORE,
    (
        """told ~ '^[0-9a-f]{{64}}$' AND link ~ '^[0-9a-f]{{64}}$' AND key ~ '^[0-9a-f]{{16}}$'
        AND moment <= clock_timestamp()""",
        """told ~ '^2:[0-9a-f]{{64}}$' AND link ~ '^([0-9a-f]{{64}}){{1,2}}$'
        AND key ~ '^[0-9a-f]{{16}}$' AND moment <= clock_timestamp()""",
    ),
)

_KEEP_FUNCTION: Final = """
CREATE FUNCTION {s}.keep_changes(run uuid, seals bigint[], uids uuid[], counts bigint[],
    befores text[], afters text[], key text, signatures text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    kept bigint;
BEGIN
    INSERT INTO {s}.sealed_changes (seal_id, session_uid, events, digest, digest_after,
        request_id, key_id, signature)
    SELECT each.seal_id, each.session_uid, each.events, each.digest, each.digest_after, run, key,
        each.signature
    FROM unnest(seals, uids, counts, befores, afters, signatures)
        AS each (seal_id, session_uid, events, digest, digest_after, signature)
    JOIN {s}.audit_seals AS seal ON seal.seal_id = each.seal_id
    WHERE each.events > 0 AND each.digest ~ '^[0-9a-f]{{64}}$'
        AND coalesce(each.digest_after, each.digest) ~ '^[0-9a-f]{{64}}$'
        AND each.signature ~ '^([0-9a-f]{{64}}){{1,2}}$' AND key ~ '^[0-9a-f]{{16}}$';
    GET DIAGNOSTICS kept = ROW_COUNT;
    IF kept IS DISTINCT FROM cardinality(seals) THEN
        RAISE EXCEPTION 'changes of % sealed stories are refused: % fit the seals',
            cardinality(seals), kept USING ERRCODE = 'check_violation';
    END IF;
END $$"""

_FUNCTIONS: Final = {
    "prune_trail": (_PRUNE_FUNCTION, PRUNE_NOW),
    "erase_events": (_ERASE_FUNCTION, ERASE_NOW),
    "refuse_change": (_REFUSING_FUNCTION, ""),
    "seal_trail": (_SEAL_FUNCTION, SEAL_ARGUMENTS),
    "keep_changes": (_KEEP_FUNCTION, KEEP_ARGUMENTS),
}
_BEFORE: Final = {
    "prune_trail": PRUNE_ARGUMENTS,
    "erase_events": ERASE_ARGUMENTS,
    "leave_digests": LEAVE_ARGUMENTS,
}


def made_by_0016(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The audit's functions and triggers since revision 0016."""
    older = made_by_0006(dialect, schema)
    if schema is not None:
        gone = {*_FUNCTIONS, *_BEFORE}
        older = [*functions(schema), *(made for made in older if made.name not in gone)]
    former = former_triggers(dialect)
    return [*(made for made in older if made not in former), *triggers(dialect, schema)]


def functions(schema: str) -> list[Definition]:
    """Those that are new, or others than before; each of a name of before takes its place."""
    words = {
        "s": schema,
        "pinned": _PINNED,
        "prune": PRUNE.format(s=schema),
        "erase": ERASE.format(s=schema),
        "prune_arguments": PRUNE_NOW,
        "erase_arguments": ERASE_NOW,
        "refusal": _REFUSAL,
    }
    quoted = words | {"erase": words["erase"].replace("'", "''")}
    return [
        Definition(
            name,
            template.format(**(quoted if name == "refuse_change" else words)).strip(),
            f"DROP FUNCTION IF EXISTS {schema}.{name}({arguments})",
        )
        for name, (template, arguments) in _FUNCTIONS.items()
    ]


def triggers(dialect: str, schema: str | None) -> Sequence[Definition]:
    """What keeps the changes as they were written; on SQLite also what older code meets."""
    made = list(append_only(dialect, schema, CHANGES, "change_id = NEW.change_id"))
    if dialect == "sqlite":
        made += [_renamed(each) for each in former_triggers(dialect)]
        made.append(
            Definition(
                _SEALS_NOW,
                f"CREATE TRIGGER {_SEALS_NOW} BEFORE INSERT ON audit_seals "
                f"WHEN NEW.digest NOT LIKE '{FORM}%' BEGIN "
                "SELECT RAISE(ABORT, 'a seal is refused: this release is too old'); END",
                f"DROP TRIGGER IF EXISTS {_SEALS_NOW}",
            )
        )
    return made


def former_triggers(dialect: str) -> list[Definition]:
    """SQLite's triggers of the trail that got other names.

    Whoever prunes or erases there takes one away by its name, and older code does not know these.
    """
    if dialect != "sqlite":
        return []
    return [made for made in made_by_0006(dialect, None) if made.name in (NO_DELETE, NO_UPDATE)]


def _renamed(made: Definition) -> Definition:
    name = NOW.format(made.name)
    return Definition(
        name, made.create.replace(made.name, name, 1), made.drop.replace(made.name, name, 1)
    )


def before(schema: str) -> list[Definition]:
    """The functions of revision 0006 whose place these take, as they were."""
    return [
        made for made in made_by_0006("postgresql", schema) if made.name in {*_FUNCTIONS, *_BEFORE}
    ]
