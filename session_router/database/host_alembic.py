"""For hosts that keep their own tables in the same database, under migrations of their own."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from alembic import context
from sqlalchemy.schema import SchemaItem

from session_router.database.definitions import definitions
from session_router.database.schema import OLDEST_CODE_TABLE, VERSION_TABLE, build_tables
from session_router.schema_name import check_schema
from session_router.settings import DEFAULT_SCHEMA

IncludeObject = Callable[[SchemaItem, str | None, str, bool, SchemaItem | None], bool]
"""Alembic's hook: object, name, type, whether it was found in the database, its counterpart."""


def leaving_out(schema: str = DEFAULT_SCHEMA) -> IncludeObject:
    """A hook that keeps the host's autogenerate from all of ours; `include_object` is the usual.

    Args:
        schema: the PostgreSQL schema of our tables.

    Raises:
        InvalidSettingError: the schema cannot be called so.
    """
    check_schema(schema)

    def include_object(
        item: SchemaItem, name: str | None, kind: str, found: bool, counterpart: SchemaItem | None
    ) -> bool:
        table: Any = getattr(item, "table", item)
        if context.get_context().dialect.name != "sqlite":
            return bool(table.schema != schema)
        # Without schemas ours are known by name; but what the host's own metadata has is its own.
        return not (found and counterpart is None and table.name in _names_on_sqlite())

    return include_object


@cache
def _names_on_sqlite() -> frozenset[str]:
    tables = build_tables(None).metadata.tables
    made = (definition.name for definition in definitions("sqlite", None))
    return frozenset({*tables, *made, VERSION_TABLE, OLDEST_CODE_TABLE})


include_object: Final = leaving_out()
"""The hook where the tables are in the usual schema."""
