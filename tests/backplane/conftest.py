"""Servers that share a Redis, in place of the single ones of other tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

from chat.core.protocol import Limits
from chat.core.server import ChatServer
from chat.lab import redis_process
from chat.lab.redis_process import RedisProcess
from chat.promises.cluster import Cluster
from chat.server import assemble


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisProcess]:
    """A running Redis."""
    if not redis_process.available():
        pytest.skip(redis_process.HOW_TO_GET_IT)
    with RedisProcess() as process:
        yield process


@pytest.fixture
def store(redis_server: RedisProcess) -> RedisProcess:
    """An empty Redis."""
    with redis.Redis(*redis_server.address) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def serve(store: RedisProcess) -> Iterator[Callable[..., ChatServer]]:
    """Start a server of one chat: ``serve(admin_password=…, url=…, lease=…, some_limit=…)``."""
    with ExitStack() as stack:

        def start(
            *,
            admin_password: str | None = None,
            url: str | None = None,
            lease: float = 10,
            **limits: float,
        ) -> ChatServer:
            chosen = Limits(**limits)  # type: ignore[arg-type] # names and kinds as in Limits
            cluster = Cluster(url or store.url, chosen, lease=lease)
            server = assemble(limits=chosen, admin_password=admin_password, backplane=cluster)
            return stack.enter_context(server)

        yield start
