"""The daemon: wires everything together, starts it, reloads it, stops it.

Start-up order: identity, store, planes, tunnels, sockets, control socket; READY is
said last. A tunnel that cannot start does not keep the others from starting: it is
tried again, and shown as a fault.
"""

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.acceptance.accept import Candidate, accept, judge_host
from gateway.acceptance.contents import Content, Key, changed_contents, is_own
from gateway.acceptance.files import contents_of_tunnel, load_tunnel_files
from gateway.acceptance.host import wanted_planes
from gateway.config.diff import IDENTITY, ConfigDiff, compare_configs, in_force
from gateway.config.model import (
    GatewayConfig,
    KEMProviderName,
    LogFormat,
    SecondPerson,
    TunnelConfig,
)
from gateway.control.approvals import Approvals
from gateway.control.schema import Method, ReloadResult
from gateway.control.server import ControlServer
from gateway.crypto.identity import format_fingerprint
from gateway.crypto.suite import choose_provider, passed_over
from gateway.daemon.api.handlers import Handlers
from gateway.daemon.changes import describe_changes
from gateway.daemon.endpoint import Exchange
from gateway.dataplane.base import DataPlane, TunnelSpec
from gateway.dataplane.fence.base import Fence
from gateway.dataplane.fence.enforcement import Fencing
from gateway.dataplane.fence.guard import FenceGuard
from gateway.dataplane.fence.open import open_fence
from gateway.errors import DataPlaneError, GatewayError
from gateway.handshake.events import Event
from gateway.handshake.tunnel import TunnelParameters
from gateway.host.logging import configure_logging, log_ends
from gateway.host.notify import Notifier, receive_fds
from gateway.host.path import Path as NetworkPath
from gateway.host.resolver import Resolver
from gateway.host.workers import Worker
from gateway.keystore.master_key import load_master_key
from gateway.keystore.sqlite import SQLiteKeyStore
from gateway.observe.log import log_event
from gateway.observe.oversight import Oversight
from gateway.observe.summary import summarize
from gateway.relay.service import Relaying
from gateway.relay.stocks import all_links
from gateway.rotation.actions import ReadPlane
from gateway.rotation.events import (
    TunnelBlocked,
    TunnelEvent,
    TunnelUnproven,
    TunnelUp,
)
from gateway.rotation.phases import TunnelPhase
from gateway.supply.links import Links, LinkUser
from gateway.tunnels.context import Context
from gateway.tunnels.driver import TunnelDriver
from gateway.tunnels.parameters import make_parameters
from gateway.tunnels.peer_claims import PeerClaims
from gateway.tunnels.planes import Planes
from gateway.tunnels.records import StateDirectory
from gateway.tunnels.upkeep import Holding
from gateway.wire.control import RotateReason, StockMessage
from gateway.wire.network import NetworkMessage
from gateway.wire.payloads import Policy

if TYPE_CHECKING:
    from gateway.host.garbage import Garbage

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
        holding: What keeps their tunnels as they are wanted.
        fencing: The fence around them.
        approvals: What waits for a second person.
        oversight: What keeps an eye on all of it.
        exchange: The protocol machine, and the sockets it talks through.
        provider: The KEM provider in use.
        identity: Our own identity.
        store: The key store; call it only through `store_worker`.
        store_worker: Its thread.
        notifier: Tells systemd how we stand.
        started_at: When `start` was called, monotonic seconds.
        garbage: Keeps collections out of reloads; None leaves them to Python.
    """

    def __init__(
        self,
        candidate: Candidate,
        config_path: Path,
        environ: Mapping[str, str],
        *,
        log_format: LogFormat,
        fence_opener: Callable[[], Fence] = open_fence,
    ) -> None:
        """Open what needs no event loop: the key store.

        Args:
            candidate: What the operator wrote, and what the files hold.
            config_path: Where, to read it again.
            environ: What systemd says.
            log_format: Where log lines go, whatever a reload says.
            fence_opener: Opens the fence of the kernel, or one in memory.

        Raises:
            ConfigError: Something is wrong that keeps all of it from working.
            GatewayError: Master key or key store cannot be used.
        """
        candidate.refuse_general()
        assert candidate.identity is not None  # noqa: S101  # else there is a finding
        self._candidate = candidate
        self._standing = candidate.findings
        self._files = dict(candidate.tunnels)
        self._contents = dict(candidate.contents)
        self.config = config = candidate.config
        self._started_with = replace(config, tunnels={}, links={}, files=())
        self._config_path = config_path
        self._environ = environ
        self._log_format = log_format
        self.provider = choose_provider(config.kem_provider.value)
        self.identity = candidate.identity
        logger.info(
            "identity %s, suite %d, ML-KEM from %s",
            format_fingerprint(self.identity.public.fingerprint),
            self.identity.suite.id,
            self.provider,
        )
        if config.kem_provider is KEMProviderName.AUTO and (why := passed_over()):
            logger.warning(
                "liboqs is installed and not used, OpenSSL is: %s",
                why,
                extra={"event": "liboqs-passed-over"},
            )
        master_key = load_master_key(config.master_key, environ)
        self.store = SQLiteKeyStore(config.keystore, master_key)
        self.store.release_all()
        self.store_worker = Worker("key-store")
        plane_worker = Worker("data-plane")
        self.fencing = Fencing(plane_worker, config.state_dir, fence_opener)
        self.planes = Planes(plane_worker, config.wireguard_ports)
        self.holding = Holding(self.planes, self._look_at, self._note_obstacles)
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
        self.oversight = Oversight(
            self.exchange,
            self.links,
            self.relaying,
            self.fencing,
            self.holding,
            _loop_time,
            self.store.signs,
        )
        self.drivers: dict[str, TunnelDriver] = {}
        self.failed: dict[str, GatewayError] = {}
        self._unapplied: dict[str, GatewayError] = {}
        self._troubles: dict[str, str] = {}
        self.notifier = Notifier(environ)
        self.approvals = Approvals(_loop_time)
        self.approvals.configure(config.second_person, config.second_person_within)
        self._status_timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self.started_at = 0.0
        self._context: Context
        self._guard: FenceGuard | None = None
        self._control: ControlServer | None = None
        self._claims = PeerClaims()
        self.garbage: Garbage | None = None
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
        guard = self._guard = self.oversight.guard = FenceGuard(self.fencing)
        await self.oversight.watch(())
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
            view_group=self.config.view_group,
        )
        await self.links.start()
        await self.relaying.start()
        for name in sorted(self.config.tunnels):
            await self._add_tunnel(self.config.tunnels[name])
        await self.fencing.settle(self.config)
        await guard.start()
        self.holding.start(is_complete=not self.failed)
        self._note_users()
        self._prepare_sockets()
        self.exchange.start()
        await self._control.start()
        self.notifier.store_fds(
            SOCKET_NAME, [sock.fileno() for sock in sockets.sockets]
        )
        self._tasks.append(loop.create_task(self._watch()))
        self._tasks.append(loop.create_task(self.oversight.kmes.run()))
        if self.notifier.watchdog_interval is not None:
            self._tasks.append(loop.create_task(self._watchdog()))
        self.notifier.ready(self.summary())
        logger.info("ready: %s", self.summary())
        async with self._reloading:
            # What a reload need not wait for; nothing at start waits for it either.
            self._standing = (await self._judge(self._candidate)).findings
            del self._candidate
            self._files.clear()

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
        await self.holding.stop()
        await self._settle()
        for driver in self.drivers.values():
            await driver.stop()
        if self._status_timer is not None:
            self._status_timer.cancel()
        self.exchange.stop()
        await self.relaying.stop()
        await self.links.stop()
        await self.planes.close()
        if self._guard is not None:
            await self._guard.stop()
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
            if self.garbage is None:
                return await self._reload()
            with self.garbage.held():
                answer = await self._reload()
                self.garbage.let_go(len(answer["removed"]) + len(answer["changed"]))
                return answer

    async def _reload(self) -> ReloadResult:
        candidate = await asyncio.to_thread(
            accept, self._config_path, environ=self._environ
        )
        candidate = await self._judge(candidate)
        candidate.refuse_any(self._standing)
        self._see_identity(candidate)
        diff = await asyncio.to_thread(self._compare, candidate)
        self.notifier.reloading()
        try:
            return await self._apply(candidate, diff)
        finally:
            self.notifier.ready(self.summary())

    def _see_identity(self, candidate: Candidate) -> None:
        """See that another identity of ours was confirmed, where it must be.

        Raises:
            ControlError: It was not.
        """
        other = candidate.identity
        if other is not None and other.public != self.identity.public:
            new = format_fingerprint(other.public.fingerprint)
            self.approvals.require(
                SecondPerson.IDENTITY, f"take the identity {new}", Method.RELOAD, {}
            )

    async def _judge(self, candidate: Candidate) -> Candidate:
        options = await self.planes.look(wanted_planes(candidate.config))
        opened = self.planes.opened
        leaving = self.exchange.sockets.leaving
        ours = replace(self.config, listen=(*self.config.listen, *leaving))
        return await asyncio.to_thread(judge_host, candidate, options, ours, opened)

    def _compare(self, candidate: Candidate) -> ConfigDiff:
        return compare_configs(
            self.config,
            candidate.config,
            contents=changed_contents(self._contents, candidate.contents),
            started=self._started_with,
            auto=self.planes.auto,
        )

    async def _apply(self, candidate: Candidate, diff: ConfigDiff) -> ReloadResult:
        new = in_force(candidate.config, self._started_with)
        old = self.config
        await self.fencing.prepare(new)
        try:
            await self._listen_elsewhere(new)
        except GatewayError:
            await self.fencing.settle(old)
            raise
        network_changed = new.relay != old.relay
        try:
            self.relaying.configure(new, self.links)
            seeds = {new.links[name].seed_file for name in diff.links_changed}
            self.links.configure(all_links(new), reread=seeds)
        except GatewayError:
            self.relaying.configure(old, self.links)
            await self._listen_elsewhere(old)
            await self.fencing.settle(old)
            raise
        before = self._contents
        details = describe_changes(diff, before, candidate.contents)
        self._take_over(candidate, new)
        if "log.level" in diff.applied:
            configure_logging(self._log_format, new.log_level)
        await self._change_tunnels(diff, before)
        self._files.clear()
        await self._settle_fence()
        self._note_users()
        if network_changed:
            await self.relaying.settle()
        await self.links.settle()
        self._prepare_sockets()
        self._tell_peers(old)
        self.exchange.flush()
        logger.info(
            "reloaded: %d added, %d removed, %d changed, %d unchanged",
            len(diff.added),
            len(diff.removed),
            len(diff.changed),
            len(diff.unchanged),
        )
        return ReloadResult(
            added=[*diff.added, *diff.links_added],
            removed=[*diff.removed, *diff.links_removed],
            changed=[*diff.changed, *diff.links_changed, *diff.applied],
            unchanged=list(diff.unchanged),
            restart_needed=list(diff.restart),
            details=details,
            warnings=[str(finding.problem) for finding in candidate.findings],
            failed=dict(self._troubles),
        )

    async def _listen_elsewhere(self, new: GatewayConfig) -> None:
        """Use the addresses and ports of a configuration, or none of them.

        Raises:
            GatewayError: One is taken; those in use stay so.
        """
        sockets = self.exchange.sockets
        listened = sockets.listen
        if new.listen != listened:
            sockets.rebind(new.listen)
        try:
            await self.planes.move_ports(new.wireguard_ports)
        except GatewayError:
            if new.listen != listened:
                sockets.rebind(listened)
            raise
        if new.listen != listened:
            self._prepare_sockets()
            self._context.resolver.use(sockets.families)
            self.notifier.remove_fds(SOCKET_NAME)
            self.notifier.store_fds(
                SOCKET_NAME, [sock.fileno() for sock in sockets.sockets]
            )

    def _tell_peers(self, old: GatewayConfig) -> None:
        """Let peers hear from where this gateway listens now: an epoch says it all."""
        sockets, machine = self.exchange.sockets, self.exchange.machine
        for name, driver in self.drivers.items():
            path = machine.peer_address(name)
            moved = isinstance(path, NetworkPath) and sockets.is_leaving(path)
            if isinstance(path, NetworkPath) and moved:
                with contextlib.suppress(GatewayError):
                    local = driver.state.config.local_address
                    machine.move(name, sockets.path_to(path.remote, local))
            ports = driver.state.plane.plane.kind == "wireguard" and (
                self.config.wireguard_ports != old.wireguard_ports
            )
            if moved or ports:
                driver.rotate(RotateReason.ADDRESS_CHANGED)

    async def _settle_fence(self) -> None:
        """Refuse what the configuration names and no more; or say that more is."""
        try:
            await self.fencing.settle(self.config)
        except DataPlaneError as error:
            self._troubles["fence"] = f"refuses more than it need: {error.message}"
            logger.error(  # noqa: TRY400  # what an operator can act on
                "the fence still refuses what only the old configuration names: %s",
                error.message,
                extra={"event": "fence-unsettled"},
            )

    async def _change_tunnels(
        self, diff: ConfigDiff, before: Mapping[Key, Content]
    ) -> None:
        """Make every tunnel what the configuration says now.

        Args:
            diff: What that is.
            before: What files held, for tunnels that stay as they were.
        """
        tunnels = self.config.tunnels
        rebuilt = [name for name in diff.rebuilt if await self._can_begin(name, before)]
        for name in (*diff.removed, *rebuilt):
            await self._remove_tunnel(name, returning=name in tunnels)
        for name in (*diff.added, *rebuilt):
            await self._add_tunnel(tunnels[name])
        for name in diff.adopted:
            await self._begin_anew(tunnels[name])
        await self._update_tunnels(diff, before)
        for name in diff.unchanged:
            if name in self.failed:
                await self._add_tunnel(tunnels[name])
        for name in (*diff.added, *rebuilt, *diff.adopted):
            if name in self.failed:
                self._troubles[name] = f"cannot start: {self.failed[name].message}"

    def _take_over(self, candidate: Candidate, new: GatewayConfig) -> None:
        """Let a configuration be the one in force."""
        self.config = new
        self._standing = candidate.findings
        self._files = dict(candidate.tunnels)
        other = candidate.identity
        if other is not None and other.public != self.identity.public:
            self.identity = other
        # What needs a restart is compared with what the daemon started with.
        own = {
            key: self._contents[key]
            for key in self._contents
            if is_own(key) and key != IDENTITY
        }
        self._contents = {**candidate.contents, **own}
        self._unapplied.clear()
        self._troubles.clear()

    async def _add_tunnel(self, config: TunnelConfig) -> None:
        """Start one tunnel; what keeps it from starting is logged and shown."""
        self.failed.pop(config.name, None)
        try:
            plane = await self.planes.get(config.plane)
            parameters = await self._parameters(config, plane)
            self._claims.claim(config, plane, parameters.peer.fingerprint)
            driver = TunnelDriver(self._context, config, parameters, plane)
            await driver.start()
        except GatewayError as error:
            self._claims.release(config.name)
            self.failed[config.name] = error
            _log_error("cannot start", config.name, "start-failed", error)
            return
        self.drivers[config.name] = driver
        driver.obstruct(self.holding.obstacle_of(config.name))

    async def _parameters(
        self, config: TunnelConfig, plane: DataPlane
    ) -> TunnelParameters:
        """Return a tunnel's parameters; files that could not be used are read again.

        Raises:
            IdentityError: They still cannot.
        """
        name = config.name
        if name not in self._files:
            files = await asyncio.to_thread(
                load_tunnel_files,
                config,
                self.identity.public,
                environ=self._environ,
            )
            self._files[name] = files
            self._contents |= contents_of_tunnel(name, files)
        return make_parameters(config, self._files[name], self.identity, plane)

    async def _remove_tunnel(self, name: str, *, returning: bool = False) -> None:
        self.failed.pop(name, None)
        self.oversight.failing.forget(name)
        self._claims.release(name)
        driver = self.drivers.pop(name, None)
        if driver is None:
            return
        try:
            await driver.remove(returning=returning)
        except GatewayError as error:
            self._troubles[name] = f"not all of it is removed: {error.message}"
            logger.warning(
                "not all of it could be removed: %s",
                error.message,
                extra={"tunnel": name, "event": "remove-failed"},
            )

    async def _begin_anew(self, config: TunnelConfig) -> None:
        """Drive a tunnel by its new role, over the epoch that the kernel has."""
        driver = self.drivers.pop(config.name, None)
        if driver is not None:
            await driver.hand_over()
        await self._add_tunnel(config)

    async def _can_begin(self, name: str, before: Mapping[Key, Content]) -> bool:
        """See, before the old tunnel goes, that there is what the new one needs."""
        config = self.config.tunnels[name]
        try:
            await self._parameters(config, await self.planes.get(config.plane))
        except GatewayError as error:
            if name in self.drivers:
                self._keep_tunnel(name, error, before)
                return False
        return True

    async def _update_tunnels(
        self, diff: ConfigDiff, before: Mapping[Key, Content]
    ) -> None:
        """Change tunnels while their traffic flows; what is refused stays as it was.

        One tunnel may want a prefix or an address that another one is about to give up:
        those that were refused are tried again for as long as others succeed. Those
        that want it of each other change at once.
        """
        waiting = [*diff.renewed, *diff.updated]
        exchanged = False
        refused: dict[str, GatewayError] = {}
        while waiting:
            refused = {}
            for name in waiting:
                await asyncio.sleep(0)  # others have their turn, however many there are
                rotate = name in diff.renewed
                try:
                    await self._update_tunnel(self.config.tunnels[name], rotate=rotate)
                except GatewayError as error:
                    refused[name] = error
            if len(refused) == len(waiting):
                if exchanged or not await self._exchange(refused):
                    break
                exchanged = True
            waiting = list(refused)
        for name, reason in refused.items():
            self._keep_tunnel(name, reason, before)

    async def _exchange(self, names: Iterable[str]) -> bool:
        """Have tunnels of one plane change together; return whether any did."""
        groups: dict[DataPlane, list[TunnelSpec]] = {}
        for name in names:
            driver = self.drivers.get(name)
            if driver is not None:
                spec = driver.spec_with(self.config.tunnels[name])
                groups.setdefault(driver.state.plane.plane, []).append(spec)
        changed = False
        for plane, specs in groups.items():
            if len(specs) == 1:
                continue  # nobody to exchange with
            with contextlib.suppress(DataPlaneError):  # each says its own, once more
                await self._plane_worker.run(plane.update_tunnels, specs)
                changed = True
        return changed

    async def _update_tunnel(self, config: TunnelConfig, *, rotate: bool) -> None:
        driver = self.drivers.get(config.name)
        if driver is None:
            await self._add_tunnel(config)
            return
        old, plane = driver.state.config, driver.state.plane.plane
        parameters = await self._parameters(config, plane)
        try:
            self._claims.claim(config, plane, parameters.peer.fingerprint)
            await driver.update(config, parameters)
        except GatewayError:
            self._claims.claim(old, plane, driver.state.parameters.peer.fingerprint)
            raise
        if rotate:
            driver.rotate(RotateReason.OPERATOR)

    def _keep_tunnel(
        self, name: str, error: GatewayError, before: Mapping[Key, Content]
    ) -> None:
        """Leave a tunnel as it was; the next reload finds the difference again."""
        old = self.drivers[name].state.config
        self.config = replace(self.config, tunnels={**self.config.tunnels, name: old})
        self._contents |= {
            key: before[key] for key in before if key[:2] == ("tunnels", name)
        }
        self._unapplied[name] = error
        self._troubles[name] = f"stays as it was: {error.message}"
        _log_error("not changed", name, "update-failed", error)

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

    def _look_at(self, tunnel: str) -> None:
        """Have a tunnel see that the kernel holds its keys no longer."""
        driver = self.drivers.get(tunnel)
        if driver is not None:
            driver.post(ReadPlane())

    def _note_obstacles(self) -> None:
        """Tell each tunnel what its packets lack in the kernel, and cannot be given."""
        for name, driver in self.drivers.items():
            driver.obstruct(self.holding.obstacle_of(name))

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

    @property
    def unapplied(self) -> Mapping[str, GatewayError]:
        """Tunnels whose new configuration the kernel refused, and why."""
        return self._unapplied

    def up(self) -> frozenset[str]:
        """Return the tunnels that are up."""
        return frozenset(
            name
            for name, driver in self.drivers.items()
            if driver.state.rotation.phase is TunnelPhase.UP
        )

    def summary(self) -> str:
        """Return the line that ``systemctl status`` shows."""
        phases = Counter(
            driver.state.rotation.phase for driver in self.drivers.values()
        )
        return summarize(phases, unstarted=len(self.failed))

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
            log_ends()
            self.exchange.forget_strangers()
            self.exchange.sockets.look()
            self.notifier.status(self.summary())
            await self.oversight.watch(self.up())
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


def _log_error(what: str, tunnel: str, event: str, error: GatewayError) -> None:
    """Log what an operator can act on: no traceback."""
    hint = f"; {error.hint}" if error.hint else ""
    extra = {"tunnel": tunnel, "event": event}
    logger.error("%s: %s%s", what, error.message, hint, extra=extra)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def log_event_of(service: Service) -> Callable[[TunnelEvent], None]:
    """Return what publishes tunnel events: to the log, and to systemd's status."""

    def publish(event: TunnelEvent) -> None:
        log_event(event)
        service.oversight.failing.note(event, now=_loop_time())
        if isinstance(event, TunnelUp | TunnelUnproven | TunnelBlocked):
            service.refresh_status()

    return publish
