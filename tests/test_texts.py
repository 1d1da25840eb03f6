"""Texts of others: what errors say of themselves, and what a database can store of it."""

import io
import logging

import pytest

from session_router import logs
from session_router.errors import DatabaseUnavailableError, RefusedError
from session_router.text import clip, with_storable
from tests.support.errors import MuteError


class EmptyError(Exception):
    def __str__(self) -> str:
        return " \n "


class NoTextError(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 - that is the error's fault


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("no\n route\t to it"), "OSError: no route to it"),
        (EmptyError(), "EmptyError"),
        (MuteError(), "MuteError: (no text: that raised RuntimeError)"),
        (NoTextError(), "NoTextError: (no text: that raised TypeError)"),
        (
            BaseExceptionGroup("two", [MuteError(), MuteError()]),
            "ExceptionGroup: two (2 sub-exceptions)",
        ),
    ],
)
def test_any_error_is_explained(error: BaseException, told: str) -> None:
    assert logs.explain(error) == told


def test_an_enormous_error_is_explained_briefly() -> None:
    assert len(logs.explain(ValueError("x" * 1_000_000))) < 3_000


def test_what_no_database_could_store_is_replaced() -> None:
    assert clip(logs.explain(ValueError("a\0b\ud800c"))) == "ValueError: a\ufffdb?c"


@pytest.mark.parametrize("error", [MuteError(), EmptyError(), ValueError("\ud800\0\r\n")])
def test_any_error_can_be_logged_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    # Not by way of pytest's own log, whose report could not carry a lone surrogate.
    log, told = logging.getLogger("session_router"), io.StringIO()
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(told)])
    with pytest.raises(type(error)) as raised:
        raise error
    logs.settle_failed(1, raised.value)
    assert told.getvalue().startswith("settle_failed")
    assert "Traceback" in told.getvalue()


def test_our_own_errors_are_logged_without_one(caplog: pytest.LogCaptureFixture) -> None:
    logs.settle_failed(1, DatabaseUnavailableError("away"))
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("detail", "storable", "tried"),
    [
        ("plain", 0, ["plain"]),
        ("plain", 1, ["plain", None]),
        ("é🙂", 1, ["é🙂", "\\xe9\\U0001f642"]),
        ("é🙂", 2, ["é🙂", "\\xe9\\U0001f642", None]),
        (None, 0, [None]),
    ],
)
async def test_a_detail_that_is_refused_is_written_in_ascii_then_left_out(
    detail: str | None, storable: int, tried: list[str | None]
) -> None:
    written: list[str | None] = []

    async def write(told: str | None) -> int:
        written.append(told)
        if len(written) <= storable:
            raise RefusedError("the encoding has no such character")
        return 7

    assert await with_storable(write, detail) == 7
    assert written == tried


async def test_a_refusal_that_is_not_of_the_detail_is_raised() -> None:
    async def write(told: str | None) -> None:
        raise RefusedError("something else")

    with pytest.raises(RefusedError):
        await with_storable(write, "detail")
