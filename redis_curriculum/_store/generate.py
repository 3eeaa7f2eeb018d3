"""Whether a process has what a config's generators need."""

from __future__ import annotations

from redis_curriculum.config.curriculum import CurriculumConfig
from redis_curriculum.errors import GeneratorError
from redis_curriculum.tasks.build import custom_generators


def can_generate(config: CurriculumConfig) -> bool:
    """Whether this process has what the config's generators need; builds them."""
    if config.unbound_generators():
        return False
    for custom in custom_generators(config.task_generator):
        try:
            custom.built()
        except GeneratorError:  # its class cannot be imported here
            return False
        except Exception:  # noqa: BLE001, S112 - the class is here; its tasks will say what fails
            continue
    return True
