"""The endpoint for Prometheus: real scrapes, typed; and the board's queries against them."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import COUNTS
from tests.cli.conftest import Cli, cli, curriculum, process
from tests.servers import RunningServer, redis_server

__all__ = ["cli", "curriculum"]  # fixtures

BOARD = Path(__file__).parents[2] / "docker" / "grafana" / "redis-curriculum.json"
_QUERY = re.compile(r"redis_curriculum_\w+")


@contextmanager
def endpoint(url: str, *words: object) -> Iterator[str]:
    """The command as a process; yields the address of its page."""
    serving = process("metrics", "--port", 0, *words, REDIS_CURRICULUM_URL=url)
    try:
        assert serving.stdout
        yield serving.stdout.readline().strip()
    finally:
        serving.terminate()
        serving.communicate(timeout=60)
    assert serving.returncode == 0


def scraped(address: str) -> dict[str, Any]:
    """The families of one scrape by name."""
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - it is ours
        text = answer.read().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(family: Any, **labels: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(value for key, value in sample.labels.items() if key not in labels): sample.value
        for sample in family.samples
        if labels.items() <= sample.labels.items()
    }


def test_a_scrape_says_what_the_readers_say(curriculum: Curriculum, url: str) -> None:
    hostile = 'a "quoted" \\ label 迷'
    curriculum.set_label(curriculum.task_ids()[0], hostile)
    name = curriculum.name
    with endpoint(url, name) as address:
        found = scraped(address)
        stats, labels = curriculum.stats(), curriculum.label_stats()
        assert found["redis_curriculum_up"].samples[0].value == 1
        for what in COUNTS:
            counter = found[f"redis_curriculum_{what}"]
            assert counter.type == "counter"
            assert counter.documentation
            total = sum(record.counters[what] for record in labels.values())
            assert samples(counter, curriculum=name) == {(): total}
            by_label = samples(found[f"redis_curriculum_label_{what}"], curriculum=name)
            assert by_label == {(n,): r.counters[what] for n, r in labels.items()}
        chances = samples(found["redis_curriculum_label_probability"], curriculum=name)
        assert chances[hostile,] == pytest.approx(labels[hostile].probability)
        assert sum(chances.values()) == pytest.approx(1.0)
        assert found["redis_curriculum_tasks"].type == "gauge"
        assert samples(found["redis_curriculum_tasks"]) == {(name,): stats["num_active_tasks"]}
        gini = samples(found["redis_curriculum_gini"], curriculum=name)
        assert gini["sampling_probs",] == pytest.approx(stats["gini/sampling_probs"])
        curriculum.get_task()
        more = samples(scraped(address)["redis_curriculum_samples"], curriculum=name)
        assert more[()] == stats["num_scheduled"] + 1


def test_all_curricula_and_the_labels_drawn_most(
    curriculum: Curriculum, url: str, name: str
) -> None:
    with (
        Curriculum.open(url, f"{name}-2", curriculum.config),
        endpoint(url, "--labels", 1) as address,
    ):
        found = scraped(address)
        both = {curriculum.name, f"{name}-2"}
        assert {key[0] for key in samples(found["redis_curriculum_tasks"])} >= both
        drawn = samples(found["redis_curriculum_label_samples"], curriculum=curriculum.name)
        counts = {n: r.counters["samples"] for n, r in curriculum.label_stats().items()}
        assert list(drawn.values()) == [max(counts.values())]


def test_every_query_of_the_board_asks_for_what_there_is(curriculum: Curriculum, url: str) -> None:
    board = json.loads(BOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) >= len(board["panels"]) >= 10
    with endpoint(url, curriculum.name) as address:
        found = scraped(address)
    names = {sample.name: family for family in found.values() for sample in family.samples}
    for expression in expressions:
        (name,) = _QUERY.findall(expression)
        assert name in names, expression
        family = names[name]
        assert (family.type == "counter") == ("rate(" in expression), expression
        labels = {key for sample in family.samples for key in sample.labels}
        asked = set(re.findall(r"[{,] ?(\w+)=~?\"", expression))
        assert asked <= labels, expression
        for key, values in re.findall(r"(\w+)=~\"([^\"]+)\"", expression):
            known = {sample.labels[key] for sample in family.samples}
            assert set(values.split("|")) <= known, expression
    legends = {
        (target["expr"], key)
        for panel in board["panels"]
        for target in panel["targets"]
        for key in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
    }
    for expression, key in legends:
        (name,) = _QUERY.findall(expression)
        assert all(key in sample.labels for sample in names[name].samples), expression


def test_a_server_that_goes_is_down_and_comes_back(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, endpoint(server.url) as address:
        assert scraped(address)["redis_curriculum_up"].samples[0].value == 1
        server.kill()
        assert scraped(address)["redis_curriculum_up"].samples[0].value == 0
        server.start()
        assert scraped(address)["redis_curriculum_up"].samples[0].value == 1


def test_a_port_in_use(cli: Cli, curriculum: Curriculum, server: RunningServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = cli("metrics", curriculum.name, "--port", port)
    assert (answer.code, answer.out) == (1, "")
    assert f"port {port} of 127.0.0.1 is in use: choose another" in answer.err
