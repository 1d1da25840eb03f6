"""Roles of least privilege: the GRANTs for who runs the service, who reads, who keeps retention."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from session_router.database.definitions import hooks_0010, workers_0013
from session_router.database.definitions.audit_0006 import SEAL_ARGUMENTS
from session_router.database.definitions.audit_0016 import ERASE_NOW, KEEP_ARGUMENTS, PRUNE_NOW
from session_router.database.schema import build_tables
from session_router.errors import InvalidValueError

_ROLE_LIMIT: Final = 63

KEEPERS_FUNCTIONS: Final = {
    "prune_trail": PRUNE_NOW,
    "erase_events": ERASE_NOW,
    "seal_trail": SEAL_ARGUMENTS,
    "keep_changes": KEEP_ARGUMENTS,
}
"""What runs with its owner's rights and changes the trail or what proves it, by name."""

# The database numbers events, and only an erasure says that one is erased.
_EVENTS: Final = build_tables(None).session_events
_GIVEN: Final = ", ".join(c.name for c in _EVENTS.columns if c.name not in ("event_id", "erased"))
_APPEND: Final = f"INSERT ({_GIVEN})"

# When the trail was verified is the database's to tell.
_VERIFIED: Final = {"audit_verifications": "INSERT (events, sealed_until, violations, actor)"}

# To lock a row for a change is a matter of UPDATE.
_OF_APP: Final = {
    **_VERIFIED,
    "sessions": "INSERT, UPDATE, DELETE",
    "agent_streams": "INSERT, UPDATE, DELETE",
    "workers": "INSERT, UPDATE, DELETE",
    "interrupt_signals": "INSERT, UPDATE, DELETE",
    "early_stops": "INSERT, UPDATE, DELETE",
    "idempotent_requests": "INSERT, UPDATE",
    "hooks": "INSERT, UPDATE",
    "hook_deliveries": "UPDATE, DELETE",
    "session_events": _APPEND,
}
# To erase is to end the session first, as the service does.
_OF_RETENTION: Final = {
    **_VERIFIED,
    "sessions": "UPDATE, DELETE",
    "agent_streams": "UPDATE, DELETE",
    "interrupt_signals": "INSERT, UPDATE",
    "early_stops": "UPDATE, DELETE",
    "idempotent_requests": "DELETE",
    "hook_deliveries": "UPDATE",
    "past_workers": "DELETE",
    "story_salts": "INSERT, UPDATE, DELETE",
    "session_events": _APPEND,
}


def grants(
    schema: str, *, app: str | None = None, reader: str | None = None, retention: str | None = None
) -> list[str]:
    """The statements for these roles, for the tables' owner to run after every upgrade.

    One transaction, which takes from each role, and from PUBLIC, all that it has, and gives what
    it needs: whoever works meanwhile notices nothing.

    Args:
        schema: the PostgreSQL schema that holds the tables.
        app: runs the service and its workers.
        reader: looks at everything, and verifies, which is recorded.
        retention: seals, prunes and erases.

    Raises:
        InvalidValueError: no role is named, or one cannot be a role.
    """
    changes: Sequence[tuple[str | None, Mapping[str, str]]] = (
        (app, _OF_APP),
        (reader, _VERIFIED),
        (retention, _OF_RETENTION),
    )
    given = [(_quoted(role), of_role) for role, of_role in changes if role is not None]
    if not given:
        raise InvalidValueError("no role is named; give --app, --reader or --retention a role.")
    roles = list(dict.fromkeys(role for role, _ in given))
    keeper = None if retention is None else _quoted(retention)
    return [
        "BEGIN;",
        *(statement for role in ("PUBLIC", *roles) for statement in _taken(schema, role)),
        *(statement for role, of_role in given for statement in _granted(schema, role, of_role)),
        *_kept_from_all(schema, ", ".join(["PUBLIC", *roles])),
        *_kept_from(schema, ", ".join(["PUBLIC", *(role for role in roles if role != keeper)])),
        "COMMIT;",
    ]


def _taken(schema: str, role: str) -> Iterator[str]:
    yield f"REVOKE ALL ON SCHEMA {schema} FROM {role};"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role};"
    yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {role};"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON TABLES FROM {role};"


def _granted(schema: str, role: str, changes: Mapping[str, str]) -> Iterator[str]:
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role};"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};"
    for table, privileges in changes.items():
        yield f"GRANT {privileges} ON {schema}.{table} TO {role};"
    yield f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role};"


def _kept_from_all(schema: str, roles: str) -> Iterator[str]:
    """What triggers call, and nobody may put on a table of their own."""
    for name in (hooks_0010.FUNCTION, workers_0013.FUNCTION):
        yield f"REVOKE EXECUTE ON FUNCTION {schema}.{name}() FROM {roles};"


def _kept_from(schema: str, roles: str) -> Iterator[str]:
    for name, arguments in KEEPERS_FUNCTIONS.items():
        yield f"REVOKE EXECUTE ON FUNCTION {schema}.{name}({arguments}) FROM {roles};"


def _quoted(role: str) -> str:
    """A role's name as SQL has to say it."""
    if not role or "\0" in role or len(role.encode("utf-8", "replace")) > _ROLE_LIMIT:
        raise InvalidValueError(
            f"{role!a} cannot be a role; give a name of 1 to {_ROLE_LIMIT} bytes, without NUL."
        )
    return '"' + role.replace('"', '""') + '"'
