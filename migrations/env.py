"""How Alembic runs these migrations, from `session-router db` or from its own command."""

import asyncio

from alembic import context

from session_router.database.migration.environment import configure_offline, migrate_online
from session_router.database.migration.target import Target
from session_router.settings import Settings


def target() -> Target:
    """`session-router db` hands its own over; Alembic's own command takes the settings'."""
    given = context.config.attributes.get("target")
    if isinstance(given, Target):
        return given
    settings = Settings()
    return Target(settings.database_url.get_secret_value(), settings.database_schema)


if context.is_offline_mode():
    configure_offline(target())
elif "connection" in context.config.attributes:
    migrate_online(context.config.attributes["connection"], target())
else:
    asyncio.run(target().run(lambda conn: migrate_online(conn, target()), writes=True))
