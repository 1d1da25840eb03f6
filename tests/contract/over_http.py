"""Which of the contract's tests do not apply to a manager over HTTP, and why."""

from typing import Final

import pytest

_EVERY: Final = "*"

_NOT_OVER_HTTP: Final = {
    "the service sweeps, and not its clients": (
        "test_sweep::*",
        "test_own_timeouts::test_each_expires_at_its_own_time",
        "test_own_timeouts::test_a_sweep_goes_through_all_in_batches",
        "test_own_timeouts::test_a_session_that_is_touched_lives_on",
        "test_own_timeouts::test_the_worker_sweeps_them",
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
        "test_own_timeouts::test_a_stream_touches_its_session_by_the_sessions_own_timeout",
        "test_own_timeouts::test_a_timeout_that_the_touch_resolution_would_swallow_is_refused",
    ),
    "on whose behalf a client acts, its key tells": (
        "test_owners::test_another_owners_start_is_refused_and_writes_nothing",
        "test_owners::test_for_another_owner_a_session_does_not_live",
        "test_owners::test_its_owner_does_with_a_session_what_anybody_does",
        "test_owners::test_the_next_life_of_an_id_may_be_another_owners",
        "test_owners::test_lists_and_stops_of_many_are_of_one_owner",
        "test_owners::test_many_owners_at_once_each_get_their_own",
        "test_owners::test_a_stop_before_its_stream_hits_no_other_owners",
        "test_owners::test_a_stop_before_its_stream_on_nobodys_behalf_hits_it_whoever_owns_it",
        "test_repetitions::test_a_name_is_not_taken_for_another_request",
        "test_repetitions::test_what_another_owner_may_not_do_is_not_done_under_a_name",
        "test_repetitions::test_a_repetition_tells_nothing_of_the_next_owners_session",
        "test_repetitions::test_a_name_that_another_owners_request_had_tells_nothing_of_it",
    ),
    "the trail names the service's worker as the one that acted": (
        "test_events::test_session_events_name_the_worker_that_acted",
        "test_interrupts::test_the_trail_says_who_asked_and_why_and_joins_the_request_up",
        "test_sessions::test_an_ended_session_is_gone_and_its_trail_stays",
    ),
    "who begins something over HTTP, its key tells": (
        "test_events::test_what_begins_tells_who_asked_for_it",
        "test_events::test_who_begins_a_stream_asks_for_the_stop_of_those_in_its_way",
        "test_repetitions::test_a_repeated_start_does_not_replace_what_it_began",
    ),
    "an interrupt of many sessions is one request, which tells its end only": (
        "test_repetitions::test_an_interrupt_of_all_that_was_left_halfway_is_gone_on_with",
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
