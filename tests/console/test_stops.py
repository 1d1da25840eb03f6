"""What the console stops, for whom, and on whose word."""

from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys
from session_router.events import EventName
from tests.console.conftest import OURS, key_for, post, sign_in
from tests.support.trail import events


@pytest.fixture
async def stream_id(manager: SessionManager) -> UUID:
    return await manager.register_agent("s", AgentId("writer", "a"))


async def is_live(manager: SessionManager, session_id: str = "s") -> bool:
    return bool(await manager.repository.list_streams(session_id))


async def test_a_stop_answers_with_the_list_in_which_its_row_has_the_receipt(
    client: httpx.AsyncClient, manager: SessionManager, keys: Keys, stream_id: UUID
) -> None:
    await sign_in(client, await key_for(keys))
    answer = await post(
        client, "stop", session_id="s", stream_id=str(stream_id), reason="runs away"
    )
    assert answer.status_code == 200
    assert answer.headers["hx-trigger"] == "stopped"
    row = answer.text.partition(f'id="stream-{stream_id}"')[2].partition("</tr>")[0]
    for said in ("failed", "Ann on call", "runs away"):  # no runtime hosts it
        assert said in row
    assert not await is_live(manager)
    [asked] = await events(manager.repository, EventName.INTERRUPT_REQUESTED)
    assert (asked.actor, asked.detail) == ("Ann on call", "runs away")


async def test_a_stop_on_a_sessions_page_answers_with_its_story(
    client: httpx.AsyncClient, stream_id: UUID
) -> None:
    answer = await post(client, "stop", session_id="s", stream_id=str(stream_id), id="s")
    assert 'id="story"' in answer.text
    assert "interrupt requested" in answer.text


async def test_a_stream_that_has_ended_is_said_to_have_ended(
    client: httpx.AsyncClient, manager: SessionManager, stream_id: UUID
) -> None:
    await manager.unmark_agent_streaming("s", AgentId("writer", "a"), stream_id)
    answer = await post(client, "stop", session_id="s", stream_id=str(stream_id))
    assert "had ended already" in answer.text


async def test_all_that_match_are_counted_then_stopped_then_their_receipts_are_counted(
    client: httpx.AsyncClient, manager: SessionManager
) -> None:
    for name in ("a", "b", "c"):
        await manager.register_agent(name, AgentId("writer", "x"))
    await manager.register_agent("a", AgentId("reader", "x"))
    asked = await client.get("/console/stop-all?agent_type=writer")
    assert "Stop 3 streams in 3 sessions" in asked.text
    done = await post(client, "stop-all", agent_type="writer", reason="all of them")
    assert "3 told to stop" in done.text
    assert done.headers["hx-trigger"] == "stopped"
    left = [await manager.repository.list_streams(name) for name in ("a", "b", "c")]
    assert [[str(each.agent_id) for each in those] for those in left] == [["reader/x"], [], []]


async def test_the_beginning_of_an_id_is_nothing_to_stop_by(
    client: httpx.AsyncClient, manager: SessionManager, stream_id: UUID
) -> None:
    assert "By the beginning" in (await client.get("/console/stop-all?session=s")).text
    assert (await post(client, "stop-all", session="s")).status_code == 422
    assert await is_live(manager)


async def test_a_key_that_may_only_read_sees_no_button_and_stops_nothing(
    client: httpx.AsyncClient, manager: SessionManager, keys: Keys, stream_id: UUID
) -> None:
    await sign_in(client, await key_for(keys, ["read"]))
    page = (await client.get("/console/")).text
    assert "writer/a" in page
    assert "<button" in page  # to sign out
    assert 'class="stop"' not in page
    assert "stop-all" not in page
    for answer in (
        await post(client, "stop", session_id="s", stream_id=str(stream_id)),
        await post(client, "stop-all"),
        await client.get("/console/stop-all", headers=OURS),
    ):
        assert answer.status_code == 403
        assert answer.headers["hx-retarget"] == "#fault"
        assert "operate" in answer.text
    assert await is_live(manager)


async def test_a_key_that_may_not_read_is_told_so_and_can_sign_out(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    await sign_in(client, await key_for(keys, ["agent"]))
    page = await client.get("/console/")
    assert page.status_code == 403
    assert "read" in page.text
    assert 'hx-post="sign-out"' in page.text


@pytest.mark.parametrize(
    "change",
    [
        lambda sent: sent.pop("HX-Request"),
        lambda sent: sent.update({"Sec-Fetch-Site": "cross-site"}),
        lambda sent: sent.update({"Sec-Fetch-Site": "same-site"}),
        lambda sent: (sent.pop("Sec-Fetch-Site"), sent.update(Origin="https://evil.example")),
        lambda sent: (sent.pop("Sec-Fetch-Site"), sent.update(Origin="null")),
    ],
    ids=["no header of htmx", "another site", "a sibling", "another origin", "no origin"],
)
@pytest.mark.parametrize("path", ["stop", "stop-all", "sign-in", "sign-out"])
async def test_what_another_sites_page_sends_changes_nothing(
    client: httpx.AsyncClient,
    manager: SessionManager,
    stream_id: UUID,
    change: Callable[[dict[str, str]], object],
    path: str,
) -> None:
    sent = dict(OURS)
    change(sent)
    fields = {"session_id": "s", "stream_id": str(stream_id), "key": "x"}
    answer = await client.post(f"/console/{path}", data=fields, headers=sent)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert await is_live(manager)


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("stop", {}, 400),
        ("stop", {"session_id": "s", "stream_id": "x"}, 400),
        ("stop", {"session_id": "s" * 256, "stream_id": str(uuid4())}, 400),
        ("stop", {"session_id": "s", "stream_id": str(uuid4()), "reason": "r" * 2_001}, 400),
        ("stop-all", {"worker_id": "x"}, 400),
        ("stop-all", {"older_than": "-1"}, 400),
        ("stop-all", {"agent_type": "no type"}, 400),
    ],
)
async def test_fields_that_are_wrong_are_refused_in_words(
    client: httpx.AsyncClient, path: str, fields: dict[str, str], status: int
) -> None:
    answer = await post(client, path, None, **fields)
    assert (answer.status_code, answer.headers["hx-retarget"]) == (status, "#fault")


async def test_a_body_that_is_no_form_is_refused(client: httpx.AsyncClient) -> None:
    for body in (b"\xff", b"a=%ff", b"&".join([b"a=1"] * 100)):
        answer = await client.post("/console/stop", content=body, headers=OURS)
        assert answer.status_code == 422


async def test_a_key_with_an_owner_sees_and_stops_that_owners_only(
    client: httpx.AsyncClient,
    manager: SessionManager,
    repository: SQLAlchemySessionRepository,
    keys: Keys,
) -> None:
    mine = await manager.register_agent("mine", AgentId("writer", "a"), owner="acme")
    theirs = await manager.register_agent("theirs", AgentId("writer", "a"), owner="other")
    await sign_in(client, await key_for(keys, owner="acme"))
    for path in ("", "streams", "streams?owner=other", "streams?session=theirs"):
        assert "theirs" not in (await client.get(f"/console/{path}")).text.replace(
            'value="theirs"', ""
        )
    assert "mine" in (await client.get("/console/")).text
    assert "Workers" not in (await client.get("/console/workers")).text
    assert "Nothing is known" in (await client.get("/console/session?id=theirs")).text
    assert "1</dd>" in (await client.get("/console/overview")).text
    history = (await client.get("/console/history")).text
    assert "Streams at once" not in history
    assert "1 started" in history
    refused = await post(client, "stop", session_id="theirs", stream_id=str(theirs))
    assert refused.status_code == 404
    assert "Stop 1 stream in 1 session" in (await client.get("/console/stop-all?owner=other")).text
    assert "1 told to stop" in (await post(client, "stop-all", owner="other")).text
    assert not await is_live(manager, "mine")
    assert await is_live(manager, "theirs")
    page = (await client.get("/console/streams")).text
    assert str(mine) in page
    await manager.interrupt_streaming_agents("theirs")
    assert "theirs" not in (await client.get("/console/streams")).text
