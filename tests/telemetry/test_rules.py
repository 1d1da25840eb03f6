"""The dashboard and the alert rules: Prometheus takes them, and all that they name is scraped."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.telemetry.metrics import Metrics

DOCS: Final = Path(__file__).parents[2] / "docs"
DASHBOARD: Final = DOCS / "grafana-dashboard.json"
ALERTS: Final = DOCS / "alerts.yml"
NAME: Final = re.compile(r"session_router_\w+")


def promtool(*arguments: str, given: str = "", cwd: Path | None = None) -> None:
    """There is no wheel of it: a developer without it is told so, but CI must have it."""
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is not installed; .ci/run installs it")
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [program, *arguments], input=given, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    """Those of the dashboard, with what Grafana puts in for its variables."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$job", "router")


@pytest.fixture
async def scrape(postgres_url: str) -> str:
    """A scrape of a service in which all that can happen has happened."""
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    async with SessionManager(repository) as manager:
        metrics = Metrics(manager)
        await metrics.refresh()
        for name in ("a", "b"):
            await manager.register_agent("s", AgentId("writer", name))
        await manager.interrupt_streaming_agents("s", [AgentId("writer", "a")])
        await metrics.refresh()
    content, _ = metrics.exposition("")
    await repository.close()
    return content.decode()


def test_prometheus_takes_the_scrape(scrape: str) -> None:
    promtool("check", "metrics", given=scrape)


def test_prometheus_takes_the_alert_rules() -> None:
    promtool("check", "rules", str(ALERTS))


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    for file in (ALERTS, Path(__file__).with_name("alerts_test.yml")):
        shutil.copy(file, tmp_path)
    promtool("test", "rules", "alerts_test.yml", cwd=tmp_path)


def test_prometheus_takes_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(expressions())]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_all_that_dashboard_and_rules_name_is_scraped_and_the_other_way_round(scrape: str) -> None:
    scraped = set(re.findall(r"^(session_router_\w+)", scrape, re.MULTILINE))
    families = set(re.findall(r"^# TYPE (session_router_\w+)", scrape, re.MULTILINE))
    asked = set(NAME.findall(" ".join(expressions())))
    alerts = {
        name
        for group in yaml.safe_load(ALERTS.read_text())["groups"]
        for rule in group["rules"]
        for name in NAME.findall(rule["expr"])
    }
    assert asked | alerts <= scraped
    seen = {family for family in families if any(name.startswith(family) for name in asked)}
    assert seen == families


def test_the_page_tells_of_each_metric(scrape: str) -> None:
    page = (DOCS / "metrics.md").read_text()
    families = re.findall(r"^# TYPE (session_router_\w+)", scrape, re.MULTILINE)
    assert set(re.findall(r"^\| `(session_router_\w+)", page, re.MULTILINE)) == set(families)


def test_each_panel_has_a_place_of_its_own_and_says_what_it_shows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        fields = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not fields & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        assert panel["description"]
        taken |= fields
