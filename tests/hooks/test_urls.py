"""Hooks by requests: what is sent, signed, repeated, given up, and where it may go."""

import asyncio
from typing import Any

import pytest

from session_router import AgentId, InvalidValueError, SessionManager
from session_router.hooks import Hook, HookEvent, Hooks, HookStore, NewHook
from session_router.hooks.addresses import is_public
from tests.hooks.receiver import Receiver, receiving
from tests.support.trail import events
from tests.support.waiting import eventually

WRITER = AgentId("writer", "ann")
ALL = list(HookEvent)


async def added(store: HookStore, receiver: Receiver, *names: str, **given: Any) -> Hook:
    new = NewHook.to_url(receiver.url, names or ALL, allows_private=True, **given)
    return await store.put(new)


async def nothing_owed(store: HookStore) -> bool:
    return await store.owed() == 0


async def test_each_end_is_told_in_order_signed_and_in_full(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    async with receiving() as receiver:
        hook = await added(store, receiver)
        await manager.register_agent("chat/ü 1", WRITER)
        await manager.interrupt_streaming_agents("chat/ü 1", actor="bob", reason="it's <enough>")
        await manager.start_new_session("chat/ü 1")
        await manager.end_session("chat/ü 1")
        async with hooks:
            await eventually(lambda: nothing_owed(store))
        assert hook.secret is not None
        receiver.verify(hook.secret)
        trail = [e for e in await events(manager.repository) if e.event.replace("_", ".", 1) in ALL]
        assert [told["data"] for told in receiver.taken] == [
            event.model_dump(mode="json") for event in trail
        ]
        assert [told["type"] for told in receiver.taken] == [
            "stream.finished",
            "signal.settled",
            "session.replaced",
            "session.ended",
        ]
        assert receiver.ids == [f"event_{event.event_id}" for event in trail]
        headers, _ = receiver.requests[0]
        assert headers["content-type"] == "application/json"
        assert headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_a_hook_is_told_of_its_events_and_its_owners_sessions_only(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    async with receiving() as ends, receiving() as acmes:
        await added(store, ends, "session.ended")
        await added(store, acmes, owner="acme")
        for session_id, owner in (("a", "acme"), ("b", "other"), ("c", None)):
            await manager.register_agent(session_id, WRITER, owner=owner)
            await manager.end_session(session_id)
        async with hooks:
            await eventually(lambda: nothing_owed(store))
        assert sorted(told["data"]["session_id"] for told in ends.taken) == ["a", "b", "c"]
        assert {told["type"] for told in ends.taken} == {"session.ended"}
        assert {told["data"]["session_id"] for told in acmes.taken} == {"a"}
        assert len(acmes.taken) == 3


async def test_what_fails_is_told_again_under_the_same_id_and_holds_up_its_session_alone(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    async with receiving() as receiver:
        await added(store, receiver, "session.ended", "stream.finished")
        refused = iter([503, 302])
        receiver.answers = lambda told: (
            next(refused, 200) if told["data"]["session_id"] == "slow" else 200
        )
        for session_id in ("slow", "quick"):
            await manager.register_agent(session_id, WRITER)
            await manager.end_session(session_id)
        async with hooks:
            await eventually(lambda: nothing_owed(store))
        for session_id in ("slow", "quick"):
            told = [t["type"] for t in receiver.taken if t["data"]["session_id"] == session_id]
            assert told == ["stream.finished", "session.ended"]
        assert len(receiver.ids) - len(set(receiver.ids)) == 2


async def test_what_is_refused_to_the_last_is_dead_until_it_is_sent_again(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    async with receiving() as receiver:
        await added(store, receiver, "session.ended", "stream.finished")
        receiver.answers = lambda told: 500 if told["type"] == "stream.finished" else 200
        await manager.register_agent("s", WRITER)
        await manager.end_session("s")
        async with hooks:
            await eventually(lambda: nothing_owed(store))
            [dead] = await store.dead()
            assert (dead.session_id, dead.attempts) == ("s", 5)
            assert dead.last_error == "the answer was 500"
            # What comes behind it goes on.
            assert [told["type"] for told in receiver.taken] == ["session.ended"]
            receiver.answers = lambda told: 200
            assert await store.send_again([dead.delivery_id + 1]) == 0
            assert await store.send_again() == 1
            await eventually(lambda: len(receiver.taken) == 2)
            await eventually(lambda: nothing_owed(store))
        assert await store.dead() == []


async def test_a_receiver_that_is_away_is_told_when_it_is_back(
    manager: SessionManager, store: HookStore, hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as away:
        hook = await added(store, away, "session.ended")
    await manager.start_session("s")
    await manager.end_session("s")
    async with hooks:
        await eventually(lambda: "hook_failed" in caplog.text)
        async with receiving(away.port) as back:
            await eventually(lambda: nothing_owed(store))
            assert [told["data"]["session_id"] for told in back.taken] == ["s"]
    assert hook.url == away.url


async def test_a_private_address_is_not_asked_unless_that_was_allowed(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    async with receiving() as receiver:
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "0"):
            url = f"http://{host}:{receiver.port}/"
            await store.put(NewHook.to_url(url, ["session.ended"]))
        await manager.start_session("s")
        await manager.end_session("s")
        async with hooks:
            await eventually(lambda: nothing_owed(store))
        assert receiver.requests == []
        dead = await store.dead()
        assert len(dead) == 6
        assert all("private address" in each.last_error for each in dead)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),  # noqa: S104 - refused
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1"),
        *("::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b:1::1", "64:ff9b::a01:203", "ff02::1"),
    ],
)
def test_addresses_that_are_not_the_internets_are_private(address: str) -> None:
    assert not is_public(address)
    assert is_public("1.1.1.1")
    assert is_public("2606:4700:4700::1111")


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://example.com/", "http://", "http:///x", "https://user:pw@example.com/"),
        *("https://example.com/#a", "http://example.com:99999/", "http://exämple.com/"),
        *("http://a b/", "http://example.com/\r\nX: y", "https://example.com/" + "x" * 2_000),
    ],
)
def test_a_url_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(InvalidValueError, match="URL"):
        NewHook.to_url(url, ["session.ended"])


@pytest.mark.parametrize("names", [[], ["session.started"], ["session.ended", "x"]])
def test_events_that_are_none_are_refused(names: list[str]) -> None:
    with pytest.raises(InvalidValueError, match=r"give one or more of session\.ended"):
        NewHook.to_url("https://example.com/", names)


async def test_two_processes_tell_each_event_once(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    async with receiving() as receiver:
        await added(store, receiver, "session.ended")
        for number in range(60):
            await manager.start_session(f"s{number % 20}")
            await manager.end_session(f"s{number % 20}")
        other = Hooks(manager.repository.engine)  # type: ignore[attr-defined]
        async with hooks, other:
            await eventually(lambda: nothing_owed(store))
        assert len(receiver.taken) == 60
        assert len(set(receiver.ids)) == 60
        for number in range(20):
            told = [
                t["data"]["event_id"]
                for t in receiver.taken
                if t["data"]["session_id"] == f"s{number}"
            ]
            assert told == sorted(told)


async def test_a_hook_that_hangs_holds_up_no_other(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    gate = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    await store.put(NewHook.to_url(url, ["session.ended"], allows_private=True))
    async with receiving() as receiver:
        await added(store, receiver, "session.ended")
        async with hooks:
            for number in range(3):
                await manager.start_session(f"s{number}")
                await manager.end_session(f"s{number}")
                await eventually(lambda: len(receiver.taken) == number + 1)  # noqa: B023 - awaited at once
    gate.set()
    server.close()
