"""What a browser shows agrees with what Redis holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from redis_curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from redis_curriculum.tasks import Buckets
from tests.cli.conftest import Cli, cli
from tests.cli.test_acl import admit
from tests.dashboard.conftest import dashboard, head
from tests.servers import RunningServer, redis_server

__all__ = ["cli"]

HTML = "<img src=x onerror=alert(1)>"
Look = Callable[..., Page]

_COLUMN = """([name, field]) => {
  const model = Bokeh.documents[0].get_model_by_name(name)
  const source = model.source ?? model.renderers[0].data_source
  return Array.from(source.get_column(field))
}"""
_PLACE = """(task) => {
  const model = Bokeh.documents[0].get_model_by_name("pool")
  const view = Bokeh.index.find_one_by_id(model.id)
  const source = model.renderers[0].data_source
  const at = Array.from(source.get_column("task")).indexOf(task)
  const box = view.el.getBoundingClientRect()
  const x = view.frame.x_scale.compute(source.get_column("x")[at])
  const y = view.frame.y_scale.compute(source.get_column("y")[at])
  return [box.left + x, box.top + y]
}"""


def column(page: Page, name: str, field: str) -> list[Any]:
    """A column of a part's data, as the browser has it."""
    found: list[Any] = page.evaluate(_COLUMN, [name, field])
    return found


def until(page: Page, true: Callable[[], object]) -> None:
    """Wait until something is so."""
    for _ in range(900):
        if true():
            return
        page.wait_for_timeout(100)
    pytest.fail(page.inner_text("body"))


def played(url: str, name: str) -> Curriculum:
    """A curriculum with two labels, one of which is HTML, and results."""
    generator = Buckets(label="{kind}", buckets={"kind": [HTML, "plain"]})
    config = CurriculumConfig(
        task_generator=generator, num_active_tasks=12, seed=3, algorithm=LearningProgressConfig()
    )
    opened = Curriculum.open(url, name, config)
    for i in range(20):
        opened.update_many([(task_id, i / 20) for task_id in opened.task_ids()[:8]])
    return opened


@pytest.mark.slow
def test_a_page_agrees_with_redis_and_follows_it(url: str, name: str, look: Look) -> None:
    """Numbers, a label that is HTML, a click on a task, an update that arrives, two browsers."""
    with played(url, name) as curriculum, dashboard(url, name) as where:
        page, other = look(where), look(where)
        for each in (page, other):
            head(each, "12 of 12 tasks, 2 labels, 1 workers, epoch 0")
        records = curriculum.label_stats()
        assert column(page, "labels", "label") == list(records)
        chances = [record.probability for record in records.values()]
        assert column(page, "labels", "probability") == pytest.approx(chances)
        shown = page.locator(f"text={HTML}").first
        shown.wait_for()
        percent = f"{100 * records[HTML].probability:.2f}%"
        assert percent in page.locator(".slick-row", has_text=HTML).first.inner_text()
        assert page.locator("img").count() == 0
        table = curriculum.records()
        assert column(page, "pool", "task") == [str(task_id) for task_id in table["task_id"]]
        assert column(page, "pool", "probability") == pytest.approx(table["probability"].tolist())
        task_id = int(table["task_id"][list(table["completion_count"]).index(20)])
        page.evaluate("document.querySelectorAll('section')[5].scrollIntoView({block: 'center'})")
        page.mouse.click(*page.evaluate(_PLACE, str(task_id)))
        page.locator("text=sample_count").first.wait_for()
        chosen = int(page.locator("tr", has_text="task_id").first.inner_text().split()[-1])
        record = curriculum.get_task_stats(chosen)
        assert record is not None
        curriculum.report_failure(chosen, "<b>broken</b>")
        for each in (page, other):
            until(each, lambda each=each: sum(column(each, "labels", "failures")) == 1)  # type: ignore[misc]
        page.locator("text=<b>broken</b>").first.wait_for()
        assert "failed" in column(other, "events", "event")
        curriculum.end_epoch(step=7000)
        until(page, lambda: column(page, "epochs", "step") == ["7,000"])
        head(page, "epoch 1")


@pytest.mark.slow
def test_the_server_goes_away_and_comes_back(
    tmp_path: Path, url: str, name: str, look: Look
) -> None:
    with played(url, name) as curriculum:
        curriculum.snapshot(tmp_path / "a.rcs")
    with redis_server(tmp_path, config=("--appendonly", "yes")) as server:
        Curriculum.restore(tmp_path / "a.rcs", server.url, name).close()
        with dashboard(server.url, name) as where:
            page = look(where)
            head(page, "12 of 12 tasks")
            server.kill()
            head(page, "no reading since")
            server.start()
            head(page, "12 of 12 tasks")
            page.locator("text=all curricula").first.click()
            page.locator(f"a:has-text('{name}')").click()
            head(page, "12 of 12 tasks")


@pytest.mark.slow
def test_settings_change_only_where_that_is_allowed(url: str, name: str, look: Look) -> None:
    with played(url, name) as curriculum:
        with dashboard(url, name) as where:
            page = look(where)
            head(page, "12 of 12 tasks")
            assert page.locator("button:has-text('set')").count() == 0
        with dashboard(url, name, "--allow-changes") as where:
            page = look(where)
            head(page, "12 of 12 tasks")
            page.locator("select").select_option("events_retained")
            before = curriculum.config.events_retained
            box = page.locator("section:has-text('settings') input").first
            until(page, lambda: box.input_value() == str(before))
            box.fill("nonsense")
            box.press("Enter")
            page.locator("button:has-text('set')").first.click()
            page.locator("text=events_retained must be").first.wait_for()
            box.fill("777")
            box.press("Enter")
            page.locator("button:has-text('set')").first.click()
            until(page, lambda: stored(curriculum, "events_retained") == 777)
            page.locator(f"button:has-text('back to {before}')").click()
            until(page, lambda: stored(curriculum, "events_retained") == before)


def stored(curriculum: Curriculum, field: str) -> Any:
    curriculum.labels()  # whose answer brings new settings
    return getattr(curriculum.config, field)


@pytest.mark.slow
def test_a_viewer_may_look(
    cli: Cli, url: str, name: str, server: RunningServer, look: Look
) -> None:
    with played(url, name):
        line = cli("acl", name, "--json").json["viewer"]
        try:
            with dashboard(admit(server, line), name) as where:
                head(look(where), "12 of 12 tasks")
        finally:
            with server.client() as client:
                client.acl_deluser(line.split()[2])
