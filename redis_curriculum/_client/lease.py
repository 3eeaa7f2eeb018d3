"""Renew a lease while an episode runs: from a thread, or from a task of the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis_curriculum.errors import CurriculumError


@contextmanager
def renewing(renew: Callable[[], None], every_s: float, name: str) -> Iterator[None]:
    """Renew from a thread; raise at the end what the last renewal raised."""
    done, failure = threading.Event(), _Failure()

    def keep_on() -> None:
        while not done.wait(every_s):
            with failure.noted():
                renew()

    thread = threading.Thread(target=keep_on, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    failure.tell()


@asynccontextmanager
async def renewing_in_loop(
    renew: Callable[[], Awaitable[None]], every_s: float, name: str
) -> AsyncIterator[None]:
    """Renew from a task of the loop; raise at the end what the last renewal raised."""
    failure = _Failure()

    async def keep_on() -> None:
        while True:
            await asyncio.sleep(every_s)
            with failure.noted():
                await renew()

    task = asyncio.create_task(keep_on(), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    failure.tell()


class _Failure:
    """What the last renewal raised."""

    def __init__(self) -> None:
        self._last: CurriculumError | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        self._last = None
        try:
            yield
        except CurriculumError as error:
            self._last = error

    def tell(self) -> None:
        if self._last is not None:
            raise self._last
