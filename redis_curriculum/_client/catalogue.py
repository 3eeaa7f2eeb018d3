"""What needs no handle: which curricula a server has, and deleting one; for both handles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis_curriculum._admin.cleanup import delete
from redis_curriculum._admin.names import names
from redis_curriculum._client.handle import located
from redis_curriculum._client.open import server_of
from redis_curriculum._wire import asyncio, blocking
from redis_curriculum._wire.urls import Address, Credentials
from redis_curriculum.config.worker import WorkerSettings

Connected = tuple[Address, WorkerSettings, blocking.DirectLink]
ConnectedInLoop = tuple[Address, WorkerSettings, asyncio.AsyncLink]


@contextmanager
def connecting(
    url: object, worker: WorkerSettings | None, credentials: Credentials | None
) -> Iterator[Connected]:
    """Yield a link for the caller to keep; it is closed if an error comes."""
    address, settings = located(url, worker, credentials)
    link = blocking.DirectLink(address, settings.timeout_s)
    try:
        yield address, settings, link
    except BaseException:
        link.close()
        raise


@asynccontextmanager
async def connecting_in_loop(
    url: object, worker: WorkerSettings | None, credentials: Credentials | None
) -> AsyncIterator[ConnectedInLoop]:
    """Do the same for asyncio."""
    address, settings = located(url, worker, credentials)
    link = asyncio.AsyncLink(address, settings.timeout_s)
    try:
        yield address, settings, link
    except BaseException:
        await link.close()
        raise


class Catalogue:
    """Calls about a server's curricula, whatever handles there are."""

    @staticmethod
    def names(
        url: str,
        *,
        worker: WorkerSettings | None = None,
        credentials: Credentials | None = None,
    ) -> list[str]:
        """Return the names of the server's curricula that this user may read, sorted.

        One round trip, and one for each. On a server whose index of names is not complete (of an
        older version) the first call walks over all keys, 1,000 a round trip.

        Args:
            url: The server, as for ``open``; with a prefix, the names under that prefix.
            worker: How to talk to the server.
            credentials: As for ``open``.
        """
        with connecting(url, worker, credentials) as (address, settings, link):
            found = blocking.drive(names(address, settings.retry_deadline_s), link)
            link.close()
            return found

    @staticmethod
    def delete(
        url: str,
        name: str,
        *,
        worker: WorkerSettings | None = None,
        credentials: Credentials | None = None,
    ) -> int:
        """Delete a curriculum, whoever uses it, and return how many keys have gone.

        Its workers get ``CurriculumNotFoundError`` with their next call. If it is interrupted, the
        same call, or ``redis-curriculum gc``, goes on. Two walks over the server's keys, 1,000 a
        round trip, and one round trip per 500 keys of the curriculum.

        Args:
            url: The server, as for ``open``.
            name: The curriculum's name.
            worker: How to talk to the server.
            credentials: As for ``open``.

        Raises:
            CurriculumNotFoundError: There is none of that name.
        """
        with connecting(url, worker, credentials) as (address, settings, link):
            removed = blocking.drive(delete(server_of(address, name, settings)), link)
            link.close()
            return removed


class AsyncCatalogue:
    """The same for asyncio."""

    @staticmethod
    async def names(
        url: str,
        *,
        worker: WorkerSettings | None = None,
        credentials: Credentials | None = None,
    ) -> list[str]:
        """Return the names of the server's curricula that this user may read, sorted.

        Arguments and cost are those of ``Curriculum.names``.
        """
        async with connecting_in_loop(url, worker, credentials) as (address, settings, link):
            found = await asyncio.drive(names(address, settings.retry_deadline_s), link)
            await link.close()
            return found

    @staticmethod
    async def delete(
        url: str,
        name: str,
        *,
        worker: WorkerSettings | None = None,
        credentials: Credentials | None = None,
    ) -> int:
        """Delete a curriculum, whoever uses it, and return how many keys have gone.

        Arguments, cost and errors are those of ``Curriculum.delete``.
        """
        async with connecting_in_loop(url, worker, credentials) as (address, settings, link):
            removed = await asyncio.drive(delete(server_of(address, name, settings)), link)
            await link.close()
            return removed
