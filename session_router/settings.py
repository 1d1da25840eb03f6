"""Settings: what can be tuned, its ranges, and the environment variables that set it."""

import os
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from session_router.errors import InvalidSettingError
from session_router.pseudonyms import KEY_LENGTH
from session_router.schema_name import check_schema

DEFAULT_DATABASE_URL: Final = "sqlite:///session_router.db"
DEFAULT_SCHEMA: Final = "session_router"
DEFAULT_DEADLINE_SEC: Final = 10.0

TIMEOUT_LIMIT_MINUTES: Final = 5_256_000
"""Ten years: further back than this no clock need reckon."""
_LONGEST_SEC: Final = TIMEOUT_LIMIT_MINUTES * 60.0

_SECRETS: Final = {
    *("", "database_url", "listen_url"),
    *("erasure_key", "former_erasure_keys", "seal_key"),
}

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def _lowered(value: object) -> object:
    """Operators write levels in either case."""
    return value.lower() if isinstance(value, str) else value


Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class _Intervals(BaseModel):
    """What `Tuning` and `Settings` have in common."""

    sweep_batch_size: int = Field(100, ge=1, le=10_000)
    touch_resolution_sec: float = Field(1.0, ge=0, le=3_600, allow_inf_nan=False)
    cancel_timeout_sec: Seconds = 5.0
    early_stop_sec: Seconds = 600.0
    heartbeat_interval_sec: Seconds = 5.0
    lease_sec: Seconds = 30.0
    poll_interval_sec: Seconds = 1.0
    listening_poll_interval_sec: Seconds = 15.0
    shutdown_timeout_sec: Seconds = 15.0

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> Self:
        if self.lease_sec < self.heartbeat_interval_sec * 3:
            raise InvalidSettingError(
                f"lease_sec is {self.lease_sec:g}, less than three heartbeats of "
                f"{self.heartbeat_interval_sec:g} s; raise it, or lower heartbeat_interval_sec."
            )
        return self


class Tuning(_Intervals):
    """The manager's intervals and limits beyond those of the published interface.

    Attributes:
        sweep_batch_size: how many sessions one transaction of a sweep deletes at the most. Ten
            times as many are swept a third faster, and half again as slow is the slowest
            hundredth of the touches meanwhile.
        touch_resolution_sec: a touch so soon after the last one is answered without a write; the
            sweep makes up for it and leaves a session alone for so long beyond its timeout.
        cancel_timeout_sec: how long a runtime may take to cancel or remove one agent, and a
            source of `stream()` to close, before the signal is settled as failed.
        early_stop_sec: how long the stop of a stream holds that was not registered yet.
        heartbeat_interval_sec: how often a worker renews its lease.
        lease_sec: how long a worker without a heartbeat is taken for alive; at least three
            heartbeats. All workers on one database use the same.
        poll_interval_sec: how often a worker looks for its signals when nothing wakes it.
        listening_poll_interval_sec: the same beside a listener, which may miss a ring.
        shutdown_timeout_sec: the bound on `shutdown()`.

    Raises:
        InvalidSettingError: a value is out of its range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidSettingError(_explain(error, str)) from None


class Settings(_Intervals):
    """The service's settings, from `SESSION_ROUTER_*` environment variables.

    `SESSION_ROUTER_DATABASE_URL` sets `database_url`, and so on; an empty variable counts as
    unset. Times are seconds but for `session_timeout_minutes`.

    Raises:
        InvalidSettingError: a value is out of its range; the message names the variable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    database_url: SecretStr = SecretStr(DEFAULT_DATABASE_URL)
    listen_url: SecretStr | None = None
    database_schema: Annotated[str, AfterValidator(check_schema)] = DEFAULT_SCHEMA
    operation_deadline_sec: Seconds = DEFAULT_DEADLINE_SEC
    session_timeout_minutes: float = Field(30, gt=0, le=TIMEOUT_LIMIT_MINUTES, allow_inf_nan=False)
    cleanup_interval_sec: Seconds = 60
    http_host: str = "127.0.0.1"
    http_port: int = Field(8080, ge=0, le=65_535)
    http_workers: int = Field(1, ge=1, le=256)
    http_allowed_hosts: str | None = None
    drain_sec: float = Field(1.0, ge=0, le=600, allow_inf_nan=False)
    erasure_key: SecretStr | None = Field(None, min_length=KEY_LENGTH)
    former_erasure_keys: SecretStr | None = None
    seal_key: SecretStr | None = None
    seal_public_keys: str | None = None
    seal_interval_sec: Seconds | None = None
    prune_least_age_days: float = Field(0, ge=0, le=36_525, allow_inf_nan=False)
    log_format: LogFormat = "text"
    log_level: Annotated[LogLevel, BeforeValidator(_lowered)] = "info"

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**(_environment(type(self).model_fields) | values))
        except ValidationError as error:
            raise InvalidSettingError(_explain(error, _variable)) from None

    @model_validator(mode="after")
    def _limits_go_together(self) -> Self:
        check_resolution(self.session_timeout_minutes, self.touch_resolution_sec)
        if self.operation_deadline_sec + self.heartbeat_interval_sec >= self.lease_sec:
            raise InvalidSettingError(
                f"operation_deadline_sec is {self.operation_deadline_sec:g}, which with the "
                f"{self.heartbeat_interval_sec:g} s between two heartbeats is not less than the "
                f"lease of {self.lease_sec:g} s, so that one slow answer could cost a live worker "
                "its lease; lower the one or raise the other."
            )
        return self

    @property
    def settled_within_sec(self) -> float:
        """When a signal to a live worker is settled: learnt of, carried out, and recorded."""
        return self.poll_interval_sec + self.cancel_timeout_sec + self.operation_deadline_sec

    @property
    def tuning(self) -> Tuning:
        """The part that `SessionManager` takes."""
        return Tuning(**{name: getattr(self, name) for name in Tuning.model_fields})


def check_positive(value: float, what: str, *, at_most: float = _LONGEST_SEC) -> float:
    """Return `value` when it is a number above zero, and no longer than clocks can reckon.

    Raises:
        InvalidSettingError: it is not.
    """
    given: object = value  # callers without a type checker hand over anything
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not 0 < value <= at_most:
        raise InvalidSettingError(
            f"{what} is {value!r}; give it a number above zero, at most {at_most:,.0f}."
        )
    return value


def check_resolution(timeout_minutes: float, touch_resolution_sec: float) -> None:
    """Refuse a touch resolution that is not well below the session timeout.

    Raises:
        InvalidSettingError: it is half the timeout or more.
    """
    if touch_resolution_sec * 2 >= timeout_minutes * 60:
        raise InvalidSettingError(
            f"touch_resolution_sec is {touch_resolution_sec:g}, which is not less than half of "
            f"the session timeout of {timeout_minutes * 60:g} s; lower the one or raise the other."
        )


def _environment(fields: Iterable[str]) -> dict[str, str]:
    """What the environment says of these fields; pydantic makes of the texts what they mean."""
    given = {name.upper(): value for name, value in os.environ.items() if value}
    return {field: given[_variable(field)] for field in fields if _variable(field) in given}


def _variable(field: str) -> str:
    return f"SESSION_ROUTER_{field.upper()}"


def _explain(error: ValidationError, name_of: Any) -> str:
    """Name each refused value; URLs, or what may be one, are left out for their passwords."""
    faults = []
    for fault in error.errors(include_url=False):
        field = str(fault["loc"][0]) if fault["loc"] else ""
        is_secret = field in _SECRETS or fault["type"] == "extra_forbidden"
        given = "" if is_secret else f"={fault['input']!r}"
        said = fault["msg"].removeprefix("Value error, ").removesuffix(".")
        faults.append(f"{name_of(field) if field else 'settings'}{given}: {said}")
    return "; ".join(faults) + "."
