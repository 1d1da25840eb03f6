"""The changelog tells of every release, and of what comes."""

import re
import tomllib

from tests.docs.pages import CHECKOUT, read

KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_it_begins_with_what_comes_and_has_each_release() -> None:
    wheels = (CHECKOUT / "tests/releases").glob("*.whl")
    released = [wheel.name.split("-")[1] for wheel in wheels]
    coming, *told = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    dated = [re.fullmatch(r"\[([\d.]+)\] - \d{4}-\d\d-\d\d", heading) for heading in told]
    assert coming == "[Unreleased]"
    assert sorted(heading[1] for heading in dated if heading) == sorted(released)
    assert None not in dated


def test_what_comes_is_called_by_the_version_that_is_under_way() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    coming = read("CHANGELOG.md").split("\n## ")[1]
    assert f"will be {project['version']}" in coming


def test_its_changes_are_of_the_usual_kinds() -> None:
    assert set(re.findall(r"^### (.+)$", read("CHANGELOG.md"), re.MULTILINE)) <= KINDS
