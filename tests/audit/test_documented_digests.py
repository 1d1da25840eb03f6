"""Digests and signatures made anew as docs/audit.md tells, with nothing of ours but the tables."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.engine import make_url

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.audit.erasure import erase
from session_router.audit.keys import AuditKeys, PrivateKey
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.pseudonyms import ErasureKey
from tests.audit.test_signed_seals import soon

DOCS: Final = (Path(__file__).parents[2] / "docs/audit.md").read_text()
COLUMNS: Final = re.search(r"COPY \(SELECT (session_uid,[\w\s,]*erased) FROM", DOCS)
PRIVATE: Final = PrivateKey("7" * 64)
S: Final = "session_router"


@pytest.fixture
async def url(postgres_url: str) -> str:
    """A trail with two seals, in which a story was erased, and one was pruned."""
    keys = AuditKeys(ErasureKey("a key of the auditor's reader"[:32] + "..."), PRIVATE)
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    manager = SessionManager(repository)
    async with Trail.opened(postgres_url) as trail:
        for name in ("one\ttab", "two\\", "three"):
            await manager.start_session(name)
            if name != "three":
                await manager.end_session(name, actor="bob\nb", reason="ü")
        await seal(trail, keys)
        await manager.end_session("three", actor="eve")
        await seal(trail, keys)
        assert await erase(trail, "one\ttab", keys) is not None
        assert await erase(trail, "three", keys) is not None
        await prune(trail, soon(), keys)
        await manager.start_session("four")
        await seal(trail, keys)
        assert await erase(trail, "four", keys) is not None
    await repository.close()
    return make_url(postgres_url).set(drivername="postgresql").render_as_string(False)


async def lines_of(session: Any, first: int, last: int) -> list[bytes]:
    assert COLUMNS is not None
    copied = bytearray()

    async def keep(chunk: bytes) -> None:
        copied.extend(chunk)

    await session.copy_from_query(
        f"SELECT {COLUMNS[1]} FROM {S}.session_events WHERE event_id BETWEEN {first} AND {last} "
        "ORDER BY event_id",
        output=keep,
    )
    return bytes(copied).split(b"\n")[:-1]


async def story_digests(session: Any, lines: list[bytes]) -> dict[str, tuple[int, str]]:
    found = {}
    for uid, events in Counter(line.split(b"\t")[0].decode() for line in lines).items():
        salt = await session.fetchval(
            f"SELECT salt FROM {S}.story_salts WHERE session_uid = $1", uid
        )
        of_story = [line for line in lines if line.startswith(uid.encode())]
        found[uid] = (events, hashlib.sha256(b"\n".join([salt.encode(), *of_story])).hexdigest())
    return found


async def as_sealed(
    session: Any, seal_id: int, found: dict[str, tuple[int, str]]
) -> dict[str, tuple[int, str]]:
    changes = await session.fetch(f"SELECT * FROM {S}.sealed_changes WHERE seal_id = $1", seal_id)
    then: dict[str, tuple[int, str] | None] = {**found}
    left = list(changes)
    while step := next(
        (
            row
            for row in left
            if row["digest_after"] == (then.get(str(row["session_uid"])) or (0, None))[1]
        ),
        None,
    ):
        left.remove(step)
        then[str(step["session_uid"])] = (step["events"], step["digest"])
    assert left == []
    return {uid: portion for uid, portion in then.items() if portion is not None}


def check(signature: str, told: list[object]) -> None:
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(PRIVATE.public.text))
    public.verify(bytes.fromhex(signature), json.dumps(told).encode())


async def test_each_digest_and_signature_is_as_the_documentation_says(url: str) -> None:
    session = await asyncpg.connect(url, server_settings={"timezone": "UTC", "datestyle": "ISO"})
    seals = await session.fetch(f"SELECT * FROM {S}.audit_seals ORDER BY seal_id")
    changes = await session.fetch(f"SELECT * FROM {S}.sealed_changes")
    assert (len(seals), len(changes) > 3) == (3, True)
    link = ""
    for each in seals:
        lines = await lines_of(session, each["first_event_id"], each["last_event_id"])
        stories = await as_sealed(session, each["seal_id"], await story_digests(session, lines))
        told = "".join(f"{uid} {n} {digest}\n" for uid, (n, digest) in sorted(stories.items()))
        assert each["digest"] == f"2:{hashlib.sha256(told.encode()).hexdigest()}"
        assert each["events"] == sum(events for events, _ in stories.values())
        names = ("digest", "events", "first_event_id", "key_id", "last_event_id", "seal_id")
        moment = each["sealed_at"].isoformat(timespec="microseconds")
        check(each["chain"], [link, *(each[name] for name in names), moment])
        link = each["chain"]
    by_id = {each["seal_id"]: each["digest"] for each in seals}
    for row in changes:
        told_of_it = [row["seal_id"], by_id[row["seal_id"]], str(row["session_uid"])]
        digests = [row["events"], row["digest"], row["digest_after"], str(row["request_id"])]
        check(row["signature"], ["change", *told_of_it, *digests])
    await session.close()
