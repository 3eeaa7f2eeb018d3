"""How one handle talks to Redis."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from redis_curriculum._values.models import FrozenModel
from redis_curriculum._values.rules import In, validate_key_prefix, validate_name
from redis_curriculum.errors import InvalidInputError


def _check_prefix(value: object) -> object:
    return None if value is None else validate_key_prefix(value, field="")


def _check_worker_id(value: object) -> object:
    return None if value is None else validate_name(value, field="")


class WorkerSettings(FrozenModel):
    """How one handle talks to Redis. Not stored with the curriculum; each handle has its own."""

    worker_id: Annotated[str | None, BeforeValidator(_check_worker_id)] = Field(
        default=None, description="Name of the worker; None: a fresh random one."
    )
    prefix: Annotated[str | None, BeforeValidator(_check_prefix)] = Field(
        default=None, description="What every key begins with; None: what the URL says, or nothing."
    )
    take_over: bool = Field(
        default=False,
        description="Take the place of a live worker of that name; its next call is fenced.",
    )
    lease_ms: Annotated[int, In("[1000, 86400000]")] = Field(
        default=300_000, description="Milliseconds without a call after which it counts as dead."
    )
    timeout_s: Annotated[float, In("(0, 3600]")] = Field(
        default=5.0, description="Seconds to wait for a connection or a reply."
    )
    retry_deadline_s: Annotated[float, In("[0, 86400]")] = Field(
        default=30.0, description="Seconds during which a failed call is retried; 0: never."
    )
    on_outage: Literal["raise", "continue"] = Field(
        default="raise",
        description="What calls that report, draw or change a task do after that: raise, or play on"
        " with known tasks and deliver the results, failures and changes later.",
    )
    replay_buffer: Annotated[int, In("[0, 1000000]")] = Field(
        default=1024, description="Last writes kept, to replay what a failover lost."
    )
    chunk: Annotated[int, In("[1, 1000]")] = Field(
        default=100, description="Items per script call; larger batches are split."
    )
    prefetch: Annotated[int, In("[0, 1000]")] = Field(
        default=0,
        description="Tasks that are drawn with one call at most and handed out one by one; their"
        " results go with the next draw. 0: each call draws and reports at once. Not above chunk,"
        " and 0 where the algorithm refuses it (``passes``).",
    )
    prefetch_age_s: Annotated[float, In("(0, 86400]")] = Field(
        default=10.0,
        description="Seconds after which tasks drawn ahead are not handed out any more, and results"
        " no longer wait; looked at with each call.",
    )

    @model_validator(mode="after")
    def _check_prefetch(self) -> Self:
        if self.prefetch > self.chunk:
            raise InvalidInputError("prefetch", f"at most chunk ({self.chunk})", self.prefetch)
        return self
