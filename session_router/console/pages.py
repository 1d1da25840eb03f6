"""What is to be seen: the page, a session's page, and the parts of them that refresh themselves."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from session_router.access import Scope
from session_router.access.callers import Caller
from session_router.console.charts import charts_of
from session_router.console.lives import lives_of
from session_router.console.render import rendered
from session_router.console.requests import caller_of, number_of, served
from session_router.session import check_session_id
from session_router.watch import queries
from session_router.watch.records import AGES, Place, Wanted

_DEAD: Final = 20


async def index(request: Request) -> Response:
    """The page, whole but for the charts, which take longer."""
    caller = await caller_of(request, Scope.READ)
    watch = served(request).watch
    overview, streams, workers, dead = await asyncio.gather(
        watch.overview(caller.owner),
        streams_shown(request, caller, request.query_params),
        _workers_shown(request, caller),
        dead_shown(request, caller),
    )
    shown = {**who(caller), **streams, **workers, **dead}
    return rendered("index.html", overview=overview, **shown)


async def overview(request: Request) -> Response:
    """The strip."""
    caller = await caller_of(request, Scope.READ)
    found = await served(request).watch.overview(caller.owner)
    return rendered("overview.html", overview=found)


async def streams(request: Request) -> Response:
    """The list of streams; what narrows it down becomes part of the page's address."""
    caller = await caller_of(request, Scope.READ)
    shown = await streams_shown(request, caller, request.query_params)
    is_asked_for = request.headers.get("hx-source", "").startswith("form")
    headers = {"HX-Replace-Url": f"./?{shown['wanted'].query}"} if is_asked_for else {}
    return rendered("streams.html", headers=headers, **who(caller), **shown)


async def workers(request: Request) -> Response:
    """The workers."""
    caller = await caller_of(request, Scope.READ)
    return rendered("workers.html", **await _workers_shown(request, caller))


async def history(request: Request) -> Response:
    """The charts, and the workers that were lost."""
    caller = await caller_of(request, Scope.READ)
    of = served(request)
    series = await of.history.last_day(caller.owner)
    lost = [] if caller.owner else await of.watch.lost_workers()
    return rendered("history.html", **charts_of(series), **who(caller), lost=lost)


async def session(request: Request) -> Response:
    """A session's page."""
    caller = await caller_of(request, Scope.READ)
    shown = await session_shown(request, caller, request.query_params)
    return rendered("session.html", **who(caller), **shown)


async def story(request: Request) -> Response:
    """The part of a session's page that changes."""
    caller = await caller_of(request, Scope.READ)
    shown = await session_shown(request, caller, request.query_params)
    return rendered("story.html", **who(caller), **shown)


def who(caller: Caller) -> dict[str, Any]:
    """What every template may ask of the caller."""
    return {"caller": caller, "may_stop": Scope.OPERATE in caller.scopes}


async def streams_shown(
    request: Request, caller: Caller, given: Mapping[str, str]
) -> dict[str, Any]:
    """What the list of streams shows."""
    wanted = Wanted.of(given, caller.owner)
    after = given.get("after", "")
    page = await served(request).watch.streams(wanted, Place.read(after), queries.PAGE)
    return {"page": page, "wanted": wanted, "after": after, "ages": AGES}


async def _workers_shown(request: Request, caller: Caller) -> dict[str, Any]:
    """None to who may see one owner's sessions only: they are nobody's in particular."""
    return {"workers": None if caller.owner else await served(request).watch.workers()}


async def dead_shown(request: Request, caller: Caller) -> dict[str, Any]:
    """What hooks have given up; none to who may see one owner's sessions only, as above."""
    if caller.owner is not None:
        return {"dead": None}
    found = await served(request).hooks.dead(limit=_DEAD + 1)
    return {"dead": found[:_DEAD], "has_more_dead": len(found) > _DEAD}


async def session_shown(
    request: Request, caller: Caller, given: Mapping[str, str]
) -> dict[str, Any]:
    """What a session's page shows."""
    session_id = check_session_id(given.get("id", ""))
    before = number_of(given["before"], "before") if given.get("before") else None
    of = served(request)
    events, has_earlier = await of.watch.story(session_id, caller.owner, before)
    lines = await of.manager.repository.list_streams(session_id, caller.owner)
    return {
        "session_id": session_id,
        "streams": lines,
        "lives": lives_of(events),
        "before": before,
        "earlier": events[0].event_id if has_earlier else None,
    }
