"""The daemon: wires everything together, starts it, reloads it, stops it.

Start-up order: identity, store, planes, tunnels, sockets, control socket; READY is
said last. A tunnel that cannot start does not keep the others from starting: it is
tried again, and shown as a fault.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from gateway.config.diff import ConfigDiff, compare_configs
from gateway.config.identity_files import load_private_identity
from gateway.config.load import load_config
from gateway.config.model import GatewayConfig, LogFormat, TunnelConfig
from gateway.control.schema import ReloadResult
from gateway.control.server import ControlServer
from gateway.crypto.identity import format_fingerprint
from gateway.crypto.suite import choose_provider
from gateway.daemon.claims import PeerClaims
from gateway.daemon.context import Context
from gateway.daemon.eventlog import log_event
from gateway.daemon.exchange import Exchange
from gateway.daemon.fencing import Fencing
from gateway.daemon.handlers import Handlers
from gateway.daemon.links import Links, LinkUser
from gateway.daemon.logging import configure_logging
from gateway.daemon.peers import load_parameters
from gateway.daemon.planes import Planes
from gateway.daemon.relay_stocks import all_links
from gateway.daemon.relaying import Relaying
from gateway.daemon.resolver import Resolver
from gateway.daemon.state import StateDirectory
from gateway.daemon.tunnel import TunnelDriver
from gateway.daemon.workers import Worker
from gateway.dataplane.fence.base import Fence
from gateway.dataplane.fence.open import open_fence
from gateway.errors import GatewayError
from gateway.handshake.events import Event
from gateway.keystore.master_key import load_master_key
from gateway.keystore.sqlite import SQLiteKeyStore
from gateway.process.notify import Notifier, receive_fds
from gateway.rotation.events import (
    TunnelBlocked,
    TunnelEvent,
    TunnelUnproven,
    TunnelUp,
)
from gateway.rotation.phases import TunnelPhase
from gateway.wire.control import StockMessage
from gateway.wire.network import NetworkMessage
from gateway.wire.payloads import Policy

logger = logging.getLogger(__name__)

SOCKET_NAME: Final = "control-udp"
"""Name under which systemd keeps our sockets while we restart."""

STATUS_DELAY: Final = 0.2
"""Seconds until ``systemctl status`` shows a tunnel that came up or was blocked."""

STATUS_INTERVAL: Final = 5.0
"""Seconds between looks at what ``systemctl status`` should show."""

SETTLE: Final = 1.0
"""Seconds a stop waits for epochs that are half-way: one that only one end sends
with would cost packets when the next start replaces it (WireGuard)."""

SETTLE_POLL: Final = 0.02
"""Seconds between looks at whether they are through."""

RETRY_TUNNEL: Final = 10.0
"""Seconds until a tunnel that the kernel refused at start is tried again."""


class Service:
    """One gateway.

    Attributes:
        config: The configuration in force.
        drivers: Tunnels by name.
        failed: Tunnels that could not start, and why.
        links: The QKD links, and the stocks of pads.
        relaying: The network of trusted nodes.
        planes: The data planes.
        fencing: The fence around them.
        exchange: The protocol machine, and the sockets it talks through.
        provider: The KEM provider in use.
        identity: Our own identity.
        store: The key store; call it only through `store_worker`.
        store_worker: Its thread.
        notifier: Tells systemd how we stand.
        started_at: When `start` was called, monotonic seconds.
    """

    def __init__(
        self,
        config: GatewayConfig,
        config_path: Path,
        environ: Mapping[str, str],
        *,
        log_format: LogFormat,
        fence_opener: Callable[[], Fence] = open_fence,
    ) -> None:
        """Open what needs no event loop: identity and key store.

        Args:
            config: What the operator wrote.
            config_path: Where, to read it again.
            environ: What systemd says.
            log_format: Where log lines go, whatever a reload says.
            fence_opener: Opens the fence of the kernel, or one in memory.

        Raises:
            GatewayError: Identity, master key or key store cannot be used.
        """
        self.config = config
        self._config_path = config_path
        self._log_format = log_format
        self.provider = choose_provider(config.kem_provider.value)
        self.identity = load_private_identity(
            config.identity, self.provider, environ=environ
        )
        logger.info(
            "identity %s, suite %d, ML-KEM from %s",
            format_fingerprint(self.identity.public.fingerprint),
            self.identity.suite.id,
            self.provider,
        )
        master_key = load_master_key(config.master_key, environ)
        self.store = SQLiteKeyStore(config.keystore, master_key)
        self.store.release_all()
        self.store_worker = Worker("key-store")
        plane_worker = Worker("data-plane")
        self.fencing = Fencing(plane_worker, config.state_dir, fence_opener)
        self.planes = Planes(plane_worker, config.wireguard_ports)
        self.exchange = Exchange(config.listen, config.control_mtu, self._deliver)
        self.relaying = Relaying(
            self.store,
            self.store_worker,
            send=self._send_control,
            initiates=self._initiates,
            clock=_loop_time,
        )
        self.links = Links(
            self.store,
            self.store_worker,
            send=self._send_control,
            clock=_loop_time,
            control_mtu=config.control_mtu,
            relayed=self.relaying.make_client,
            disowned=self.relaying.disown,
        )
        self.relaying.configure(config, self.links)
        self.links.configure(all_links(config))
        self._plane_worker = plane_worker
        self.drivers: dict[str, TunnelDriver] = {}
        self.failed: dict[str, GatewayError] = {}
        self.notifier = Notifier(environ)
        self._status_timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self.started_at = 0.0
        self._context: Context
        self._control: ControlServer | None = None
        self._claims = PeerClaims()
        self._reloading = asyncio.Lock()

    # -- Life

    async def start(self) -> None:
        """Bring everything up and say READY.

        Raises:
            GatewayError: A socket, the control socket or every plane is refused.
        """
        loop = asyncio.get_running_loop()
        self.started_at = loop.time()
        state = StateDirectory(self.config.state_dir)
        await self.fencing.prepare(self.config)
        kept = receive_fds(os.environ)
        self.exchange.open(
            kept.get(SOCKET_NAME, ()), lambda: self.notifier.remove_fds(SOCKET_NAME)
        )
        sockets = self.exchange.sockets
        self._context = Context(
            machine=self.exchange.machine,
            sockets=sockets,
            store=self.store,
            store_worker=self.store_worker,
            plane_worker=self._plane_worker,
            fence=self.fencing,
            resolver=Resolver(sockets.families),
            state=state,
            links=self.links,
            relaying=self.relaying,
            publish=log_event_of(self),
            flush=self.exchange.flush,
            clock=loop.time,
        )
        self._control = ControlServer(
            self.config.control_socket,
            self.config.control_group,
            Handlers(self).table(),
        )
        await self.links.start()
        await self.relaying.start()
        for name in sorted(self.config.tunnels):
            await self._add_tunnel(self.config.tunnels[name])
        await self.fencing.settle(self.config)
        self._note_users()
        self._prepare_sockets()
        self.exchange.start()
        await self._control.start()
        self.notifier.store_fds(
            SOCKET_NAME, [sock.fileno() for sock in sockets.sockets]
        )
        self._tasks.append(loop.create_task(self._watch()))
        if self.notifier.watchdog_interval is not None:
            self._tasks.append(loop.create_task(self._watchdog()))
        self.notifier.ready(self.summary())
        logger.info("ready: %s", self.summary())

    async def run(self) -> None:
        """Return once `request_stop` was called."""
        await self._stopped.wait()

    def request_stop(self) -> None:
        """Ask `run` to return."""
        self._stopped.set()

    async def stop(self) -> None:
        """Stop; tunnels stay in the kernel, so that a restart drops nothing."""
        self.notifier.stopping()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._control is not None:
            await self._control.stop()
        await self._settle()
        for driver in self.drivers.values():
            await driver.stop()
        if self._status_timer is not None:
            self._status_timer.cancel()
        self.exchange.stop()
        await self.relaying.stop()
        await self.links.stop()
        await self.planes.close()
        await self.fencing.close()
        self._plane_worker.stop()
        self.store_worker.stop()
        self.store.close()
        logger.info("stopped; tunnels stay in the kernel until their keys expire")

    async def _settle(self) -> None:
        """Let epochs that are half-way come into force, for a moment."""
        until = asyncio.get_running_loop().time() + SETTLE
        while asyncio.get_running_loop().time() < until:
            if all(driver.is_settled() for driver in self.drivers.values()):
                return
            await asyncio.sleep(SETTLE_POLL)

    # -- Reload

    async def reload(self) -> ReloadResult:
        """Read the configuration again and touch only what changed.

        Raises:
            GatewayError: It has problems; nothing was changed.
        """
        async with self._reloading:
            new = await asyncio.to_thread(load_config, self._config_path)
            self.notifier.reloading()
            try:
                return await self._apply(new, compare_configs(self.config, new))
            finally:
                self.notifier.ready(self.summary())

    async def _apply(self, new: GatewayConfig, diff: ConfigDiff) -> ReloadResult:
        await self.fencing.prepare(new)
        network_changed = new.relay != self.config.relay
        self.relaying.configure(new, self.links)
        try:
            self.links.configure(all_links(new))
        except GatewayError:
            self.relaying.configure(self.config, self.links)
            await self.fencing.settle(self.config)
            raise
        self.config = new
        if "log.level" in diff.applied:
            configure_logging(self._log_format, new.log_level)
        for name in (*diff.removed, *diff.rebuilt):
            await self._remove_tunnel(name, returning=name in new.tunnels)
        for name in (*diff.added, *diff.rebuilt):
            await self._add_tunnel(new.tunnels[name])
        for name in diff.updated:
            await self._update_tunnel(new.tunnels[name])
        for name in diff.unchanged:
            if name in self.failed:
                await self._add_tunnel(new.tunnels[name])
        await self.fencing.settle(new)
        self._note_users()
        if network_changed:
            await self.relaying.settle()
        await self.links.settle()
        self._prepare_sockets()
        self.exchange.flush()
        logger.info(
            "reloaded: %d added, %d removed, %d changed, %d unchanged",
            len(diff.added),
            len(diff.removed),
            len(diff.rebuilt) + len(diff.updated),
            len(diff.unchanged),
        )
        return ReloadResult(
            added=[*diff.added, *diff.links_added],
            removed=[*diff.removed, *diff.links_removed],
            changed=[*diff.rebuilt, *diff.updated, *diff.links_changed],
            unchanged=list(diff.unchanged),
            restart_needed=list(diff.restart),
        )

    async def _add_tunnel(self, config: TunnelConfig) -> None:
        """Start one tunnel; what keeps it from starting is logged and shown."""
        self.failed.pop(config.name, None)
        try:
            plane = await self.planes.get(config.plane)
            parameters = load_parameters(config, self.identity, plane)
            self._claims.claim(config, plane, parameters.peer.fingerprint)
            driver = TunnelDriver(self._context, config, parameters, plane)
            await driver.start()
        except GatewayError as error:
            self._claims.release(config.name)
            self.failed[config.name] = error
            logger.error(  # noqa: TRY400  # what an operator can act on has no traceback
                "cannot start: %s%s",
                error.message,
                f"; {error.hint}" if error.hint else "",
                extra={"tunnel": config.name, "event": "start-failed"},
            )
            return
        self.drivers[config.name] = driver

    async def _remove_tunnel(self, name: str, *, returning: bool = False) -> None:
        self.failed.pop(name, None)
        self._claims.release(name)
        driver = self.drivers.pop(name, None)
        if driver is None:
            return
        try:
            await driver.remove(returning=returning)
        except GatewayError as error:
            logger.warning(
                "not all of it could be removed: %s",
                error.message,
                extra={"tunnel": name, "event": "remove-failed"},
            )

    async def _update_tunnel(self, config: TunnelConfig) -> None:
        driver = self.drivers.get(config.name)
        if driver is None:
            await self._add_tunnel(config)
            return
        try:
            plane = driver.state.plane.plane
            parameters = load_parameters(config, self.identity, plane)
            self._claims.claim(config, plane, parameters.peer.fingerprint)
            await driver.update(config, parameters)
        except (GatewayError, ValueError):
            # The role follows from what changed: that takes a new start.
            await self._remove_tunnel(config.name, returning=True)
            await self._add_tunnel(config)

    def _note_users(self) -> None:
        """Tell each link which tunnels draw on it."""
        users: dict[str, list[LinkUser]] = {}
        for name, driver in self.drivers.items():
            link, parameters = driver.state.config.link, driver.state.parameters
            if link is not None and parameters.policy is not Policy.OFF:
                user = LinkUser(name, parameters.initiator)
                users.setdefault(link, []).append(user)
        drawn = {link: tuple(found) for link, found in users.items()}
        self.links.use(drawn | self.relaying.pad_users())

    def _initiates(self, tunnel: str) -> bool | None:
        driver = self.drivers.get(tunnel)
        return driver.state.parameters.initiator if driver is not None else None

    def _deliver(self, tunnel: str, event: Event) -> None:
        driver = self.drivers.get(tunnel)
        if driver is not None:
            driver.post(event)

    def _send_control(
        self, tunnel: str, message: StockMessage | NetworkMessage
    ) -> bool:
        if tunnel not in self.drivers:
            return False
        sent = self.exchange.machine.send_control(tunnel, message)
        self.exchange.flush()
        return sent

    def _prepare_sockets(self) -> None:
        """Keep the control channel out of ESP tunnels; let ESP share its port."""
        planes = {driver.state.plane.plane.name for driver in self.drivers.values()}
        if "esp" not in planes:
            return
        # Imported here: loading it for nothing takes time at every other start.
        from gateway.dataplane.esp import (  # noqa: PLC0415
            enable_udp_encap,
            exempt_socket,
        )

        encap = any(driver.state.parameters.encap for driver in self.drivers.values())
        for sock in self.exchange.sockets.sockets:
            exempt_socket(sock)
            if encap:
                enable_udp_encap(sock)

    # -- Watching

    def summary(self) -> str:
        """Return the line that ``systemctl status`` shows."""
        phases = [driver.state.rotation.phase for driver in self.drivers.values()]
        up = phases.count(TunnelPhase.UP)
        text = f"{up} of {len(self.config.tunnels)} tunnels up"
        for phase in (TunnelPhase.UNPROVEN, TunnelPhase.BLOCKED):
            if count := phases.count(phase):
                text += f", {count} {phase.value}"
        if self.failed:
            text += f", {len(self.failed)} cannot start"
        return text

    def refresh_status(self) -> None:
        """Tell systemd how we stand, soon and once for all that happens until then.

        Looking at every tunnel for each event of each would grow with their square.
        """
        if self._status_timer is None:
            loop = asyncio.get_running_loop()
            self._status_timer = loop.call_later(STATUS_DELAY, self._show_status)

    def _show_status(self) -> None:
        self._status_timer = None
        self.notifier.status(self.summary())

    async def _watch(self) -> None:
        turns = 0
        while True:
            await asyncio.sleep(STATUS_INTERVAL)
            turns += 1
            self.exchange.forget_strangers()
            self.exchange.sockets.look()
            self.notifier.status(self.summary())
            if turns * STATUS_INTERVAL % RETRY_TUNNEL == 0:
                for name in tuple(self.failed):
                    if name in self.config.tunnels:
                        await self._add_tunnel(self.config.tunnels[name])
                self._note_users()
                self.exchange.flush()

    async def _watchdog(self) -> None:
        interval = self.notifier.watchdog_interval
        while interval is not None:
            self.notifier.watchdog()
            await asyncio.sleep(interval)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def log_event_of(service: Service) -> Callable[[TunnelEvent], None]:
    """Return what publishes tunnel events: to the log, and to systemd's status."""

    def publish(event: TunnelEvent) -> None:
        log_event(event)
        if isinstance(event, TunnelUp | TunnelUnproven | TunnelBlocked):
            service.refresh_status()

    return publish
