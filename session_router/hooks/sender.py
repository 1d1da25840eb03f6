"""Sends what hooks are owed: POST, JSON, signed in the way of Standard Webhooks 1.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import json
from datetime import UTC, datetime
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
from standardwebhooks.webhooks import Webhook

from session_router.errors import SessionRouterError
from session_router.events import SessionEvent
from session_router.hooks.addresses import address_of
from session_router.hooks.hook import Delivery, HookEvent

_LIMIT_SEC: Final = 15.0
_PORTS: Final = {"http": 80, "https": 443}
_CONNECTIONS: Final = 32


class NotDeliveredError(SessionRouterError):
    """A receiver did not take what it was sent."""


class Sender:
    """Sends requests; an async context manager, for its connections."""

    def __init__(self) -> None:
        # Nothing of the environment: a proxy there would look up names of its own.
        self._client = httpx.AsyncClient(
            timeout=_LIMIT_SEC,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            headers={"User-Agent": "session_router"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, delivery: Delivery, event: SessionEvent) -> None:
        """Send an event to the URL of its hook.

        Raises:
            NotDeliveredError: the answer is none of success, or there is none in time.
            AddressRefusedError: the URL leads where it must not.
        """
        hook = delivery.hook
        assert hook.url is not None
        assert hook.secret is not None
        parts = urlsplit(hook.url)
        assert parts.hostname is not None
        port = parts.port or _PORTS[parts.scheme]
        address = await address_of(parts.hostname, port, allows_private=hook.allows_private)
        body, now = body_of(event), datetime.now(UTC)
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "webhook-id": message_id(event),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(hook.secret).sign(message_id(event), now, body),
        }
        url = httpx.URL(hook.url).copy_with(host=address)
        try:
            # The certificate has to be the host's, whose address alone is in the URL.
            answer = await self._client.post(
                url,
                content=body.encode(),
                headers=headers,
                extensions={"sni_hostname": parts.hostname},
            )
        except httpx.HTTPError as error:
            told = str(error) or type(error).__name__
            raise NotDeliveredError(f"no answer: {told}") from error
        if not answer.is_success:
            raise NotDeliveredError(f"the answer was {answer.status_code}")


def message_id(event: SessionEvent) -> str:
    """Names what is told; the same however often it is sent."""
    return f"event_{event.event_id}"


def body_of(event: SessionEvent) -> str:
    """The JSON of an event, as every hook of it is sent."""
    return json.dumps(
        {
            "type": HookEvent.of(event.event),
            "timestamp": event.occurred_at.isoformat().replace("+00:00", "Z"),
            "data": event.model_dump(mode="json"),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
