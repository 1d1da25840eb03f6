"""The project's pages, and what is in them: pieces of code, headings, links."""

import re
from pathlib import Path
from textwrap import dedent
from typing import Final

CHECKOUT: Final = Path(__file__).parents[2]
PAGES: Final = (
    "README.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in sorted(CHECKOUT.glob("docs/*.md"))),
)


def read(page: str) -> str:
    return (CHECKOUT / page).read_text()


def blocks(page: str, language: str) -> list[str]:
    """The page's pieces of code in a language, those in lists included."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", read(page), re.DOTALL | re.MULTILINE)
    return [dedent(block) for block in found]


def prose(page: str) -> str:
    """The page without its pieces of code."""
    text = re.sub(r"^ *```.*?^ *```$", "", read(page), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`", lambda code: code[0].replace("[", "").replace("]", ""), text)


def links(page: str) -> list[str]:
    """Where the page's links and pictures lead, other hosts left out."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in targets if "://" not in target]


def anchors(page: str) -> set[str]:
    """The anchors of the page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
