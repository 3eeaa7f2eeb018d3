"""The native vector wrapper around EnvPool's environments, and around one in JAX."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.envs import CurriculumNativeVectorEnv
from redis_curriculum.tasks import Buckets

pytestmark = pytest.mark.slow
SLOTS, STEPS = 8, 400


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_envpool(url: str, name: str) -> None:
    """What the pool plays cannot be set, so the tasks only name a slot's rule of control."""
    envpool = pytest.importorskip("envpool")
    balances = np.zeros(SLOTS, dtype=np.bool_)

    def apply_tasks(env: Any, indices: Any, tasks: Any) -> None:
        balances[indices] = [task.params["rule"] == "balance" for task in tasks]

    generator = Buckets(label="rule-{rule}", buckets={"rule": ["balance", "push"]})
    config = CurriculumConfig(
        task_generator=generator, num_active_tasks=16, score_range=(0.0, 500.0)
    )
    pool = envpool.make("CartPole-v1", env_type="gymnasium", num_envs=SLOTS, seed=1)
    with Curriculum.open(url, name, config) as curriculum:
        envs = CurriculumNativeVectorEnv(pool, curriculum, apply_tasks)
        seen, _ = envs.reset()
        ended = 0
        for _ in range(STEPS):
            before = balances.copy()
            right = ~balances | (seen[:, 2] > 0)
            seen, _, terminated, truncated, infos = envs.step(right.astype(np.int32))
            over = terminated | truncated
            ended += int(over.sum())
            for i in np.flatnonzero(over):
                rule = "balance" if before[i] else "push"
                assert infos["curriculum"]["params"][i] == {"rule": rule}
                assert infos["curriculum"]["return"][i] == infos["elapsed_step"][i]
        envs.close()
        assert curriculum.stats()["num_completed"] == ended > SLOTS
        means = {
            label: record.average_2 or 0.0 for label, record in curriculum.label_stats().items()
        }
        assert means["rule-balance"] > means["rule-push"]
        assert curriculum.check() == []


class State(NamedTuple):
    """Of all slots, arrays of shape (SLOTS,)."""

    place: Any
    length: Any
    coming: Any
    """The length of the next episode."""


def test_jax(url: str, name: str) -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    @jax.jit  # type: ignore[untyped-decorator]
    def advance(state: State) -> tuple[State, Any]:
        place = state.place + 1
        over = place >= state.length
        length = jnp.where(over, state.coming, state.length)
        return State(jnp.where(over, 0, place), length, state.coming), over

    class Walks:
        """Immutable arrays, reset within the step that ends an episode; no spaces."""

        def __init__(self) -> None:
            self.state = State(*(jnp.ones(SLOTS, int) for _ in range(3)))

        def reset(self) -> Any:
            self.state = State(jnp.zeros(SLOTS, int), self.state.coming, self.state.coming)
            return self.state.place, {}

        def step(self, _: Any) -> Any:
            self.state, over = advance(self.state)
            return self.state.place, jnp.ones(SLOTS), over, over & False, {}

    def apply_tasks(env: Walks, indices: Any, tasks: Any) -> None:
        lengths = np.array([task.params["length"] for task in tasks])
        env.state = env.state._replace(coming=env.state.coming.at[indices].set(lengths))

    generator = Buckets(label="length-{length}", buckets={"length": [3, 5, 8]})
    config = CurriculumConfig(task_generator=generator, num_active_tasks=16, score_range=(0.0, 8.0))
    with Curriculum.open(url, name, config) as curriculum:
        mode = AutoresetMode.SAME_STEP
        envs = CurriculumNativeVectorEnv(
            Walks(), curriculum, apply_tasks, num_envs=SLOTS, autoreset_mode=mode
        )
        envs.reset()
        ended = 0
        for _ in range(STEPS):
            _, _, over, _, infos = envs.step(None)
            ended += int(over.sum())
            for i in np.flatnonzero(over):
                told = infos["final_info"]["curriculum"]
                assert told["return"][i] == told["params"][i]["length"]
        envs.close()
        assert curriculum.stats()["num_completed"] == ended > SLOTS
        for label, record in curriculum.label_stats().items():
            assert record.completion_count
            assert record.average_2 == pytest.approx(int(label.split("-")[1]) / 8)
