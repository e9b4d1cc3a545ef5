"""Who this machine is to the platform."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from anyio import to_thread

from donmai_daemon import __version__
from donmai_daemon.compose.base import Base
from donmai_daemon.link.client import PlatformClient, open_client
from donmai_daemon.link.credentials import CredentialsCache, read_registration_token
from donmai_daemon.link.hostinfo import collect_host_info
from donmai_daemon.link.identity import Identity
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.registration import Registration
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.notice import Notice
from donmai_daemon.store.atomic import write_private


class Connection:
    """The platform, and who this machine is to it. Give it a task (`run`).

    `on_look_again` is called once settings that were read again are those that requests are made with.
    """

    def __init__(self, client: PlatformClient, identity: Identity, live_config: LiveConfig) -> None:
        self.client = client
        self.identity = identity
        self._live_config = live_config
        self.on_look_again = Notice()
        self._changed = anyio.Event()
        self._adopted = live_config.config.platform
        live_config.on_change.add(self._compare)

    def _compare(self) -> None:
        """A mutation changes projects, not how the platform is reached: no token is fetched for each."""
        if self._live_config.config.platform != self._adopted:
            self.look_again()

    def look_again(self) -> None:
        """Settings were read again: the token, the certificate authority or the proxy may be others now."""
        self._changed.set()

    async def run(self) -> None:
        """Keep the credentials fresh and follow the settings, until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.identity.keep_fresh)
            while True:
                await self._changed.wait()
                self._changed = anyio.Event()
                self._adopted = self._live_config.config.platform
                await self.client.adopt(self._adopted)
                self.identity.look_again()
                self.on_look_again()


async def connect(base: Base, own_id: str, stack: AsyncExitStack) -> Connection | None:
    """Ready to speak to the platform, without a word said yet; None where no platform is configured."""
    config = base.live_config.config
    if config.platform.url is None:
        base.conditions.set(
            "platform_unreachable", "warning", "no platform is configured: set [platform] url, and restart"
        )
        return None
    client = await stack.enter_async_context(
        open_client(config.platform, base.clock, __version__, base.options.environ)
    )
    info = await to_thread.run_sync(collect_host_info, __version__, base.clock.now())
    credentials_directory = base.options.environ.get("CREDENTIALS_DIRECTORY")

    def registration() -> Registration:
        current = base.live_config.config
        return Registration(
            hostname=current.machine.name or socket.gethostname(),
            capacity=current.capacity.max_sessions,
            version=__version__,
            machine_id=own_id,
            host_info=info,
            report=AdmissionReport.of(current),
            region=current.machine.region,
        )

    identity = Identity(
        client=client,
        cache=CredentialsCache(base.options.state.credentials, write_private),
        machine_id=own_id,
        registration=registration,
        registration_token=lambda: read_registration_token(
            base.options.environ,
            base.live_config.config.platform,
            Path(credentials_directory) if credentials_directory else None,
        ),
        conditions=base.conditions,
        clock=base.clock,
        rng=base.rng,
        on_change=lambda: None,
    )
    return Connection(client, identity, base.live_config)
