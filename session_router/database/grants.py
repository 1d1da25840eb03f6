"""Roles of least privilege: the GRANTs for who runs the service, who reads, who keeps retention."""

from collections.abc import Iterator
from typing import Final

from session_router.database.definitions.audit_0003 import ERASE_ARGUMENTS, PRUNE_ARGUMENTS
from session_router.errors import InvalidValueError

_ROLE_LIMIT: Final = 63

_RETENTION_FUNCTIONS: Final = (
    f"prune_trail({PRUNE_ARGUMENTS})",
    f"erase_events({ERASE_ARGUMENTS})",
)

# To lock a row for a change is a matter of UPDATE.
_OF_APP: Final = {
    "sessions": "INSERT, UPDATE, DELETE",
    "agent_streams": "INSERT, UPDATE, DELETE",
    "workers": "INSERT, UPDATE, DELETE",
    "interrupt_signals": "INSERT, UPDATE, DELETE",
    "session_events": "INSERT",
}
# To erase is to end the session first, as the service does.
_OF_RETENTION: Final = {
    "sessions": "UPDATE, DELETE",
    "agent_streams": "UPDATE, DELETE",
    "interrupt_signals": "INSERT, UPDATE",
    "session_events": "INSERT",
    "audit_seals": "INSERT",
    "pruned_stories": "INSERT",
}


def grants(
    schema: str, *, app: str | None = None, reader: str | None = None, retention: str | None = None
) -> list[str]:
    """The statements for these roles, for the tables' owner to run after every upgrade.

    Args:
        schema: the PostgreSQL schema that holds the tables.
        app: runs the service and its workers.
        reader: looks at everything, and verifies.
        retention: seals, prunes and erases.

    Raises:
        InvalidValueError: no role is named, or one cannot be a role.
    """
    made = [
        statement
        for role, changes in ((app, _OF_APP), (reader, {}), (retention, _OF_RETENTION))
        if role is not None
        for statement in _of_role(schema, _quoted(role), changes, is_retention=role == retention)
    ]
    if not made:
        raise InvalidValueError("no role is named; give --app, --reader or --retention a role.")
    return made


def _of_role(
    schema: str, role: str, changes: dict[str, str], *, is_retention: bool
) -> Iterator[str]:
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role};"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};"
    for table, privileges in changes.items():
        yield f"GRANT {privileges} ON {schema}.{table} TO {role};"
    yield f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role};"
    if not is_retention:
        for function in _RETENTION_FUNCTIONS:
            yield f"REVOKE EXECUTE ON FUNCTION {schema}.{function} FROM {role};"


def _quoted(role: str) -> str:
    """A role's name as SQL has to say it."""
    if not role or "\0" in role or len(role.encode("utf-8", "replace")) > _ROLE_LIMIT:
        raise InvalidValueError(
            f"{role!a} cannot be a role; give a name of 1 to {_ROLE_LIMIT} bytes, without NUL."
        )
    return '"' + role.replace('"', '""') + '"'
