"""`/docs` tells all of the interface, and asks no other host for anything."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from docs import openapi
from session_router import InMemorySessionRepository, SessionManager
from session_router.http import create_app
from tests.http.conftest import client_of


class Page(HTMLParser):
    """What a browser would see and load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_is_whole_in_itself(memory: httpx.AsyncClient) -> None:
    answer = await memory.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    shown = Page(answer.text)
    assert not {"script", "link", "img", "iframe", "object"} & set(shown.tags)
    assert [link for link in shown.links if not link.startswith("#")] == ["openapi.json"]
    assert {link[1:] for link in shown.links if link.startswith("#")} <= set(shown.ids)
    [style] = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert "//" not in answer.text
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


async def test_the_page_tells_each_operation_parameter_answer_and_field(
    memory: httpx.AsyncClient,
) -> None:
    shown = Page((await memory.get("/docs")).text)
    openapi = (await memory.get("/openapi.json")).json()
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in shown.text
            assert operation["description"].replace("`", "") in shown.text
            assert operation["operationId"] in shown.ids
            if needed := " or ".join(each["key"][0] for each in operation.get("security", [])):
                assert f"Needs a key with the scope {needed}." in shown.text
            for parameter in operation.get("parameters", []):
                assert parameter["description"].replace("`", "") in shown.text
    for name, schema in openapi["components"]["schemas"].items():
        assert name in shown.ids
        for field in schema.get("properties", {}):
            assert field in shown.text


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect"])
async def test_no_other_page_is_served(memory: httpx.AsyncClient, path: str) -> None:
    assert (await memory.get(path)).status_code == 404


async def test_a_mounted_apps_page_leads_to_its_own_description() -> None:
    async with SessionManager(InMemorySessionRepository()) as manager:
        host = Starlette(routes=[Mount("/api", create_app(manager))])
        async with client_of(host) as client:
            page = await client.get("/api/docs")
            assert page.status_code == 200
            described = await client.get(str(page.url.join("openapi.json")))
            assert described.json()["info"]["title"] == "session_router"


def test_the_document_that_is_published_in_the_package_is_this_versions() -> None:
    """`make docs` writes it; clients are generated from it."""
    assert openapi.FILE.read_text() == openapi.document()
