"""What PostgreSQL calls our connections, in `pg_stat_activity` and in its log."""

from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

if TYPE_CHECKING:
    import asyncpg

_PRODUCT: Final = "session_router"
_NAMES: Final = "session_router_names"


class ConnectionNames:
    """Names such as `session_router 3f0b…-… listen`: the worker's id, and what it is for.

    They have at most 63 bytes, which is what PostgreSQL keeps.

    Args:
        job: what an engine's own connections are for, in one word of at most 10 letters.

    Attributes:
        worker_id: the present worker; None where the program is none, or not yet.
    """

    def __init__(self, job: str = "") -> None:
        self._job = job
        self.worker_id: UUID | None = None

    def of(self, job: str) -> str:
        """The name of a connection that is for this, in one word of at most 10 letters."""
        words = (_PRODUCT, self.worker_id and str(self.worker_id), job)
        return " ".join(word for word in words if word)

    def give_to(self, engine: AsyncEngine) -> None:
        """Have each connection that an engine opens from now on called by its name of then."""

        def call(_: object, __: object, ___: object, arguments: dict[str, Any]) -> None:
            given = arguments.get("server_settings", {})
            arguments["server_settings"] = given | {"application_name": self.of(self._job)}

        event.listen(engine.sync_engine, "do_connect", call)
        engine.update_execution_options(**{_NAMES: self})

    @classmethod
    def had_by(cls, engine: AsyncEngine) -> Self:
        """Those that an engine was given; where it goes by other names, some for all else."""
        names = engine.get_execution_options().get(_NAMES)
        return names if isinstance(names, cls) else cls()


async def call(driver: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    """Give an open connection a name, unless a URL or a role's settings have given it another.

    Args:
        name: of `ConnectionNames`. In a text, since behind a pooler nothing can be prepared.
    """
    await driver.execute(
        f"SELECT set_config('application_name', '{name}', false) "
        "WHERE current_setting('application_name') IN ('', 'session_router') "
        "OR starts_with(current_setting('application_name'), 'session_router ')"
    )
