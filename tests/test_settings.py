"""Settings and database URLs: what is refused, by which name, and never with a password."""

from typing import Any

import pytest

from session_router import (
    InMemorySessionRepository,
    InvalidDatabaseUrlError,
    InvalidSettingError,
    InvalidValueError,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.database.url import parse_url
from session_router.settings import Settings, Tuning

SECRET = "s3cret-pw"


@pytest.mark.parametrize("name", [n for n in Tuning.model_fields if n != "touch_resolution_sec"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5", None, 10**9])
def test_a_tuning_out_of_its_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidSettingError, match=name):
        Tuning(**{name: value})


def test_an_unknown_tuning_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="patience"):
        Tuning(patience=5)


TIMEOUTS = [0, -1, 0.0, float("nan"), float("inf"), True, "30", None, 1e300, 10**10, 10**400]


@pytest.mark.parametrize("value", TIMEOUTS)
def test_a_timeout_that_no_clock_can_reckon_with_is_refused(value: Any) -> None:
    repository = InMemorySessionRepository()
    with pytest.raises(InvalidSettingError, match="session_timeout_minutes"):
        SessionManager(repository, None, value)
    with pytest.raises(InvalidSettingError, match="cleanup_interval_sec"):
        SessionManager(repository, None, 30, value)
    with pytest.raises(InvalidSettingError, match="deadline_sec"):
        SQLAlchemySessionRepository.from_url("sqlite:///x.db", deadline_sec=value)


def test_a_touch_resolution_must_be_well_below_the_timeout() -> None:
    with pytest.raises(InvalidSettingError, match="touch_resolution_sec"):
        SessionManager(InMemorySessionRepository(), None, 1, tuning=Tuning(touch_resolution_sec=30))
    with pytest.raises(InvalidSettingError, match="touch_resolution_sec"):
        Settings(session_timeout_minutes=0.01)
    SessionManager(InMemorySessionRepository(), None, 0.01, tuning=Tuning(touch_resolution_sec=0))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", f"postgresql://u:{SECRET}@h/db")
    monkeypatch.setenv("SESSION_ROUTER_SESSION_TIMEOUT_MINUTES", "0.5")
    monkeypatch.setenv("SESSION_ROUTER_CANCEL_TIMEOUT_SEC", "2")
    monkeypatch.setenv("SESSION_ROUTER_HTTP_PORT", "")
    settings = Settings()
    assert settings.database_url.get_secret_value() == f"postgresql://u:{SECRET}@h/db"
    assert (settings.session_timeout_minutes, settings.http_port) == (0.5, 8080)
    assert settings.tuning == Tuning(cancel_timeout_sec=2)
    assert Settings(http_port=1).http_port == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "soon") for name in Settings.model_fields if name.endswith(("_sec", "_port"))),
        *((name, "-1") for name in Settings.model_fields if name.endswith(("_sec", "_size"))),
        ("session_timeout_minutes", "0"),
        ("session_timeout_minutes", "nan"),
        ("http_port", "65536"),
        ("database_schema", "Robert'); DROP"),
    ],
)
def test_a_bad_variable_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    variable = f"SESSION_ROUTER_{name.upper()}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettingError) as raised:
        Settings()
    assert f"{variable}={value!r}" in str(raised.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"database_url": [f"postgresql://u:{SECRET}@h/db"]},
        {"databse_url": f"postgresql://u:{SECRET}@h/db"},
        {"database_url": f"postgresql://u:{SECRET}@h/db", "session_timeout_minutes": 0.001},
        {"database_url": f"postgresql://u:{SECRET}@h/db", "http_port": -1},
    ],
)
def test_a_settings_error_shows_no_password(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError) as raised:
        Settings(**wrong)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


def test_settings_show_no_password() -> None:
    settings = Settings(database_url=f"postgresql://u:{SECRET}@h/db")
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        (f"postgresql://u:{SECRET}@h/db", "postgresql+asyncpg"),
        (f"postgres://u:{SECRET}@h/db", "postgresql+asyncpg"),
        (f"postgresql+asyncpg://u:{SECRET}@h:5433/db", "postgresql+asyncpg"),
        ("sqlite:///file.db", "sqlite+aiosqlite"),
        ("sqlite:////tmp/file.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///file.db", "sqlite+aiosqlite"),
    ],
)
def test_a_database_url_needs_no_driver(url: str, driver: str) -> None:
    parsed = parse_url(url)
    assert parsed.drivername == driver
    assert SECRET not in f"{parsed!r} {parsed}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        None,
        5,
        SECRET,
        f"postgresql://u:{SECRET}@h:port/db",
        f"postgresql://u:{SECRET}@[::1/db",
        f"mysql://u:{SECRET}@h/db",
        f"mysql://h/db?user=u&password={SECRET}",
        f"postgresql+psycopg://u:{SECRET}@h/db",
        f"sqlite://u:{SECRET}@host/file.db",
        f"sqlite://host/file.db?password={SECRET}",
    ],
)
def test_a_database_url_that_is_none_is_refused_without_its_password(url: Any) -> None:
    for refuse in (parse_url, SQLAlchemySessionRepository.from_url):
        with pytest.raises(InvalidDatabaseUrlError, match="sqlite://") as raised:
            refuse(url)
        assert SECRET not in str(raised.value)
        assert isinstance(raised.value, InvalidValueError)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_an_answer_at_the_deadline_comes_before_the_lease_has_run_out() -> None:
    assert Settings(operation_deadline_sec=24).lease_sec == 30
    with pytest.raises(InvalidSettingError, match="with the 5 s between two heartbeats"):
        Settings(operation_deadline_sec=25)
