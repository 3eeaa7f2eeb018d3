"""Who Sentinels are asked for, while a failover ends."""

from __future__ import annotations

import asyncio
from typing import Any

from redis_curriculum._wire.asyncio import AsyncPrimaryFinder
from redis_curriculum._wire.blocking import PrimaryFinder

OLD, NEW = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


class Leading:
    """A Sentinel that has promoted a replica and still lists the old primary, which is back."""

    def sentinel_masters(self) -> dict[str, dict[str, Any]]:
        flags = {"is_master": True, "is_sdown": False, "is_odown": False}
        return {"main": {"ip": OLD[0], "port": OLD[1], "num-other-sentinels": 2} | flags}

    def sentinel_get_master_addr_by_name(self, service: str) -> tuple[str, int] | None:
        return NEW if service == "main" else None


class AsyncLeading:
    async def sentinel_masters(self) -> dict[str, dict[str, Any]]:
        return Leading().sentinel_masters()

    async def sentinel_get_master_addr_by_name(self, service: str) -> tuple[str, int] | None:
        return Leading().sentinel_get_master_addr_by_name(service)


def test_the_promoted_one_is_found() -> None:
    finder: Any = PrimaryFinder([("unused", 1)])  # type: ignore[no-untyped-call]
    finder.sentinels = [Leading()]
    assert finder.discover_master("main") == NEW


def test_the_promoted_one_is_found_by_the_asyncio_handle() -> None:
    finder: Any = AsyncPrimaryFinder([("unused", 1)])  # type: ignore[no-untyped-call]
    finder.sentinels = [AsyncLeading()]
    assert asyncio.run(finder.discover_master("main")) == NEW
