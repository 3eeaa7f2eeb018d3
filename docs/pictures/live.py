"""Take the pictures of ``top`` and of the dashboard: python docs/pictures/live.py (two minutes).

A curriculum of eight labels is played by two simulated agents that learn some labels sooner than
others. Needs the extras dashboard, demo and top, Playwright, and a Chromium on PATH.
"""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.cli.session import session
from redis_curriculum.cli.top_app import Top
from redis_curriculum.reporting.view import Reader, view
from redis_curriculum.tasks import Buckets

HERE = Path(__file__).parent
NAME = "mazes"
SECONDS = 60.0
FAILING = 0.02
SIZES = (5, 7, 9, 11, 13, 15, 17, 19)
_MOST_PROBABLE = """() => {
  const model = Bokeh.documents[0].get_model_by_name("pool")
  const view = Bokeh.index.find_one_by_id(model.id)
  const source = model.renderers[0].data_source
  const of = (name) => Array.from(source.get_column(name))
  const at = of("y").findIndex((y, i) => y > 0.3 && y < 0.7 && of("size")[i] > 5)
  const box = view.el.getBoundingClientRect()
  const x = view.frame.x_scale.compute(of("x")[at])
  return [box.left + x, box.top + view.frame.y_scale.compute(of("y")[at])]
}"""


def play(url: str, seed: int, over: threading.Event) -> None:
    """Play as one agent: what it can do grows with its episodes, the smallest mazes first."""
    rng, episodes = random.Random(seed), 0
    with Curriculum.open(url, NAME) as curriculum:
        while not over.is_set():
            tasks = curriculum.get_tasks(8)
            episodes += len(tasks)
            skill = 4 + 18 * (1 - math.exp(-episodes / 4000))
            results = []
            for task in tasks:
                chance = 1 / (1 + math.exp(task.params["size"] - skill))
                results.append((task.task_id, float(rng.random() < chance)))
            curriculum.update_many(results)
            if rng.random() < FAILING:
                curriculum.report_failure(tasks[0].task_id, "the maze has no way out")
            over.wait(0.05)


def picture_of_top(url: str) -> None:
    """Write what a terminal of 100 by 26 shows."""

    async def run(app: Top) -> None:
        async with app.run_test(size=(100, 26)) as pilot:
            await pilot.pause(20)
            (HERE / "top.svg").write_text(app.export_screenshot(), encoding="utf-8")

    with session(url) as server, session(url) as beside:
        reader = Reader(lambda: server.store(NAME), server.run)
        details = Reader(lambda: beside.store(NAME), beside.run)
        first = reader.read(view)
        where = "redis://redis.lab:6379/0"
        app = Top(NAME, where, reader=reader, details=details, first=first, interval_s=1.0)
        asyncio.run(run(app))


def picture_of_dashboard(url: str) -> None:
    """Write a full page of 1500 pixels, in 160 colours: the file stays small."""
    command = [sys.executable, "-m", "redis_curriculum", "dashboard", NAME, "--port", "0"]
    with subprocess.Popen([*command, "--url", url], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None  # noqa: S101 - a pipe was asked for
        where = running.stdout.readline().strip()
        with sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1500, "height": 900})
            page.set_default_timeout(90_000)
            page.goto(where)
            page.locator("text=episodes/s").first.wait_for()
            page.wait_for_timeout(3000)
            page.mouse.click(*page.evaluate(_MOST_PROBABLE))
            page.wait_for_timeout(5000)
            shot = page.screenshot(full_page=True)
            browser.close()
        running.terminate()
    with Image.open(BytesIO(shot)) as image:
        small = image.convert("RGB").quantize(160, dither=Image.Dither.NONE)
        small.save(HERE / "dashboard.png", optimize=True)


def main() -> None:
    """Play, and take both pictures."""
    serve = [sys.executable, "-m", "redis_curriculum", "serve"]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)  # ends after this process
    assert server.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        url = server.stdout.readline().strip()
        generator = Buckets(
            label="maze-{size}", buckets={"size": list(SIZES), "seed": list(range(100))}
        )
        config = CurriculumConfig(task_generator=generator, num_active_tasks=400, seed=1)
        over = threading.Event()
        with Curriculum.open(url, NAME, config) as trainer:
            agents = [threading.Thread(target=play, args=(url, seed, over)) for seed in (1, 2)]
            for agent in agents:
                agent.start()
            try:
                for step in range(1, 5):
                    time.sleep(SECONDS / 4)
                    trainer.end_epoch(step=50_000 * step)
                picture_of_dashboard(url)
                picture_of_top(url)
            finally:
                over.set()
                for agent in agents:
                    agent.join()
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
