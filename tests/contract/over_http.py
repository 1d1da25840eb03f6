"""Which of the contract's tests do not apply to a manager over HTTP, and why."""

from typing import Final

import pytest

_EVERY: Final = "*"

_NOT_OVER_HTTP: Final = {
    "the service sweeps, and not its clients": (
        "test_sweep::*",
        "test_events::test_other_ends_of_a_session_tell_when_it_started_too[http-session_expired]",
        "test_saving::test_a_naive_time_that_was_assigned_does_not_upset_the_sweep",
        (
            "test_touch_resolution::"
            "test_a_session_whose_touches_were_not_written_lives_as_long_as_if_they_were"
        ),
    ),
    "the service goes by its own tuning": (
        "test_named_streams::test_a_stop_that_nobody_came_for_holds_no_longer_than_its_time",
        "test_touch_resolution::test_a_touch_within_the_resolution_of_the_last_one_only_reads",
    ),
    "the trail names the service's worker as the one that acted": (
        "test_events::test_session_events_name_the_worker_that_acted",
        "test_interrupts::test_the_trail_says_who_asked_and_why_and_joins_the_request_up",
        "test_sessions::test_an_ended_session_is_gone_and_its_trail_stays",
    ),
    "an interrupt of many sessions is one request, which tells its end only": (
        "test_interrupt_all::test_it_goes_from_batch_to_batch_and_tells_how_far_it_is",
    ),
    "signals that have not come when a client leaves are settled by the service": (
        "test_lifecycle::test_shutting_down_settles_the_workers_signals",
        "test_saving::test_deleting_a_session_ends_it_and_its_streams",
    ),
    "that another worker ended a stream of an agent is not told its client": (
        "test_delivery::test_a_newer_stream_that_another_worker_ended_shields_nobody",
    ),
}


def skip_where_it_cannot_apply(request: pytest.FixtureRequest) -> None:
    """Skip the test that asks, with the reason, where it is among these."""
    module, name = request.path.stem, request.node.originalname
    names = {f"{module}::{_EVERY}", f"{module}::{name}", f"{module}::{request.node.name}"}
    for reason, tests in _NOT_OVER_HTTP.items():
        if names.intersection(tests):
            pytest.skip(reason)
