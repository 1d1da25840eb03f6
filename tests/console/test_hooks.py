"""What hooks have given up: shown to who may see everything, and sent again."""

import httpx
import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys
from session_router.hooks import HookStore, NewHook
from tests.console.conftest import key_for, post, sign_in

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
async def store(manager: SessionManager, repository: SQLAlchemySessionRepository) -> HookStore:
    """With two deliveries that were given up."""
    store = HookStore(repository.engine)
    hook = await store.put(NewHook.to_url("https://example.com/", ["session.ended"]))
    for session_id in ("a", HOSTILE):
        await manager.start_session(session_id)
        await manager.end_session(session_id)
    for delivery in await store.claim(hook, 10):
        await store.failed(delivery, f"the answer was 500 {HOSTILE}", None)
    return store


async def test_they_are_on_the_page_and_nothing_of_them_is_markup(
    client: httpx.AsyncClient, keys: Keys, store: HookStore
) -> None:
    await sign_in(client, await key_for(keys, ["read"]))
    page = (await client.get("/console/")).text
    assert "the answer was 500" in page
    assert HOSTILE not in page
    assert "Send again" not in page  # it may only see


async def test_one_is_sent_again_or_all(
    client: httpx.AsyncClient, keys: Keys, store: HookStore
) -> None:
    await sign_in(client, await key_for(keys))
    first, second = await store.dead()
    left = await post(client, "send-again", delivery_id=str(first.delivery_id))
    assert left.status_code == 200
    assert f'id="delivery-{first.delivery_id}"' not in left.text
    assert f'id="delivery-{second.delivery_id}"' in left.text
    await post(client, "send-again")
    assert await store.dead() == []
    assert await store.owed() == 2
    assert "Not told" not in (await client.get("/console/hooks")).text


async def test_who_may_not_is_refused(
    client: httpx.AsyncClient, keys: Keys, store: HookStore
) -> None:
    for scopes, owner in ((["read"], None), (["read", "operate"], "acme")):
        await sign_in(client, await key_for(keys, scopes, owner=owner))
        assert (await post(client, "send-again")).status_code == 403
    assert "the answer was 500" not in (await client.get("/console/")).text
    await sign_in(client, await key_for(keys))
    for number in ("x", "-1", "9" * 30, "1.5", ""):
        assert (await post(client, "send-again", delivery_id=number)).status_code == 400
    away = await client.post("/console/send-again", headers={"Origin": "http://evil.example"})
    assert away.status_code == 403
    assert len(await store.dead()) == 2
