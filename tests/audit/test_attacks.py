"""What somebody may try who owns the tables, and what tells of it: docs/audit.md lists the same."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.audit.keys import AuditKeys, PrivateKey
from session_router.audit.seals import Seal, seal, seals
from session_router.audit.trail import Trail
from session_router.audit.verification import record, verify
from session_router.database import migrate
from session_router.database.migrate import Target
from tests.audit.conftest import tamper

DOCS: Final = (Path(__file__).parents[2] / "docs/audit.md").read_text()
LISTED: Final = dict(re.findall(r"^\| ([a-z][^|]*?) \| ([^|]*?) \|$", DOCS, re.MULTILINE))
EVENTS: Final = "session_router.session_events"
SEALS: Final = "session_router.audit_seals"
UID: Final = "11111111-1111-1111-1111-111111111111"


@dataclass(frozen=True)
class Sealed:
    """A trail with two seals: `first` is in the one, `second` in the other, `third` in none."""

    url: str
    trail: Trail
    keys: AuditKeys
    kept: list[Seal]

    async def change(self, *statements: str) -> None:
        past = "now() - interval '1 hour'"
        if self.url.startswith("sqlite"):
            past = "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 hour')"
        await tamper(self.url, *(each.replace("{past}", past) for each in statements))


@pytest.fixture(params=["signed", "by the erasure key"])
async def sealed(
    request: pytest.FixtureRequest,
    database_url: str,
    repository: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
) -> Sealed:
    """Signed, it is looked at by somebody who has the public key and nothing else."""
    auditor = keys
    if request.param == "signed":
        private = PrivateKey("5" * 64)
        keys, auditor = AuditKeys(private=private), AuditKeys(public=[private.public])
    manager = SessionManager(repository)
    for name in ("first", "second", "third"):
        await manager.start_session(name)
        await manager.end_session(name, actor="bob", reason="enough")
        if name != "third":
            await seal(trail, keys)
    await record(trail, await verify(trail, auditor), None)
    async with trail.reading() as conn:
        return Sealed(database_url, trail, auditor, await seals(trail, conn))


def sql(*statements: str) -> Callable[[Sealed], Awaitable[None]]:
    return lambda sealed: sealed.change(*statements)


def removed(name: str) -> str:
    return f"DELETE FROM {EVENTS} WHERE session_id = '{name}'"


def renamed(name: str) -> str:
    return f"UPDATE {EVENTS} SET actor = 'eve' WHERE session_id = '{name}' AND actor = 'bob'"


def moved(name: str) -> str:
    return f"UPDATE {EVENTS} SET occurred_at = {{past}} WHERE session_id = '{name}'"


def a_story(*, first_number: int | None = None, time: str | None = None) -> list[str]:
    """What inserts a story that keeps the laws."""
    names, values = "session_id, session_uid, event", f"'forged', '{UID}', '{{}}'"
    if time is not None:
        names, values = f"occurred_at, {names}", f"{time}, {values}"
    made = []
    for number, event in enumerate(("session_started", "session_ended")):
        numbered = (
            ("", "") if first_number is None else ("event_id, ", f"{first_number + number}, ")
        )
        made.append(
            f"INSERT INTO {EVENTS} ({numbered[0]}{names}) "
            f"VALUES ({numbered[1]}{values.replace('{}', event)})"
        )
    return made


NEWEST: Final = f"seal_id = (SELECT max(seal_id) FROM {SEALS})"
ATTACKS: Final[dict[str, tuple[Callable[[Sealed], Awaitable[None]], set[str]]]] = {
    "a story deleted that was sealed": (sql(removed("first")), {"seal"}),
    "a story deleted that was not sealed": (sql(removed("third")), set()),
    "an actor changed in what was sealed": (sql(renamed("first")), {"seal"}),
    "an actor changed in what was not sealed": (sql(renamed("third")), set()),
    "a time moved in what was sealed": (sql(moved("second")), {"seal", "time"}),
    "a time moved in what was not sealed": (sql(moved("third")), {"time"}),
    "an event inserted with a number in the past": (sql(*a_story(first_number=-9)), {"seal"}),
    "an event inserted with a time in the past": (sql(*a_story(time="{past}")), {"time"}),
    "a whole story forged in the present": (sql(*a_story()), set()),
    "the newest seal removed with its events": (
        sql(f"DELETE FROM {SEALS} WHERE {NEWEST}", removed("second")),
        {"seal"},
    ),
    "all seals removed": (sql(f"DELETE FROM {SEALS}"), {"seal"}),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_each_attack_is_found_as_the_documentation_says(sealed: Sealed, attack: str) -> None:
    change, laws = ATTACKS[attack]
    await change(sealed)
    found = (await verify(sealed.trail, sealed.keys)).violations
    assert {each.law for each in found} == laws
    told = LISTED[attack]
    assert all(f"`{law}`" in told for law in laws)
    assert laws or told.startswith("not found")


@pytest.mark.parametrize("attack", ["the newest seal removed with its events", "all seals removed"])
async def test_kept_seals_find_it_where_the_record_of_verifications_is_gone(
    sealed: Sealed, attack: str
) -> None:
    await ATTACKS[attack][0](sealed)
    await sealed.change("DELETE FROM session_router.audit_verifications")
    assert (await verify(sealed.trail, sealed.keys)).violations == []
    found = (await verify(sealed.trail, sealed.keys, sealed.kept)).violations
    assert {each.law for each in found} == {"kept seal"}


@pytest.mark.parametrize("steps", ["downgrade, change, upgrade", "triggers off and on again"])
async def test_a_change_without_the_triggers_is_found_in_what_was_sealed(
    sealed: Sealed, steps: str
) -> None:
    if steps.startswith("downgrade"):
        await migrate.downgrade(Target(sealed.url), "0012")
        await sealed.change(renamed("first"))
        await migrate.upgrade(Target(sealed.url))
    else:
        await sealed.change(renamed("first"))
    assert await migrate.check(Target(sealed.url)) == []
    [found] = (await verify(sealed.trail, sealed.keys)).violations
    assert found.law == "seal"
    assert "`seal`" in LISTED[steps]


async def test_an_older_backup_is_found_by_the_seals_that_were_kept(
    sealed: Sealed,
) -> None:
    """As it was before the second seal: what came then is not there, nor that it was verified."""
    await sealed.change(
        "DELETE FROM session_router.audit_verifications",
        f"DELETE FROM {SEALS} WHERE {NEWEST}",
        removed("second"),
        removed("third"),
    )
    assert (await verify(sealed.trail, sealed.keys)).violations == []
    [found] = (await verify(sealed.trail, sealed.keys, sealed.kept)).violations
    assert found.law == "kept seal"
    assert "`kept seal`" in LISTED["an older backup restored"]
