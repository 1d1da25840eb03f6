"""Database URLs: what libpq's words in them do, and what is refused before anything is asked."""

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine as create_sync_engine
from sqlalchemy import make_url, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import create_async_engine

from session_router import (
    DatabaseUnavailableError,
    InvalidDatabaseUrlError,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.audit.trail import Trail
from session_router.database.asyncpg_options import asyncpg_options
from session_router.database.engine import create_engine
from session_router.database.migrate import Target, upgrade
from session_router.database.url import parse_url
from session_router.reports import Reports
from tests.support.by_hand import execute
from tests.support.postgres import PostgresServer
from tests.support.tls_front import CERTIFICATES, tls_front

SECRET = "s3cret-pw"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("statement_cache_size=none", "'statement_cache_size' with 'none'; use a whole number"),
        ("prepared_statement_cache_size=-1", "whole number, 0 or more"),
        ("max_cached_statement_lifetime=1.5", "whole number"),
        ("max_cacheable_statement_size=1e3", "whole number"),
        ("direct_tls=maybe", "one of true, false"),
        ("connect_timeout=0", "seconds, above 0"),
        ("connect_timeout=nan", "seconds, above 0"),
        ("sslmode=on", "one of disable, allow"),
        ("ssl=true", "one of disable, allow"),
        ("ssl_min_protocol_version=SSLv3", "one of TLSv1"),
        ("sslnegotiation=none", "one of postgres, direct"),
        ("target_session_attrs=master", "one of any, primary"),
        ("sslmode=require&sslmode=disable", "'sslmode' twice"),
        ("sslmode=require&ssl=disable", "'sslmode' twice"),
        ("timeout=5", "write connect_timeout"),
        ("server_settings=x", "write options=-c name=value"),
        ("service=main", "write the host, user"),
        *((f"{name}=x", f"{name!r}, which is not taken") for name in (
            "loop", "connection_class", "record_class", "dsn", "prepared_statement_name_func",
            "command_timeout", "async_creator_fn", "channel_binding", "sslmod",
        )),
        ("host=h1,h2&port=1,2,3", "2 host(s), but 3 ports"),
        ("host=h1,,h2", "the host ''"),
        ("host=h1:x", "the host 'h1:x'"),
        ("port=0", "port 0; use 1 to 65535"),
        ("host=h1&host=h2:65536", "port 65536"),
    ],
)  # fmt: skip
def test_an_option_that_is_not_understood_is_refused(query: str, told: str) -> None:
    url = f"postgresql://u:{SECRET}@h/db?password={SECRET}&{query}"
    for refuse in (parse_url, create_engine):
        with pytest.raises(InvalidDatabaseUrlError) as raised:
            refuse(url)
        assert told in str(raised.value)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+aiosqlite://",
        "sqlite:///file::memory:?cache=shared&uri=true",
        "sqlite:///file:x.db?mode=ro&uri=true",
        "sqlite:///x.db?mode=memory",
        "sqlite:///x.db?timeout=5",
        "sqlite:///x%00.db",
    ],
)
async def test_an_sqlite_url_names_a_file_and_nothing_else(url: str) -> None:
    for refuse in (parse_url, SQLAlchemySessionRepository.from_url):
        with pytest.raises(InvalidDatabaseUrlError, match=r"sqlite:///|remove it"):
            refuse(url)
    with pytest.raises(InvalidDatabaseUrlError):
        await upgrade(Target(url))


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("postgresql://u:p@h1:1,h2:2/db", [("h1", 1), ("h2", 2)]),
        ("postgresql://u:p@h1,h2:2/db", [("h1", 5432), ("h2", 2)]),
        ("postgres://h1,h2", [("h1", 5432), ("h2", 5432)]),
        ("postgresql+asyncpg://h1,h2?sslmode=require", [("h1", 5432), ("h2", 5432)]),
        ("postgresql://[::1]:1,[::2]/db", [("::1", 1), ("::2", 5432)]),
        ("postgresql://u:p@/db?host=h1,h2&port=1,2", [("h1", 1), ("h2", 2)]),
        ("postgresql://u:p@/db?host=h1,h2&port=1", [("h1", 1), ("h2", 1)]),
        ("postgresql:///db?host=h1:1&host=h2:2", [("h1", 1), ("h2", 2)]),
        ("postgresql:///db?host=::1,/run/sockets", [("::1", 5432), ("/run/sockets", 5432)]),
        ("postgresql://h:7/db", [("h", 7)]),
        ("postgresql://[::1]:7/db", [("::1", 7)]),
        ("postgresql://h/db?port=7", [("h", 7)]),
        ("postgresql:///db", []),
    ],
)
def test_hosts_are_written_as_in_libpq(url: str, addresses: list[Any]) -> None:
    for given in (parse_url(url), parse_url(parse_url(url).render_as_string(False))):
        assert asyncpg_options(given).addresses == addresses


def with_query(url: str, **options: str) -> str:
    return make_url(url).update_query_dict(options).render_as_string(hide_password=False)


def at(url: str, *addresses: str) -> str:
    """The URL with other hosts, in libpq's form."""
    parsed = make_url(url)
    user = f"{parsed.username}:{parsed.password}"
    return f"postgresql://{user}@{','.join(addresses)}/{parsed.database}"


async def asked(url: str, statement: str) -> Any:
    """What a statement gives on a connection as that URL wants it."""
    engine = create_engine(url)
    try:
        async with engine.connect() as conn:
            return (await conn.execute(text(statement))).scalar_one()
    finally:
        await engine.dispose()


@contextmanager
def bound_socket() -> Iterator[socket.socket]:
    """A port of ours; nobody listens there yet, and so connections to it are refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def address_of(bound: socket.socket) -> str:
    return "{}:{}".format(*bound.getsockname())


async def test_what_is_set_for_the_session_holds(postgres_url: str) -> None:
    url = with_query(
        postgres_url, application_name="router 1", options="-c work_mem=7MB", connect_timeout="5"
    )
    assert await asked(url, "SELECT current_setting('application_name')") == "router 1"
    assert await asked(url, "SELECT current_setting('work_mem')") == "7MB"


@pytest.mark.parametrize("option", ["statement_cache_size", "prepared_statement_cache_size"])
async def test_no_statement_keeps_a_name_where_none_is_to_be_kept(
    postgres_url: str, option: str
) -> None:
    named = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"
    assert await asked(with_query(postgres_url, **{option: "7"}), named) > 0
    assert await asked(with_query(postgres_url, **{option: "0"}), named) == 0


async def test_the_next_host_is_taken_where_the_first_is_down(postgres_url: str) -> None:
    up = make_url(postgres_url)
    with bound_socket() as down:
        url = at(postgres_url, address_of(down), f"{up.host}:{up.port}")
        repository = SQLAlchemySessionRepository.from_url(url)
        await SessionManager(repository).start_session("s")
        assert await repository.find_session("s") is not None
        await repository.close()


async def test_a_silent_host_costs_one_connection_its_time_limit(postgres_url: str) -> None:
    up, met = make_url(postgres_url), []
    async with await asyncio.start_server(lambda r, w: met.append(w), "127.0.0.1") as silent:
        first = address_of(silent.sockets[0])
        url = at(postgres_url, first, f"{up.host}:{up.port}") + "?connect_timeout=0.2"
        engine = create_engine(url)
        async with engine.connect(), engine.connect():
            assert len(met) == 1
        await engine.dispose()
        for writer in met:
            writer.close()


async def test_what_each_host_said_is_told_where_none_will_do(postgres_url: str) -> None:
    with bound_socket() as one, bound_socket() as two:
        url = at(postgres_url, address_of(one), address_of(two))
        repository = SQLAlchemySessionRepository.from_url(url)
        with pytest.raises(DatabaseUnavailableError) as raised:
            await repository.list_sessions()
        await repository.close()
        assert raised.value.nothing_written
        for down in (one, two):
            assert f"{address_of(down)}: ConnectionRefusedError" in str(raised.value)


async def test_of_several_hosts_one_that_can_be_written_is_taken(postgres_url: str) -> None:
    up = make_url(postgres_url)
    with PostgresServer() as standby:
        read_only = make_url(standby.create_database(str(up.database)))
        for statement in (
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "SELECT pg_reload_conf()",
        ):
            await execute(standby.url(), statement)
        url = at(postgres_url, *(f"{each.host}:{each.port}" for each in (read_only, up)))
        port = "SELECT current_setting('port')::int"
        assert await asked(url, port) == up.port
        assert await asked(f"{url}?target_session_attrs=any", port) == read_only.port
        assert await asked(f"{url}?target_session_attrs=read-only", port) == read_only.port
        with pytest.raises(DatabaseUnavailableError, match="is not standby"):
            await asked(f"{url}?target_session_attrs=standby", port)
        assert await asked(f"{url}?target_session_attrs=prefer-standby", port) == read_only.port


async def test_a_server_is_verified_as_libpq_would(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with tls_front(make_url(postgres_url).port or 0) as port:

        def url(host: str, **options: str) -> str:
            return with_query(at(postgres_url, f"{host}:{port}"), **options)

        ca = str(CERTIFICATES / "ca.crt")
        for host, options in (
            ("127.0.0.1", {"sslmode": "require"}),
            ("127.0.0.1", {"sslmode": "verify-ca", "sslrootcert": ca}),
            ("localhost", {"sslmode": "verify-full", "sslrootcert": ca}),
        ):
            assert await asked(url(host, **options), "SELECT 1") == 1
        for host, options in (
            ("127.0.0.1", {"sslmode": "verify-full", "sslrootcert": ca}),  # another name
            ("localhost", {"sslrootcert": "system"}),  # an authority that nobody knows
            ("localhost", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ):
            with pytest.raises(ssl.SSLCertVerificationError):
                await asked(url(host, **options), "SELECT 1")
        monkeypatch.setenv("SSL_CERT_FILE", ca)
        assert await asked(url("localhost", sslrootcert="system"), "SELECT 1") == 1


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sslrootcert=/nowhere/ca.crt", "sslrootcert=/nowhere/ca.crt, which cannot be used"),
        (f"sslrootcert={CERTIFICATES}/server.key", "server.key, which cannot be used"),
        (f"sslcert={CERTIFICATES}/server.crt&sslkey={CERTIFICATES}/ca.crt", "sslcert="),
        ("sslmode=verify-full", "no certificate to verify the server by"),
        ("sslmode=require&sslrootcert=system", "use verify-full"),
    ],
)
def test_certificates_are_looked_at_before_the_first_connection(
    query: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidDatabaseUrlError, match=re.escape(told)) as raised:
        create_engine(f"postgresql://u:{SECRET}@h/db?{query}")
    assert SECRET not in str(raised.value)


class OtherDriver(SQLiteDialect_aiosqlite):
    driver = "other"
    supports_statement_cache = True


def test_a_listener_needs_postgresql() -> None:
    with pytest.raises(InvalidDatabaseUrlError, match="listen_url"):
        SQLAlchemySessionRepository.from_url("postgresql://h/db", listen_url="sqlite:///x.db")


def test_an_engine_of_another_kind_is_refused() -> None:
    registry.register("sqlite.other", __name__, OtherDriver.__name__)
    engines: list[tuple[Any, str]] = [
        (create_sync_engine("sqlite://"), "is no AsyncEngine but Engine; use"),
        ("postgresql://h/db", "is no AsyncEngine but str; use"),
        (None, "is no AsyncEngine but NoneType; use"),
        (create_async_engine("sqlite+other://"), "is for sqlite+other; use postgresql"),
        (
            create_async_engine("sqlite+aiosqlite:///file:x.db?uri=true"),
            "name the file by its path",
        ),
    ]
    for engine, told in engines:
        for build in (SQLAlchemySessionRepository, Trail, lambda given: Reports(given, "s")):
            with pytest.raises(InvalidDatabaseUrlError, match=re.escape(told)):
                build(engine)
