"""Wrappers in several processes on one curriculum: exact counts, whatever ends when."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

from redis_curriculum._protocol.keys import Keys
from redis_curriculum.envs import CurriculumEnv
from tests.envs.worlds import Walk, Watched, completions, config_of, samples
from tests.processes import all_together, in_background, in_processes
from tests.servers import RunningServer
from tests.whole import assert_whole

Reports = list[tuple[int, float]]


def play(curriculum: Watched, episodes: int) -> Reports:
    """Play through the wrapper, adding up the rewards beside it."""
    env = CurriculumEnv(Walk(), curriculum)
    played = []
    for i in range(episodes):
        env.reset()
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, info = env.step(i % 2)
            total, over = total + float(reward), terminated or truncated
            if over:
                assert info["curriculum"]["outcome"] == "applied"
                played.append((info["curriculum"]["task_id"], total))
    return played


def work(url: str, name: str, episodes: int) -> tuple[Reports, Reports]:
    with Watched.open(url, name) as curriculum:
        all_together()
        return play(curriculum, episodes), curriculum.reports


def test_four_processes(server: RunningServer, url: str, name: str) -> None:
    with Watched.open(url, name, config_of()) as curriculum:
        results = in_processes(work, [(url, name, 40)] * 4)
        for played, reported in results:
            assert played == reported, "one report an episode, in their order"
        counted = Counter(task_id for played, _ in results for task_id, _ in played)
        assert completions(curriculum) == dict(counted)
        for task_id in counted:
            record = curriculum.get_task_stats(task_id)
            assert record is not None
            scores = [s for played, _ in results for known, s in played if known == task_id]
            assert record.total_score == sum(scores), "sums of 64ths are exact"
        assert samples(curriculum) == 4 * 41
        assert_whole(server, curriculum)


def stop_in_mid_episode(url: str, name: str) -> None:
    with Watched.open(url, name) as curriculum:
        env = CurriculumEnv(Walk(), curriculum, apply_task=lambda env, task: env.set_task(LONG))
        env.reset()
        env.step(0)
        os.kill(os.getpid(), signal.SIGSTOP)


LONG = {"length": 1000, "reward": 0.0, "end": "goal"}


def test_a_worker_killed_in_mid_episode(server: RunningServer, url: str, name: str) -> None:
    with Watched.open(url, name, config_of()) as curriculum:
        process = in_background(stop_in_mid_episode, url, name)
        while not samples(curriculum):
            time.sleep(0.005)
        process.kill()
        process.join()
        played = play(curriculum, 30)
        assert sum(completions(curriculum).values()) == len(played) == 30
        assert samples(curriculum) == 32
        with server.client() as client:
            assert client.zcard(Keys(name).workers) <= 2, "its lease ends by itself"
        assert_whole(server, curriculum)
        assert curriculum.check() == []
