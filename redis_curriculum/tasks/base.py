"""What the generators share: choices that depend on the task id alone.

A generator is a pure function of the task id: the same id gives the same label and params on every
machine, in every process, whatever ``PYTHONHASHSEED`` is. Random choices come from BLAKE2b of the
id and of the place of the choice in the generator, so that they are independent of each other and
never touch a shared stream.
"""

from __future__ import annotations

import hashlib

from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import validate_task_id
from redis_curriculum.tasks.task import TaskSpec


def bits_of(task_id: int, place: str) -> int:
    """128 uniform bits for one choice; ``place`` says which choice of which generator it is."""
    return int.from_bytes(hashlib.blake2b(f"{task_id}:{place}".encode(), digest_size=16).digest())


def uniform(bits: int) -> float:
    """The top 53 of 128 bits as a double in [0, 1)."""
    return (bits >> 75) * 2.0**-53


class BaseGenerator(FrozenModel):
    """What the generators below share: ``place`` tells a nested one where it stands."""

    def generate(self, task_id: int) -> TaskSpec:
        """Return the task of that id; a pure function of the id.

        Raises:
            InvalidInputError: ``task_id`` is not an integer in [0, 2**53).
            GeneratorError: A user's own generator is missing or cannot be built.
        """
        return self.make(validate_task_id(task_id), "")

    def make(self, task_id: int, place: str) -> TaskSpec:
        """Return the task of that id; ``place`` is the way here from the outermost generator."""
        raise NotImplementedError
