"""SQLAlchemy's ORM as it is used every day: one transaction a call."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from session_router.settings import DEFAULT_SCHEMA

_POOL_SIZE: Final = 16


class _Base(DeclarativeBase):
    pass


class _Session(_Base):
    __tablename__ = "sessions"
    __table_args__ = {"schema": DEFAULT_SCHEMA}  # noqa: RUF012 - as SQLAlchemy has it

    session_id: Mapped[str] = mapped_column(primary_key=True)
    session_uid: Mapped[UUID]
    start_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_updated: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    streams: Mapped[list["_Stream"]] = relationship(lazy="selectin")


class _Stream(_Base):
    __tablename__ = "agent_streams"
    __table_args__ = {"schema": DEFAULT_SCHEMA}  # noqa: RUF012 - as SQLAlchemy has it

    session_id: Mapped[str] = mapped_column(ForeignKey(_Session.session_id), primary_key=True)
    agent_type: Mapped[str] = mapped_column(primary_key=True)
    agent_key: Mapped[str] = mapped_column(primary_key=True)


class Orm:
    """Touches: get the session with its streams, change it, commit."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str) -> AsyncIterator["Orm"]:
        engine = create_async_engine(url, pool_size=_POOL_SIZE, max_overflow=0)
        yield cls(engine)
        await engine.dispose()

    @classmethod
    @asynccontextmanager
    async def on_sqlite(cls, file: Path, pragmas: Sequence[str]) -> AsyncIterator["Orm"]:
        """With one connection, since two that write would meet 'database is locked'."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}", pool_size=1, max_overflow=0)
        async with engine.connect() as connection:
            for pragma in pragmas:
                await connection.exec_driver_sql(pragma)
        yield cls(engine.execution_options(schema_translate_map={DEFAULT_SCHEMA: None}))
        await engine.dispose()

    async def touch(self, session_id: str) -> None:
        async with AsyncSession(self._engine, expire_on_commit=False) as orm, orm.begin():
            session = await orm.get_one(_Session, session_id)
            # SQLite knows no time zones: what it gives is UTC, and does not say so.
            now = datetime.now(UTC).replace(tzinfo=session.last_updated.tzinfo)
            session.last_updated = max(session.last_updated, now)
