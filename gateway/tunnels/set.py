"""The set of one gateway's tunnels: added, removed, changed together, tried again."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.acceptance.contents import Content, Key
from gateway.acceptance.files import (
    TunnelFiles,
    contents_of_tunnel,
    load_tunnel_files,
)
from gateway.config.diff import ConfigDiff
from gateway.config.model import GatewayConfig, TunnelConfig
from gateway.crypto.identity import PrivateIdentity
from gateway.dataplane.base import DataPlane, TunnelSpec
from gateway.errors import DataPlaneError, GatewayError
from gateway.events.bus import publish
from gateway.events.tunnels import (
    TunnelChangeFailed,
    TunnelHalfRemoved,
    TunnelStartFailed,
)
from gateway.handshake.events import Event
from gateway.handshake.tunnel import TunnelParameters
from gateway.host.path import Path as NetworkPath
from gateway.rotation.actions import ReadPlane
from gateway.rotation.phases import TunnelPhase
from gateway.supply.links import LinkUser
from gateway.tunnels.context import Context
from gateway.tunnels.driver import TunnelDriver
from gateway.tunnels.parameters import make_parameters
from gateway.tunnels.peer_claims import PeerClaims
from gateway.tunnels.planes import Planes
from gateway.wire.control import RotateReason
from gateway.wire.payloads import Policy


@dataclass(slots=True)
class Basis:
    """What tunnels are made from: the configuration in force, and its files.

    Attributes:
        config: The configuration in force.
        identity: Our own identity.
        files: What files of tunnels hold, by tunnel; read again where it is missing.
        contents: What files held, told apart by digests.
    """

    config: GatewayConfig
    identity: PrivateIdentity
    files: dict[str, TunnelFiles]
    contents: dict[Key, Content]


class TunnelSet:
    """Makes every tunnel what the configuration in force says.

    Attributes:
        drivers: Tunnels by name.
        failed: Tunnels that could not start, and why.
        unapplied: Tunnels whose new configuration the kernel refused, and why.
        troubles: What the last reload could not do, in words, by tunnel.
    """

    def __init__(
        self, basis: Basis, planes: Planes, environ: Mapping[str, str]
    ) -> None:
        """Begin without tunnels.

        Args:
            basis: What they are made from; its owner changes it before `change`.
            planes: Their data planes.
            environ: Where credentials are, as systemd says.
        """
        self._basis = basis
        self._planes = planes
        self._environ = environ
        self._claims = PeerClaims()
        self._context: Context
        self._obstacle_of: Callable[[str], str]
        self._forget: Callable[[str], None]
        self.drivers: dict[str, TunnelDriver] = {}
        self.failed: dict[str, GatewayError] = {}
        self.unapplied: dict[str, GatewayError] = {}
        self.troubles: dict[str, str] = {}

    # -- Life

    async def start(
        self,
        context: Context,
        *,
        obstacle_of: Callable[[str], str],
        forget: Callable[[str], None],
    ) -> None:
        """Add every tunnel; those that cannot start do not hold up the others.

        Args:
            context: What every driver works with.
            obstacle_of: What a tunnel's packets lack in the kernel, in words.
            forget: Called with each tunnel that is removed.
        """
        self._context = context
        self._obstacle_of, self._forget = obstacle_of, forget
        for name in sorted(self._basis.config.tunnels):
            await self.add(self._basis.config.tunnels[name])

    async def retry(self) -> None:
        """Try those again that could not start."""
        for name in tuple(self.failed):
            if name in self._basis.config.tunnels:
                await self.add(self._basis.config.tunnels[name])

    async def stop(self) -> None:
        """Stop every driver; tunnels stay in the kernel."""
        for driver in self.drivers.values():
            await driver.stop()

    # -- Reading

    def up(self) -> frozenset[str]:
        """Return the tunnels that are up."""
        return frozenset(
            name
            for name, driver in self.drivers.items()
            if driver.state.rotation.phase is TunnelPhase.UP
        )

    def is_settled(self) -> bool:
        """Whether no epoch is half-way."""
        return all(driver.is_settled() for driver in self.drivers.values())

    def initiates(self, tunnel: str) -> bool | None:
        """Return whether this end starts a tunnel's handshakes; None without one."""
        driver = self.drivers.get(tunnel)
        return driver.state.parameters.initiator if driver is not None else None

    def link_users(self) -> dict[str, tuple[LinkUser, ...]]:
        """Return which tunnels draw on each link."""
        users: dict[str, list[LinkUser]] = {}
        for name, driver in self.drivers.items():
            link, parameters = driver.state.config.link, driver.state.parameters
            if link is not None and parameters.policy is not Policy.OFF:
                user = LinkUser(name, parameters.initiator)
                users.setdefault(link, []).append(user)
        return {link: tuple(found) for link, found in users.items()}

    # -- News

    def deliver(self, tunnel: str, event: Event) -> None:
        """Hand a tunnel an event of the protocol machine."""
        driver = self.drivers.get(tunnel)
        if driver is not None:
            driver.post(event)

    def look_at(self, tunnel: str) -> None:
        """Have a tunnel see that the kernel holds its keys no longer."""
        driver = self.drivers.get(tunnel)
        if driver is not None:
            driver.post(ReadPlane())

    def note_obstacles(self) -> None:
        """Tell each tunnel what its packets lack in the kernel, and cannot be given."""
        for name, driver in self.drivers.items():
            driver.obstruct(self._obstacle_of(name))

    # -- The control plane's sockets

    def tell_peers(self, *, ports_moved: bool) -> None:
        """Let peers hear from where this gateway listens now: an epoch says it all.

        Args:
            ports_moved: Whether WireGuard listens on other ports than before.
        """
        sockets, machine = self._context.sockets, self._context.machine
        for name, driver in self.drivers.items():
            path = machine.peer_address(name)
            moved = isinstance(path, NetworkPath) and sockets.is_leaving(path)
            if isinstance(path, NetworkPath) and moved:
                with contextlib.suppress(GatewayError):
                    local = driver.state.config.local_address
                    machine.move(name, sockets.path_to(path.remote, local))
            ports = ports_moved and bool(driver.state.plane.plane.udp_ports())
            if moved or ports:
                driver.rotate(RotateReason.ADDRESS_CHANGED)

    def prepare_sockets(self) -> None:
        """Keep the control channel out of ESP tunnels; let ESP share its port."""
        states = [driver.state for driver in self.drivers.values()]
        if all(state.plane.plane.name != "esp" for state in states):
            return
        # Imported here: loading it for nothing takes time at every other start.
        from gateway.dataplane.esp import (  # noqa: PLC0415
            enable_udp_encap,
            exempt_socket,
        )

        encap = any(state.parameters.encap for state in states)
        for sock in self._context.sockets.sockets:
            exempt_socket(sock)
            if encap:
                enable_udp_encap(sock)

    # -- Changes

    async def change(self, diff: ConfigDiff, before: Mapping[Key, Content]) -> None:
        """Make every tunnel what the configuration says now.

        Args:
            diff: What that is.
            before: What files held, for tunnels that stay as they were.
        """
        tunnels = self._basis.config.tunnels
        rebuilt = [name for name in diff.rebuilt if await self._can_begin(name, before)]
        for name in (*diff.removed, *rebuilt):
            await self.remove(name, returning=name in tunnels)
        for name in (*diff.added, *rebuilt):
            await self.add(tunnels[name])
        for name in diff.adopted:
            await self._begin_anew(tunnels[name])
        await self._update_all(diff, before)
        for name in diff.unchanged:
            if name in self.failed:
                await self.add(tunnels[name])
        for name in (*diff.added, *rebuilt, *diff.adopted):
            if name in self.failed:
                self.troubles[name] = f"cannot start: {self.failed[name].message}"

    async def add(self, config: TunnelConfig) -> None:
        """Start one tunnel; what keeps it from starting is logged and shown."""
        self.failed.pop(config.name, None)
        try:
            plane = await self._planes.get(config.plane)
            parameters = await self._parameters(config, plane)
            self._claims.claim(config, plane, parameters.peer.fingerprint)
            driver = TunnelDriver(self._context, config, parameters, plane)
            await driver.start()
        except GatewayError as error:
            self._claims.release(config.name)
            self.failed[config.name] = error
            publish(TunnelStartFailed(config.name, error.advice))
            return
        self.drivers[config.name] = driver
        driver.obstruct(self._obstacle_of(config.name))

    async def remove(self, name: str, *, returning: bool = False) -> None:
        """Remove one tunnel; what stays of it in the kernel is logged and shown."""
        self.failed.pop(name, None)
        self._forget(name)
        self._claims.release(name)
        driver = self.drivers.pop(name, None)
        if driver is None:
            return
        try:
            await driver.remove(returning=returning)
        except GatewayError as error:
            self.troubles[name] = f"not all of it is removed: {error.message}"
            publish(TunnelHalfRemoved(name, error.message))

    async def _begin_anew(self, config: TunnelConfig) -> None:
        """Drive a tunnel by its new role, over the epoch that the kernel has."""
        driver = self.drivers.pop(config.name, None)
        if driver is not None:
            await driver.hand_over()
        await self.add(config)

    async def _can_begin(self, name: str, before: Mapping[Key, Content]) -> bool:
        """See, before the old tunnel goes, that there is what the new one needs."""
        config = self._basis.config.tunnels[name]
        try:
            await self._parameters(config, await self._planes.get(config.plane))
        except GatewayError as error:
            if name in self.drivers:
                self._keep(name, error, before)
                return False
        return True

    async def _update_all(
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
                    await self._update(self._basis.config.tunnels[name], rotate=rotate)
                except GatewayError as error:
                    refused[name] = error
            if len(refused) == len(waiting):
                if exchanged or not await self._exchange(refused):
                    break
                exchanged = True
            waiting = list(refused)
        for name, reason in refused.items():
            self._keep(name, reason, before)

    async def _exchange(self, names: Iterable[str]) -> bool:
        """Have tunnels of one plane change together; return whether any did."""
        groups: dict[DataPlane, list[TunnelSpec]] = {}
        for name in names:
            driver = self.drivers.get(name)
            if driver is not None:
                spec = driver.spec_with(self._basis.config.tunnels[name])
                groups.setdefault(driver.state.plane.plane, []).append(spec)
        changed = False
        for plane, specs in groups.items():
            if len(specs) == 1:
                continue  # nobody to exchange with
            with contextlib.suppress(DataPlaneError):  # each says its own, once more
                await self._context.plane_worker.run(plane.update_tunnels, specs)
                changed = True
        return changed

    async def _update(self, config: TunnelConfig, *, rotate: bool) -> None:
        driver = self.drivers.get(config.name)
        if driver is None:
            await self.add(config)
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

    def _keep(
        self, name: str, error: GatewayError, before: Mapping[Key, Content]
    ) -> None:
        """Leave a tunnel as it was; the next reload finds the difference again."""
        old = self.drivers[name].state.config
        self._basis.config = replace(
            self._basis.config, tunnels={**self._basis.config.tunnels, name: old}
        )
        self._basis.contents |= {
            key: before[key] for key in before if key[:2] == ("tunnels", name)
        }
        self.unapplied[name] = error
        self.troubles[name] = f"stays as it was: {error.message}"
        publish(TunnelChangeFailed(name, error.advice))

    async def _parameters(
        self, config: TunnelConfig, plane: DataPlane
    ) -> TunnelParameters:
        """Return a tunnel's parameters; files that could not be used are read again.

        Raises:
            IdentityError: They still cannot.
        """
        name = config.name
        if name not in self._basis.files:
            files = await asyncio.to_thread(
                load_tunnel_files,
                config,
                self._basis.identity.public,
                environ=self._environ,
            )
            self._basis.files[name] = files
            self._basis.contents |= contents_of_tunnel(name, files)
        return make_parameters(
            config, self._basis.files[name], self._basis.identity, plane
        )
