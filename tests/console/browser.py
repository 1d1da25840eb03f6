"""Headless Chromium, and what a page told it."""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

_CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A browser; skips the test where there is none."""
    sys.path.append(os.environ.get("SESSION_ROUTER_TEST_BROWSER", ""))
    try:
        from playwright.async_api import async_playwright
    except ModuleNotFoundError:
        pytest.skip("playwright is not installed; `make console` does that")
    if _CHROMIUM is None:
        pytest.skip("there is no Chromium; install it, as by `apt-get install chromium`")
    async with async_playwright() as drivers:
        # Its sandbox cannot be had as root, as in a container.
        browser = await drivers.chromium.launch(
            executable_path=_CHROMIUM, chromium_sandbox=os.getuid() != 0
        )
        yield browser
        await browser.close()


@dataclass
class Person:
    """Somebody before a browser: cookies of their own, and a page.

    Attributes:
        complaints: what went wrong in the page, such as a script that the policy has refused.
        hosts: whom the page has asked for anything.
    """

    page: Any
    home: str
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def before(cls, browser: Any, home: str, **how: Any) -> AsyncIterator["Person"]:
        """Open a page that nothing is loaded in; in the end nothing must have gone wrong in it."""
        context = await browser.new_context(**how)
        person = cls(await context.new_page(), home)
        person.page.set_default_timeout(20_000)
        person._listen()
        yield person
        await context.close()
        assert person.complaints == []
        assert len(person.hosts) <= 1

    def _listen(self) -> None:
        def on_console(message: Any) -> None:
            # That an answer is 401 or 403 is said there, too; tests look at what the page shows.
            if message.type in ("error", "warning") and "status of 40" not in message.text:
                self.complaints.append(message.text)

        async def on_dialog(dialog: Any) -> None:
            self.complaints.append(f"dialog: {dialog.message}")
            await dialog.dismiss()

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", on_dialog)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    async def open(self, path: str = "") -> None:
        await self.page.goto(self.home + path)

    async def sign_in(self, token: str) -> None:
        await self.open()
        await self.page.get_by_label("Key").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_selector("#streams")

    def row(self, session_id: str) -> Any:
        """The row of a session's stream."""
        return self.page.locator("#streams tbody tr").filter(has_text=session_id)

    async def sees(self, selector: str, text: str) -> None:
        """Wait until it is there."""
        await self.page.locator(selector).filter(has_text=text).first.wait_for()

    async def is_too_wide(self) -> bool:
        """Whether the page has to be moved sideways."""
        wide: bool = await self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return wide
