"""One tunnel's data plane: calls it in its own words, and in its thread if it waits."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar

from gateway.config.model import TunnelConfig
from gateway.dataplane.base import (
    DataPlane,
    EpochInstall,
    PlaneKeys,
    PlaneState,
    TunnelSpec,
)
from gateway.dataplane.view import TunnelView
from gateway.errors import DataPlaneError, GatewayError
from gateway.events.bus import publish
from gateway.events.tunnels import HalfInstalled
from gateway.handshake.events import CommitReceived, EpochPrepared
from gateway.host.path import Path
from gateway.rotation import limits
from gateway.tunnels.context import Context
from gateway.tunnels.traffic import Counts, Traffic
from gateway.tunnels.unproven import Outside, outside_of

P = ParamSpec("P")
R = TypeVar("R")


class TunnelPlane:
    """What one tunnel asks of its data plane.

    Every method may raise `DataPlaneError`.

    Attributes:
        plane: The plane, which other tunnels share.
        fault: What it last objected to, empty once a call succeeds.
        obstacle: Why it cannot bring an epoch further, empty once it can.
        state: The kernel's state as last read.
        traffic: What the tunnel carried, as of that reading.
        outside: What its packets look like on the way, None before the first epoch.
    """

    def __init__(self, context: Context, plane: DataPlane, name: str) -> None:
        self._context = context
        self._name = name
        self._encap = False
        self.plane = plane
        self.fault = self.obstacle = ""
        self.state = PlaneState(blocked=True)
        self.outside: Outside | None = None
        self.traffic = Traffic(Counts(*context.state.carried(name)))

    async def add(self, config: TunnelConfig, index: int) -> None:
        """Make the tunnel in the kernel, blocked, or adopt it."""
        self._encap = config.encap
        await self._call(self.plane.add_tunnel, spec_of(config, index))

    async def update(
        self, old: TunnelConfig, new: TunnelConfig, index: int, seconds: float
    ) -> None:
        """Change what the kernel has of it, and no keys; or nothing of it.

        Args:
            old: What it is.
            new: What it is to be.
            index: Its index.
            seconds: For how long it may pass the fence, which knows its interface by
                name; 0 if it may not.
        """
        spec = spec_of(new, index)
        if spec == spec_of(old, index):
            return
        renamed = old.interface != new.interface and seconds > 0
        if renamed:
            await self._grant_both(old.interface, new.interface, seconds)
        await self._call(self.plane.update_tunnel, spec)
        if renamed:
            await self.grant(seconds)

    async def _grant_both(self, old: str, new: str, seconds: float) -> None:
        passage = await self._quick(self.plane.passage, self._name)
        if old in passage.devices:
            both = replace(passage, devices=(*passage.devices, new))
            await self._noting(self._context.fence.grant(self._name, both, seconds))

    async def remove(self) -> None:
        """Close the fence, then remove all that was made for it."""
        await self._noting(self._context.fence.revoke(self._name))
        found = await self._call(self._read_and_call, self.plane.remove_tunnel)
        self._note_removed(found, lambda _: True)

    async def offer(self, epoch: int) -> bytes:
        """Return what the peer must know to install an epoch."""
        return await self._quick(self.plane.offer, self._name, epoch)

    async def prepare(self, install: EpochInstall) -> None:
        """Make receiving under an epoch work."""
        self._note_outside(install)
        await self._installing(install)(self.plane.prepare, install)

    async def activate(self, epoch: int) -> None:
        """Send under an epoch from now on."""
        await self._quick(self.plane.activate, self._name, epoch)

    async def install(self, install: EpochInstall) -> None:
        """Prepare and activate in one turn: changing threads is not free."""
        self._note_outside(install)
        await self._installing(install)(self._install, install)

    async def discard(self, epoch: int) -> None:
        """Take back what was installed of an epoch that is not to be; never raises."""
        try:
            await self._run_quick(self.plane.retire, self._name, epoch)
        except DataPlaneError as error:
            publish(HalfInstalled(self._name, epoch, error.message))

    async def grant(self, seconds: float) -> None:
        """Let the fence pass what goes by the plane, for so many seconds."""
        if seconds <= 0:
            return
        passage = await self._quick(self.plane.passage, self._name)
        await self._noting(self._context.fence.grant(self._name, passage, seconds))

    async def revoke(self) -> None:
        """Let the fence pass nothing; the keys stay."""
        await self._noting(self._context.fence.revoke(self._name))

    async def retire(self, epoch: int) -> None:
        """Remove an epoch's keys; what they counted is read before."""
        found = await self._quick(self._read_and_call, self.plane.retire, epoch)
        self._note_removed(found, lambda number: number == epoch)

    async def block(self) -> None:
        """Close the fence, then remove every epoch's keys; nothing leaves."""
        await self._noting(self._context.fence.revoke(self._name))
        found = await self._quick(self._read_and_call, self.plane.block)
        self._note_removed(found, lambda _: True)

    async def poll(self) -> PlaneState:
        """Push an activation that is not yet complete, and read the state."""
        try:
            found = await self._quick(self.plane.poll, self._name)
        except DataPlaneError as error:
            self.obstacle = error.message
            raise
        self.obstacle = ""
        return self._note(found)

    async def read(self) -> PlaneState:
        """Read the state."""
        return self._note(await self._quick(self.plane.read_state, self._name))

    async def describe(self) -> TunnelView:
        """Say what is real of the tunnel."""
        return await self._context.plane_worker.run(self.plane.describe, self._name)

    async def move_peer(self, address: tuple[str, int]) -> None:
        """Follow the peer to another outer address."""
        await self._call(self.plane.move_peer, self._name, address)

    def _note(self, state: PlaneState) -> PlaneState:
        self.state = state
        self.traffic.note(state, now=self._context.clock())
        self._context.state.count(self._name, self.traffic.gone.values())
        return state

    def _note_removed(
        self, found: PlaneState | None, is_removed: Callable[[int], bool]
    ) -> None:
        """Count what was read just before epochs were removed."""
        if found is None:
            return
        self.traffic.note(found, now=self._context.clock())
        left = tuple(one for one in found.epochs if not is_removed(one.epoch))
        self._note(PlaneState(not any(one.active for one in left), left))

    def _read_and_call(
        self, remove: Callable[..., None], *arguments: int
    ) -> PlaneState | None:
        """Remove keys in the turn in which their counters are read."""
        found: PlaneState | None = None
        with contextlib.suppress(DataPlaneError):
            # That they cannot be read is no reason to leave keys where they are.
            found = self.plane.read_state(self._name)
        remove(self._name, *arguments)
        return found

    def _installing(
        self, install: EpochInstall
    ) -> Callable[[Callable[[EpochInstall], None], EpochInstall], Awaitable[None]]:
        return self._quick if self.plane.prepares_quickly(install) else self._call

    def _note_outside(self, install: EpochInstall) -> None:
        found = outside_of(install, self.plane, encap=self._encap)
        self.outside = found if self.outside is None else self.outside.joined_by(found)

    def _install(self, install: EpochInstall) -> None:
        self.plane.prepare(install)
        self.plane.activate(install.tunnel, install.epoch)

    async def _call(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a call that waits, in the planes' thread."""
        return await self._noting(self._context.plane_worker.run(call, *args, **kwargs))

    async def _quick(
        self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Make a call that waits only on planes that are not quick."""
        return await self._noting(self._run_quick(call, *args, **kwargs))

    async def _run_quick(
        self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        worker = self._context.plane_worker
        run = worker.run_quick if self.plane.quick else worker.run
        return await run(call, *args, **kwargs)

    async def _noting(self, made: Awaitable[R]) -> R:
        """Return what a call returns; keep what the plane objects to."""
        try:
            result = await made
        except DataPlaneError as error:
            self.fault = error.message
            raise
        self.fault = ""
        return result


def spec_of(config: TunnelConfig, index: int) -> TunnelSpec:
    """Return what a data plane needs to know of a tunnel."""
    return TunnelSpec(
        name=config.name,
        index=index,
        interface=config.interface,
        addresses=tuple(map(str, config.addresses)),
        local_subnets=tuple(map(str, config.local_subnets)),
        remote_subnets=tuple(map(str, config.remote_subnets)),
        mtu=config.mtu,
        encap=config.encap,
    )


def installation_of(
    event: EpochPrepared | CommitReceived,
    config: TunnelConfig,
    offer: bytes,
    context: Context,
    *,
    initiator: bool,
) -> EpochInstall:
    """Return what the data plane needs to install an epoch.

    Raises:
        GatewayError: There is no route to the peer.
    """
    path = event.address
    if not isinstance(path, Path):
        raise GatewayError("the peer's address is not known")
    keys = event.keys
    plane_keys = PlaneKeys(
        esp_send=keys.esp_i2r if initiator else keys.esp_r2i,
        esp_receive=keys.esp_r2i if initiator else keys.esp_i2r,
        wireguard_psk=keys.wireguard_psk,
    )
    return EpochInstall(
        tunnel=config.name,
        epoch=event.epoch,
        initiator=initiator,
        local_address=context.sockets.source_of(path),
        peer_address=path.remote,
        local_offer=offer,
        peer_offer=event.plane_offer,
        keys=plane_keys,
        lifetime=config.max_epoch_lifetime + limits.LIFETIME_MARGIN,
    )
