"""Every link between the pages leads to what is there."""

import pytest

from tests.docs.pages import CHECKOUT, PAGES, anchors, links


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: str) -> None:
    folder = (CHECKOUT / page).parent
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else CHECKOUT / page
        assert target.is_relative_to(CHECKOUT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(f"{target.relative_to(CHECKOUT)}"), link


def test_the_readme_leads_to_every_page() -> None:
    assert {page for page in PAGES if page != "README.md"} <= set(links("README.md"))
