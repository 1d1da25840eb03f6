"""What PostgreSQL hands out by COPY, which costs the program a fraction of what rows do."""

from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.pool import driver_of


async def copy_out(
    conn: AsyncConnection,
    statement: Select[Any],
    write: Callable[[bytes], Coroutine[Any, Any, None]],
    **form: Any,
) -> int:
    """Hand what a statement selects to `write`, in chunks; returns how many rows it was.

    Args:
        conn: in a transaction that has begun.
        form: COPY's options.
    """
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has not typed it
    compiled = statement.compile(dialect=dialect)
    arguments = [compiled.params[name] for name in compiled.positiontup or ()]
    driver = driver_of(await conn.get_raw_connection())
    status = await driver.copy_from_query(str(compiled), *arguments, output=write, **form)
    return int(status.split()[1])
