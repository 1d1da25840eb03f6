"""What the program says of its commands, asks about near misses, and completes in a shell."""

from collections.abc import Iterator

import pytest

from session_router.access import Scope
from session_router.audit.formats import Format
from session_router.cli.words import (
    EXPORT_FORMATS,
    HOOK_EVENTS,
    REPORT_NAMES,
    SCOPES,
    STREAM_OUTCOMES,
)
from session_router.events import StreamOutcome
from session_router.hooks import HookEvent
from session_router.reports import REPORTS
from session_router.settings import DEFAULT_DATABASE_URL, Settings
from tests.cli.program import Program

GROUPS = ("db", "sessions", "audit", "keys", "hooks")


@pytest.fixture
def program(program: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program at a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return program


def listed(program: Program, *group: str) -> dict[str, str]:
    """The commands of a group, each with what the list says of it."""
    lines = program(*group, "--help").out.splitlines()
    commands = lines[lines.index("Commands:") + 1 :]
    end = commands.index("") if "" in commands else len(commands)
    assert all(line.startswith("  ") and line[2] != " " for line in commands[:end]), commands
    rows = (line.split(maxsplit=1) for line in commands[:end])
    return {row[0]: row[1] for row in rows}


def every_command(program: Program) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command as it is called, and what the lists say of it."""
    for name, said in listed(program).items():
        yield (name,), said
    for group in GROUPS:
        for name, said in listed(program, group).items():
            yield (group, name), said


def test_every_command_is_listed_by_a_whole_sentence_on_one_line(program: Program) -> None:
    commands = dict(every_command(program))

    assert len(commands) == 37
    assert [said for said in commands.values() if not said.endswith(".") or "..." in said] == []


def test_the_help_of_each_command_begins_with_what_the_list_says(program: Program) -> None:
    for command, said in every_command(program):
        text = program(*command, "--help").out.split("\n\n")[1]
        assert " ".join(text.split()).startswith(said), command


def test_no_help_is_wider_than_the_terminal(program: Program) -> None:
    for command, _ in every_command(program):
        assert max(map(len, program(*command, "--help").out.splitlines())) <= 80, command


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("sessions interupt x", "No such command 'interupt'. Did you mean 'interrupt'?"),
        ("interrupt x", " sessions interrupt'?"),
        ("interupt x", " sessions interrupt'?"),
        ("audit upgrade", " db upgrade'?"),
        ("revoke x", " keys revoke'?"),
        ("sesions list", "Did you mean 'sessions'?"),
        ("evnts x", "Did you mean 'events'?"),
        ("list", " sessions list' or "),
        ("report streams --formt csv", "--format"),
        ("report strems", "Did you mean 'streams'?"),
        ("report streams --format jsn", "Did you mean 'json'?"),
        ("audit export --format parket", "Did you mean 'parquet'?"),
        ("keys create x --scope raed", "Did you mean 'read'?"),
        ("hooks add https://example.com --event session.end", "Did you mean 'session.ended'?"),
    ],
)
def test_a_near_miss_is_asked_about(program: Program, given: str, asked: str) -> None:
    done = program(*given.split())

    assert (done.code, done.out) == (2, "")
    assert asked in done.err


def test_what_is_asked_about_is_the_whole_call(program: Program) -> None:
    done = program.run_process("interrupt", "x")

    asked = "Did you mean 'python -m session_router sessions interrupt'?"
    assert done.err.endswith(f"Error: No such command 'interrupt'. {asked}\n")


@pytest.mark.parametrize("given", ["frobnicate", "sessions \x1b[2J", "-x"])
def test_what_is_near_nothing_is_only_refused(program: Program, given: str) -> None:
    done = program(*given.split())

    assert (done.code, done.out) == (2, "")
    assert "Did you mean" not in done.err
    assert done.err.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("session-router ", ["serve", "events", "report", "sweep", "top", "workers", *GROUPS]),
        ("session-router se", ["serve", "sessions"]),
        ("session-router sessions e", ["end", "erase"]),
        ("session-router report ", [*REPORT_NAMES]),
        ("session-router report a", ["agents", "activity"]),
        ("session-router report streams --format ", ["table", "csv", "json"]),
        ("session-router report streams --s", ["--since", "--session"]),
        ("session-router audit export --format ", [*Format]),
        ("session-router keys create x --scope ", [*Scope]),
        ("session-router hooks add https://example.com --event session.e", [*HookEvent][:2]),
    ],
)
def test_the_shell_completes_words_without_a_database(
    program: Program, monkeypatch: pytest.MonkeyPatch, typed: str, words: list[str]
) -> None:
    monkeypatch.setenv("_SESSION_ROUTER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    script = (
        "import sys; sys.argv = ['session-router']; from session_router.cli import main; main()"
    )
    done = program.run_script(script, database_url="postgresql://nobody@127.0.0.1:1/nothing")

    assert (done.code, done.err) == (0, "")
    assert done.out.split() == words


def test_the_words_of_options_are_those_that_are_understood() -> None:
    assert (*REPORTS, "concurrency") == REPORT_NAMES
    assert tuple(Format) == EXPORT_FORMATS
    assert tuple(Scope) == SCOPES
    assert tuple(StreamOutcome) == STREAM_OUTCOMES
    assert tuple(HookEvent) == HOOK_EVENTS


def test_the_defaults_that_helps_tell_are_those_of_the_settings(program: Program) -> None:
    wait = f"{Settings.model_construct().settled_within_sec:g}, by their defaults"
    told = " ".join(program("sessions", "interrupt", "--help").out.split())

    assert wait in told
    assert f"or else {DEFAULT_DATABASE_URL} in this folder" in told
