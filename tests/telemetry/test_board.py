"""The memory in which processes of one program show each other what they count."""

import itertools
import os
import signal

from session_router.telemetry.board import Board, Place


def test_each_place_has_what_was_shown_in_it_last() -> None:
    board = Board(3)
    for content in (b"a", b"bb", b"c"):
        board.show(0, content)
    board.show(2, b"z")
    assert [board.read(place) for place in range(3)] == [b"c", None, b"z"]
    assert board.read_all() == [b"c", b"z"]


def test_what_a_forked_process_shows_is_seen_and_stays() -> None:
    board = Board(2)
    place = Place(board, 1)
    pid = os.fork()
    if pid == 0:
        place.show(b"of the child")
        os._exit(0)
    os.waitpid(pid, 0)
    assert place.read() == b"of the child"


def test_what_is_read_is_whole_also_while_it_is_written_and_when_its_writer_is_killed() -> None:
    board = Board(1)
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            for number in itertools.count(1):
                board.show(0, b"%d" % (number % 10) * 300_000)
        seen: set[bytes] = set()
        while len(seen) < 4:
            content = board.read(0)
            if content is not None:
                assert len(content) == 300_000
                assert len(set(content)) == 1
                seen.add(content[:1])
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        left = board.read(0)
        assert left is not None
        assert len(set(left)) == 1
