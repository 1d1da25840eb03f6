"""`--json`: every command that prints rows or facts has it."""

import json

import pytest

from tests.cli.program import Program
from tests.cli.test_helps import GROUPS, every_command

WITHOUT = {
    "serve": "it goes on, and tells by its log; SESSION_ROUTER_LOG_FORMAT=json is for that",
    "db sql": "it prints SQL, for psql to read",
    "db grants": "it prints SQL, for psql to read",
}
"""The commands that have no --json, and why."""

LISTINGS = [
    *("report sessions", "report live", "report backlog", "report concurrency"),
    *("workers", "sessions list", "events --since 1h", "top --once", "db history", "db current"),
    *("db check", "audit verify", "audit seals", "keys list", "hooks list", "hooks dead"),
]


def test_every_command_that_prints_rows_or_facts_has_it(program: Program) -> None:
    lacking = {
        " ".join(command)
        for command, _ in every_command(program)
        if " ".join(command) not in GROUPS and "--json" not in program(*command, "--help").out
    }

    assert lacking == set(WITHOUT)


@pytest.mark.parametrize("listing", LISTINGS)
def test_what_looks_prints_documents_and_nothing_else(
    program: Program, database_url: str, listing: str
) -> None:
    done = program(*listing.split(), "--json", "--database-url", database_url)

    assert done.code == 0
    for line in done.out.splitlines():
        assert isinstance(json.loads(line), dict | list)


def test_a_report_as_json_is_the_same_either_way(program: Program, database_url: str) -> None:
    by_format = program("report", "backlog", "--format", "json", "--database-url", database_url)
    by_option = program("report", "backlog", "--json", "--database-url", database_url)

    assert len(by_option.json_lines) == len(by_format.json_lines) > 1
    assert by_option.json_lines[0].keys() == by_format.json_lines[0].keys()


def test_a_report_is_not_json_and_csv_at_once(program: Program) -> None:
    done = program("report", "backlog", "--json", "--format", "csv")

    assert (done.code, done.out) == (2, "")
    assert "--format csv" in json.loads(done.err)["error"]["message"]


def test_errors_are_json_however_that_was_asked_for(program: Program) -> None:
    for asked in (["--json"], ["--format", "json"], ["--format", "json", "--json"]):
        done = program("report", "live", *asked)
        assert done.code == 4
        assert json.loads(done.err)["error"]["exit_code"] == 4


def test_what_is_done_to_hooks_is_told_as_json(program: Program, database_url: str) -> None:
    database = ("--json", "--database-url", database_url)
    made = program(
        "hooks", "add", "https://example.com", "--event", "session.ended", *database
    ).json
    again = program("hooks", "send-again", *database)
    removed = program("hooks", "remove", made["hook_id"], *database)

    assert again.json == {"to_be_sent_again": 0}
    assert removed.json == {"removed": made["hook_id"]}
