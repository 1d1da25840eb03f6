"""`session-router audit`, `sessions erase`, `db grants`: what a person and a script see."""

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from session_router import SessionManager, SQLAlchemySessionRepository
from tests.audit.conftest import KEY, tamper
from tests.cli.program import Done, Program
from tests.support.by_hand import execute as query
from tests.support.databases import run

EVENTS = "session_router.session_events"
VERIFICATIONS = "session_router.audit_verifications"
REFUSED = (asyncpg.InsufficientPrivilegeError, sqlite3.IntegrityError)


class Audit:
    """Calls the program on one database."""

    def __init__(self, program: Program, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.folder = url, program.folder
        self._program = program
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", url)

    def __call__(self, *arguments: str, key: str | None = KEY) -> Done:
        if key is None:
            self._monkeypatch.delenv("SESSION_ROUTER_ERASURE_KEY", raising=False)
        else:
            self._monkeypatch.setenv("SESSION_ROUTER_ERASURE_KEY", key)
        return self._program(*arguments)


@pytest.fixture
def audit(program: Program, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """On a database in which `ended` has ended and `live` lives."""

    async def fill() -> None:
        repository = SQLAlchemySessionRepository.from_url(database_url)
        manager = SessionManager(repository)
        await manager.start_session("ended")
        await manager.end_session("ended", actor="bob", reason="enough")
        await manager.start_session("live")
        await repository.close()

    run(fill())
    return Audit(program, database_url, monkeypatch)


def test_verify_tells_that_all_is_well(audit: Audit) -> None:
    done = audit("audit", "verify", key=None)
    as_json = audit("audit", "verify", "--json", key=None)

    assert done.code == 0
    counted, held, unsealed = done.out.splitlines()
    assert (counted, held) == ("3 event(s), 0 seal(s)", "the conservation laws hold")
    assert re.fullmatch(r"3 event\(s\) since 2\S+ \S+ UTC are not sealed", unsealed)
    assert as_json.json == {
        "ok": True,
        "events": 3,
        "seals": 0,
        "checked_seals": 0,
        "unchecked_seals": 0,
        "sealed_until": 0,
        "unsealed_events": 3,
        "unsealed_since": as_json.json["unsealed_since"],
        "kept_seals": 0,
        "violations": [],
    }


def test_verify_lists_what_is_broken(audit: Audit) -> None:
    run(tamper(audit.url, f"DELETE FROM {EVENTS} WHERE event = 'session_ended'"))

    done = audit("audit", "verify")
    as_json = audit("audit", "verify", "--json")

    assert (done.code, as_json.code) == (1, 1)
    assert "started 1, ended 0, live 0" in done.out
    [violation] = as_json.json["violations"]
    assert (violation["law"], violation["subject"]) == ("law 2", "session")
    assert violation["counts"] == {"started": 1, "ended": 0, "live": 0}


def test_when_the_trail_was_verified_is_recorded_with_what_came_of_it(audit: Audit) -> None:
    audit("audit", "seal")
    audit("audit", "verify")
    run(tamper(audit.url, f"DELETE FROM {EVENTS} WHERE event = 'session_ended'"))
    audit("audit", "verify")
    audit("audit", "verify", "--whole")

    kept = "SELECT events, sealed_until, violations FROM"
    found = run(query(audit.url, f"{kept} {VERIFICATIONS} ORDER BY verification_id"))
    assert [tuple(row) for row in found] == [(3, 3, 0), (2, 3, 1), (2, 3, 2)]
    with pytest.raises(REFUSED, match="append-only"):
        run(query(audit.url, f"DELETE FROM {VERIFICATIONS}"))


def test_a_database_that_cannot_be_written_to_is_verified_all_the_same(
    program: Program, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", postgres_url)
    name = make_url(postgres_url).database
    run(query(postgres_url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))

    done = program("audit", "verify")

    assert (done.code, "the conservation laws hold" in done.out) == (0, True)
    assert "could not be recorded" in done.err


def test_seals_are_kept_elsewhere_and_compared(audit: Audit) -> None:
    sealed = audit("audit", "seal", "--json")
    [seal] = sealed.json_lines
    assert audit("audit", "seals", "--json").json_lines == [seal]
    assert audit("audit", "seals").rows[0][:4] == ["1", "1", "3", "3"]
    assert audit("audit", "seal").out.startswith("nothing to seal")
    kept = audit.folder / "kept.jsonl"
    kept.write_text(sealed.out)

    done = audit("audit", "verify", "--seal", str(kept))
    assert (done.code, done.out.splitlines()[1]) == (
        0,
        "the conservation laws hold; sealed up to event 3; 1 kept seal(s) are the same",
    )

    kept.write_text(json.dumps(seal | {"digest": "0" * 64}))
    assert audit("audit", "verify", "--seal", str(kept)).code == 1
    kept.write_text("nonsense")
    refused = audit("audit", "verify", "--seal", str(kept))
    assert (refused.code, "holds no seals" in refused.err) == (2, True)


@pytest.mark.parametrize("command", [["audit", "seal"], ["sessions", "erase", "ended"]])
def test_what_needs_the_key_says_so(audit: Audit, command: list[str]) -> None:
    without = audit(*command, key=None)
    short = audit(*command, key="too-short-a-key")

    assert (without.code, short.code) == (2, 2)
    assert "SESSION_ROUTER_ERASURE_KEY" in without.err
    assert "SESSION_ROUTER_ERASURE_KEY" in short.err
    assert "too-short-a-key" not in short.err


def test_sealed_trails_are_verified_and_pruned_with_no_other_key(audit: Audit) -> None:
    audit("audit", "seal")

    prune = ["audit", "prune", "--before", "2999-01-01", "--yes"]
    for command, keys in ((["audit", "verify"], ["x" * 32]), (prune, [None, "x" * 32])):
        for key in keys:
            done = audit(*command, key=key)
            assert (done.code, "SESSION_ROUTER_ERASURE_KEY" in done.err) == (2, True)
            assert key is None or key not in done.err


def test_without_the_key_the_laws_are_checked_and_it_is_told_what_was_not(audit: Audit) -> None:
    audit("audit", "seal")
    done = audit("audit", "verify", key=None)
    as_json = audit("audit", "verify", "--json", key=None)

    assert done.code == 0
    assert "no seal was checked: that needs SESSION_ROUTER_ERASURE_KEY" in done.err
    told = {name: as_json.json[name] for name in ("seals", "checked_seals", "sealed_until")}
    assert told == {"seals": 1, "checked_seals": 0, "sealed_until": 0}
    run(tamper(audit.url, f"DELETE FROM {EVENTS} WHERE event = 'session_ended'"))
    assert audit("audit", "verify", key=None).code == 1


def test_a_seal_that_was_found_whole_is_not_compared_again_unless_asked(audit: Audit) -> None:
    change = f"UPDATE {EVENTS} SET actor = 'eve' WHERE event = 'session_ended'"
    audit("audit", "seal")
    assert "(1 seal(s) were found whole before" not in audit("audit", "verify").out
    run(tamper(audit.url, change))

    assert (
        "(1 seal(s) were found whole before; --whole compares all)" in audit("audit", "verify").out
    )
    assert audit("audit", "verify", "--since-seal", "1").code == 0
    assert audit("audit", "verify", "--since-seal", "0").code == 1
    # Once something was found broken, all is compared until all is whole.
    assert audit("audit", "verify").code == 1
    run(tamper(audit.url, change.replace("'eve'", "'bob'")))
    assert audit("audit", "verify").code == 0
    assert audit("audit", "verify", "--json").json["checked_seals"] == 0
    refused = audit("audit", "verify", "--since-seal", "7")
    assert (refused.code, "there is no seal 7" in refused.err) == (2, True)
    assert audit("audit", "verify", "--whole", "--since-seal", "1").code == 2


def test_what_is_young_is_not_pruned_where_a_least_age_is_set(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_ROUTER_PRUNE_LEAST_AGE_DAYS", "30")
    for before in ("29d", "2999-01-01"):
        refused = audit("audit", "prune", "--before", before, "--yes")
        assert (refused.code, "SESSION_ROUTER_PRUNE_LEAST_AGE_DAYS" in refused.err) == (2, True)
    done = audit("audit", "prune", "--before", "31d")
    assert (done.code, done.out) == (0, "removed 0 stories, 0 event(s)\n")


def test_prune_tells_what_it_removed(audit: Audit) -> None:
    nothing = audit("audit", "prune", "--before", "2000-01-31T12:00:00+01:00")
    assert (nothing.code, nothing.out) == (0, "removed 0 stories, 0 event(s)\n")

    ahead = ["audit", "prune", "--before", "2999-01-01"]
    done = audit(*ahead, "--yes", "--actor", "keeper", "--json")

    assert (done.json["stories"], done.json["events"]) == (1, 2)
    assert audit("events", "ended").code == 1
    assert audit("audit", "verify").code == 0


def test_a_dry_run_shows_what_would_go_and_writes_nothing(audit: Audit) -> None:
    ahead = ["audit", "prune", "--before", "2999-01-01", "--dry-run"]
    before = audit("events", "ended", "--json").json_lines

    told = audit(*ahead)
    as_json = audit(*ahead, "--json")
    nothing = audit("audit", "prune", "--before", "2000-01-01", "--dry-run", "--json")

    assert (told.code, told.out.startswith("would remove 1 stories, 2 event(s), from ")) == (
        0,
        True,
    )
    assert as_json.json == {
        "stories": 1,
        "events": 2,
        "oldest": before[0]["occurred_at"],
        "newest": before[-1]["occurred_at"],
    }
    assert nothing.json == {"stories": 0, "events": 0, "oldest": None, "newest": None}
    assert audit("events", "ended", "--json").json_lines == before


def test_a_time_in_the_future_is_asked_about(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = ["audit", "prune", "--before", "2999-01-01"]

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    declined = audit(*ahead)
    assert (declined.code, "nothing was removed" in declined.err) == (2, True)
    assert audit("events", "ended").code == 0

    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert audit(*ahead).out == "removed 1 stories, 2 event(s)\n"


def test_a_script_that_names_a_time_in_the_future_is_told_what_goes(audit: Audit) -> None:
    done = audit("audit", "prune", "--before", "2999-01-01")

    assert (done.code, done.out) == (0, "removed 1 stories, 2 event(s)\n")
    assert "2999-01-01 lies in the future" in done.err
    assert "1 stories, 2 event(s)" in done.err


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("option", ["--before", "--since", "--until"])
def test_what_is_no_time_is_refused(audit: Audit, option: str) -> None:
    command = "prune" if option == "--before" else "export"
    done = audit("audit", command, option, "yesterday")

    assert (done.code, "'yesterday' is no time" in done.err) == (2, True)


def test_erase_prints_a_receipt(audit: Audit) -> None:
    done = audit("sessions", "erase", "live", "--actor", "officer", "--json")

    receipt = done.json
    assert (receipt["session_id"], receipt["was_live"], receipt["lives"]) == ("live", True, 1)
    assert (receipt["events"], receipt["signals"]) == (2, 0)
    assert audit("events", "live").code == 1
    story = audit("events", receipt["pseudonym"], "--json").json_lines
    assert [event["event"] for event in story] == [
        "session_started",
        "session_ended",
        "session_erased",
    ]
    assert (story[2]["actor"], story[2]["request_id"]) == ("officer", receipt["request_id"])
    assert audit("sessions", "list").out.count("live") == 0

    told = audit("sessions", "erase", "ended")
    assert told.code == 0
    assert "pseudonym     erased-" in told.out
    again = audit("sessions", "erase", "ended")
    assert (again.code, "erased before" in again.err) == (1, True)
    assert audit("audit", "verify").code == 0


def test_export_writes_a_file_and_tells_where_to_go_on(audit: Audit) -> None:
    file = audit.folder / "events.csv"
    done = audit("audit", "export", "--format", "csv", "--output", str(file))
    assert (done.out, done.err) == ("", "exported 3 event(s); continue with --after 3\n")
    assert file.read_bytes().count(b"\r\n") == 4

    parquet = audit.folder / "events.parquet"
    as_json = audit("audit", "export", "--format", "parquet", "--output", str(parquet), "--json")
    assert as_json.json == {"events": 3, "next_after": 3}
    assert parquet.read_bytes().startswith(b"PAR1")
    later = audit.folder / "later.jsonl"
    more = audit("audit", "export", "--after", "3", "--output", str(later), "--json")
    assert (more.json, later.read_bytes()) == ({"events": 0, "next_after": 3}, b"")
    assert sorted(path.name for path in audit.folder.glob("*unfinished*")) == []


def test_an_export_that_cannot_be_written_leaves_the_old_one(audit: Audit) -> None:
    folder = audit.folder / "no such folder" / "events"
    done = audit("audit", "export", "--output", str(folder))
    assert (done.code, "cannot be written" in done.err) == (2, True)


def test_export_goes_into_a_pipe(audit: Audit) -> None:
    with audit._program.process("audit", "export", "--json", database_url=audit.url) as process:
        out, err = process.communicate(timeout=30)

    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [line["event_id"] for line in lines] == [1, 2, 3]
    assert lines[1]["actor"] == "bob"
    assert json.loads(err) == {"events": 3, "next_after": 3}


def test_a_reader_that_goes_away_is_told_of_and_is_no_fault_of_the_database(audit: Audit) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "session_router", "audit", "export"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("Error: the export cannot be written: ")


def test_parquet_without_its_extra_names_the_remedy(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    done = audit("audit", "export", "--format", "parquet", "--output", "x")

    assert (done.code, "pip install 'session-router[parquet]'" in done.err) == (1, True)
    assert not (audit.folder / "x").exists()


def test_grants_are_printed_for_postgresql_alone(audit: Audit) -> None:
    done = audit("db", "grants", "--app", "app", "--reader", "audit or")
    if audit.url.startswith("sqlite"):
        assert (done.code, "SQLite has no roles" in done.err) == (2, True)
        return
    assert done.code == 0
    assert 'ON session_router.session_events TO "app";' in done.out
    assert "event_id" not in done.out
    assert 'GRANT USAGE ON SCHEMA session_router TO "audit or";' in done.out
    assert audit("db", "grants").code == 2


def test_audits_need_a_database_that_is_there(program: Program) -> None:
    for command in ("verify", "seals", "export"):
        done = program("audit", command, "--database-url", "sqlite:///nothing.db")
        assert (done.code, "db upgrade" in done.err) == (4, True)


def test_who_has_the_public_key_checks_what_is_signed(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = audit("audit", "public-key")
    assert (unset.code, "openssl rand -hex 32" in unset.err) == (2, True)
    assert audit("audit", "seal").code == 0
    monkeypatch.setenv("SESSION_ROUTER_SEAL_KEY", "6" * 64)
    public = audit("audit", "public-key").out.strip()
    as_json = audit("audit", "public-key", "--json").json
    assert as_json["public_key"] == public
    assert audit("sessions", "erase", "ended").code == 0
    assert audit("audit", "seal").code == 0
    monkeypatch.delenv("SESSION_ROUTER_SEAL_KEY")

    refused = audit("audit", "seal", key=None)
    assert (refused.code, "SESSION_ROUTER_SEAL_KEY" in refused.err) == (2, True)
    monkeypatch.setenv("SESSION_ROUTER_SEAL_PUBLIC_KEYS", public)
    done = audit("audit", "verify", "--whole", key=None)
    assert done.code == 0
    assert "1 seal(s), up to event 3, were not checked" in done.err
    assert audit("audit", "verify", "--json", key=None).json["unchecked_seals"] == 1
    assert audit("audit", "verify", "--whole").code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SESSION_ROUTER_SEAL_KEY", "no key of sixty-four digits"),
        ("SESSION_ROUTER_SEAL_PUBLIC_KEYS", "12345"),
        ("SESSION_ROUTER_FORMER_ERASURE_KEYS", "a short secret"),
    ],
)
def test_a_key_that_is_none_is_refused_by_its_name(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    done = audit("audit", "verify")
    assert (done.code, name in done.err) == (2, True)
    assert "PUBLIC" in name or value not in done.err
