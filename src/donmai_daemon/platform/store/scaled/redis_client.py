"""Redis: commands and scripts, its failures as the store's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha1
from typing import TypeAlias, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import StoreUnavailable, StoreUnusable
from donmai_daemon.platform.store.scaled.lua import script

Command: TypeAlias = "list[str | int]"

_MOST_CONNECTIONS = 64
_WAIT_SECONDS = 3.0
_SILENCE_SECONDS = 15.0
_ADDRESS = "--redis-url redis://HOST:6379/0 names a running server and a database of its own for this platform"


class RedisClient:
    """A pool of connections. Every method raises `StoreUnavailable` while the server does not answer.

    Nothing is tried a second time behind the caller's back: what was sent may have been done.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @classmethod
    @asynccontextmanager
    async def open(cls, url: Secret) -> AsyncIterator[RedisClient]:
        """Connect to the server at `url`. Raises `StoreUnusable`."""
        try:
            pool = BlockingConnectionPool.from_url(
                url.reveal(),
                max_connections=_MOST_CONNECTIONS,
                timeout=_WAIT_SECONDS,
                socket_connect_timeout=_WAIT_SECONDS,
                socket_timeout=_WAIT_SECONDS,
                decode_responses=True,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            # Not shown: what cannot be read as an address may hold a password.
            raise StoreUnusable("Redis cannot be used: that is not its address", hint=_ADDRESS) from error
        redis = Redis(connection_pool=pool)
        try:
            client = cls(redis)
            try:
                await client.do("PING")
            except StoreUnavailable as error:
                raise StoreUnusable(f"Redis cannot be used: {error.cause}", hint=_ADDRESS) from error
            yield client
        finally:
            await redis.aclose()
            await pool.disconnect()

    async def do(self, *command: str | int) -> object:
        """One command, and its answer."""
        with _failures():
            return cast("object", await self._redis.execute_command(*command))  # type: ignore[no-untyped-call]  # redis-py has no types here

    async def texts(self, *command: str | int) -> list[str]:
        """A command that is answered with a list of texts."""
        return cast("list[str]", await self.do(*command))

    async def text(self, *command: str | int) -> str | None:
        """A command that is answered with a text, or with nothing."""
        return cast("str | None", await self.do(*command))

    async def number(self, *command: str | int) -> int:
        """A command that is answered with a whole number."""
        return cast("int", await self.do(*command))

    async def fields(self, key: str) -> dict[str, str]:
        """All of a hash; empty where there is none."""
        return cast("dict[str, str]", await self.do("HGETALL", key))

    async def run(self, name: str, keys: list[str], *arguments: str | int) -> object:
        """What `<name>.lua` returns."""
        text = script(name)
        digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
        try:
            return await self._evaluate("EVALSHA", digest, len(keys), *keys, *arguments)
        except NoScriptError:  # a server that was started anew
            return await self.do("EVAL", text, len(keys), *keys, *arguments)

    async def _evaluate(self, *command: str | int) -> object:
        with _failures(NoScriptError):
            return cast("object", await self._redis.execute_command(*command))  # type: ignore[no-untyped-call]  # as above

    @property
    def database(self) -> int:
        """Number of the database on the server; what is published is heard in all of them."""
        return int(self._redis.connection_pool.connection_kwargs.get("db") or 0)

    async def hear(self, channel: str, on_message: Callable[[str | None], None]) -> None:
        """Call with None once the subscription stands, then with whatever is published on `channel`, until cancelled.

        A server that goes away is noticed here first. The idle connections are dropped then, as they are good for nothing
        but to fail the next request.
        """
        await self.do("PING")  # a server that still loads its data takes subscriptions, and nothing else yet
        try:
            with _failures():
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(channel)
                    await _listen(subscription, on_message)
        except StoreUnavailable:
            with _failures():
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise


async def _listen(subscription: PubSub, on_message: Callable[[str | None], None]) -> None:
    asked = False
    while True:
        message = await subscription.get_message(timeout=_SILENCE_SECONDS)
        if message is None:
            # A connection that broke without a word looks like one on which nothing is published.
            if asked:
                raise StoreUnavailable(f"Redis: no answer for {_SILENCE_SECONDS:g} s")
            await subscription.ping()
        elif message["type"] == "subscribe":
            on_message(None)
        elif message["type"] == "message":
            on_message(str(message["data"]))
        asked = message is None


@contextlib.contextmanager
def _failures(*passed: type[RedisError]) -> Iterator[None]:
    try:
        yield
    except passed:
        raise
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"Redis: {error}") from error
