"""One tunnel's driver: carries out what rotation and the protocol machine ask.

Everything that happens to a tunnel goes through one queue and is done in order, and
at once where nothing has to be waited for; what waits for the disk or the kernel waits
in the workers' threads. Nothing that a tunnel does can stop another one.
"""

import asyncio
from collections import deque
from dataclasses import replace
from typing import Final

from gateway.config.model import TunnelConfig
from gateway.dataplane.base import DataPlane, PlaneState, TunnelSpec
from gateway.errors import DataPlaneError, GatewayError
from gateway.events.bus import publish
from gateway.events.faults import InternalFault
from gateway.events.tunnels import (
    EpochAdopted,
    IdentityTwice,
    KernelRefused,
    PeerHeardElsewhere,
    PeerPaced,
    PlaneKeysLost,
)
from gateway.handshake.events import (
    CommitReceived,
    ControlReceived,
    EpochCommitted,
    EpochPrepared,
    Event,
    HandshakeFailed,
    HandshakeRefused,
    InitiationReceived,
    InitiationRefused,
    PeerDoubled,
    PeerHasty,
    PeerMoved,
    PeerSilent,
    QKDKeyRequested,
)
from gateway.handshake.tunnel import TunnelParameters
from gateway.host.path import Path
from gateway.rotation.actions import (
    Action,
    AskForRotation,
    BlockTunnel,
    GrantPassing,
    PollPlane,
    ReadPlane,
    RetireEpoch,
    RevokePassing,
    SendInForce,
    SendObstacle,
    StartHandshake,
)
from gateway.rotation.epochs import EpochPhase
from gateway.tunnels.context import Context
from gateway.tunnels.eager import start_eagerly
from gateway.tunnels.initiator import InitiatorDriver
from gateway.tunnels.plane import spec_of
from gateway.tunnels.records import TunnelRecord
from gateway.tunnels.responder import ResponderDriver
from gateway.tunnels.state import TunnelState
from gateway.wire.control import (
    Close,
    CloseReason,
    InForce,
    Obstacle,
    RotateReason,
    RotateRequest,
)
from gateway.wire.network import NodeState, PadStock
from gateway.wire.payloads import Status
from gateway.wire.stock import StockAnnounce, StockAnswer, StockPage

MIN_REQUESTED_SPACING: Final = 2.0
"""Seconds between rotations that a peer may ask for."""

KEYS_LOST: Final = "the kernel no longer holds this tunnel's keys"

_KNOWN_BITS: Final = 2**31 - 1

GRANT_RETRY: Final = 1.0
"""Seconds until the fence is asked again that refused to renew what may pass: nothing
is lost meanwhile, since a grant outlives several rotations."""


class TunnelDriver:
    """Runs one tunnel.

    Attributes:
        state: What there is to know of it.
    """

    def __init__(
        self,
        context: Context,
        config: TunnelConfig,
        parameters: TunnelParameters,
        plane: DataPlane,
    ) -> None:
        self.state = TunnelState(context, config, parameters, plane)
        self._context = context
        self._rotation = self.state.rotation
        self._plane = self.state.plane
        self._asking = InitiatorDriver(self.state)
        self._answering = ResponderDriver(self.state)
        self._queue: deque[Event | Action] = deque()
        self._draining = False
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._is_stopped = False

    @property
    def name(self) -> str:
        """The tunnel's name."""
        return self.state.name

    # -- What the service calls

    async def start(self) -> None:
        """Make the tunnel in the kernel, blocked or adopted, and begin.

        Raises:
            DataPlaneError: The kernel refused.
        """
        state, machine = self.state, self._context.machine
        await self._plane.add(state.config, state.record.index)
        machine.add_tunnel(state.parameters, committed=state.record.epoch)
        try:
            if state.config.enabled:
                await self.bring_up(adopt=True)
            else:
                await self._plane.block()
        except DataPlaneError:
            # It will be started again, by another driver.
            machine.remove_tunnel(self.name)
            raise

    async def bring_up(self, *, adopt: bool = False) -> None:
        """Start rotating, at once; also one that waits for its peer.

        Args:
            adopt: Whether to keep what an earlier run left in the kernel.
        """
        now, record = self.state.now, self.state.record
        if not self.state.is_down():
            self._rotation.up(now=now, ask=self.state.can_ask())
            self._pump()
            return
        found = await self._plane.read()
        active = next((one.epoch for one in found.epochs if one.active), None)
        current = self._context.state.is_current(record, now=now)
        if adopt and active is not None and current:
            lifetime = self.state.config.max_epoch_lifetime
            expires_at = min(record.expires_at, now + lifetime)
            await self._plane.grant(expires_at - now)
            self._rotation.adopt(
                tuple(one.epoch for one in found.epochs),
                active=active,
                expires_at=expires_at,
                now=now,
                proven=_was_in_force(active, record),
            )
            publish(EpochAdopted(self.name, record.epoch))
        else:
            await self._plane.block()
            self._rotation.up(now=now, ask=self.state.can_ask())
        self._pump()

    def take_down(self) -> None:
        """Stop rotating and remove the keys; the peer is told."""
        if self.state.is_down():
            return
        self._context.machine.send_control(self.name, Close(CloseReason.REMOVED))
        self._asking.abort("the tunnel is taken down")
        self._rotation.down()
        self._pump()

    def obstruct(self, detail: str) -> None:
        """Note what keeps packets out of the tunnel here, empty for nothing."""
        self._rotation.trial.obstructed(detail, now=self.state.now)
        self._pump()

    def rotate(self, reason: RotateReason) -> None:
        """Rotate now rather than on schedule."""
        self._rotation.rotate(reason, now=self.state.now)
        self._pump()

    def spec_with(self, config: TunnelConfig) -> TunnelSpec:
        """Return what the plane is to have of a new configuration.

        Without another name of the interface, of which the fence must know before.
        """
        renamed = replace(config, interface=self.state.config.interface)
        return spec_of(renamed, self.state.record.index)

    async def update(self, config: TunnelConfig, parameters: TunnelParameters) -> None:
        """Take over what can change while traffic flows.

        Raises:
            DataPlaneError: The kernel refused; nothing was taken over.
        """
        was_enabled = self.state.config.enabled
        ends = self._rotation.expires_at
        left = max(0.0, ends - self.state.now) if ends is not None else 0.0
        index = self.state.record.index
        await self._plane.update(self.state.config, config, index, left)
        self.state.reconfigure(config, parameters)
        if was_enabled and not config.enabled:
            self.take_down()
        elif config.enabled and not was_enabled:
            await self.bring_up()
        self._pump()

    def is_settled(self) -> bool:
        """Whether no epoch is half-way: stopping now leaves both ends on one."""
        current = self._rotation.current
        proving = (
            current is not None
            and current.phase is EpochPhase.COMMITTED
            and not current.overdue
        )
        return not (proving or self._draining or self._asking.is_committing())

    async def stop(self) -> None:
        """Stop driving; what is in the kernel stays."""
        self._is_stopped = True
        self._cancel_timer()
        await self._asking.stop()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def hand_over(self) -> None:
        """Stop driving, and let another driver begin over what is in the kernel."""
        await self.stop()
        self._context.machine.remove_tunnel(self.name)

    async def remove(self, *, returning: bool = False) -> None:
        """Remove the tunnel altogether.

        Args:
            returning: Whether it is made anew at once: the peer is told to call again,
                and the record stays, for it has the tunnel's index.
        """
        reason = CloseReason.STOPPED if returning else CloseReason.REMOVED
        self._context.machine.send_control(self.name, Close(reason))
        await self.hand_over()
        if not returning:
            self._context.state.forget(self.name)
        await self._plane.remove()

    def post(self, item: Event | Action) -> None:
        """Do something after all that was queued before: now, if that is all done."""
        self._queue.append(item)
        if not self._draining:
            self._draining = True
            self._task = start_eagerly(self._drain(), self._loop)

    # -- The queue

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._do(self._queue.popleft())
                self._pump()
        finally:
            self._draining = False

    async def _do(self, item: Event | Action) -> None:
        try:
            await self._handle(item)
        except GatewayError as error:
            step = type(item).__name__
            publish(KernelRefused(self.name, f"{step}: {error.advice}"))
            self._resume(item)
        except Exception as error:  # noqa: BLE001
            # A fault of ours in one tunnel must not take the others with it,
            # nor leave this one waiting for a handshake that nobody continues.
            publish(
                InternalFault(
                    f"while handling {type(item).__name__}", error, tunnel=self.name
                )
            )
            self._abandon(item)

    def _resume(self, item: Event | Action) -> None:
        """Plan again what the kernel refused and must not be forgotten for it."""
        match item:
            case PollPlane() | ReadPlane():
                self._rotation.trial.plane_failed(now=self.state.now)
            case GrantPassing() | RevokePassing():
                self._loop.call_later(GRANT_RETRY, self._again, item)
            case _:
                pass

    def _again(self, item: GrantPassing | RevokePassing) -> None:
        """Ask the fence again, unless something else is in force by now."""
        until = item.until if isinstance(item, GrantPassing) else None
        if until == self._rotation.expires_at and not self._is_stopped:
            self.post(item)

    def _abandon(self, item: Event | Action) -> None:
        """End the attempt that an item belonged to; the next one may do better."""
        detail = "internal fault; see the log"
        if isinstance(item, EpochCommitted):
            self.state.failed("fault", detail)
        elif isinstance(item, InitiationReceived):
            self._context.machine.refuse_initiation(item.handshake, Status.NOT_READY)
        elif isinstance(item, EpochPrepared | CommitReceived | QKDKeyRequested):
            self._context.machine.abort(item.handshake, detail)

    def _pump(self) -> None:
        """Pass on what rotation decided; set its timer."""
        while (event := self._rotation.next_event()) is not None:
            self.state.note(event)
            self._context.publish(event)
        while (action := self._rotation.next_action()) is not None:
            self.post(action)
        self._context.flush()
        self._set_timer()

    def _set_timer(self) -> None:
        when = self._rotation.get_timer()
        if when == self._timer_at:
            return
        self._cancel_timer()
        if when is not None:
            self._timer = self._loop.call_at(when, self._on_timer)
            self._timer_at = when

    def _on_timer(self) -> None:
        self._timer = self._timer_at = None
        self._rotation.handle_timer(now=self.state.now)
        self._pump()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._timer_at = None

    async def _handle(self, item: Event | Action) -> None:  # noqa: C901, PLR0912, PLR0915  # a table
        match item:
            case StartHandshake(epoch):
                task = self._asking.start(epoch)
                if task is not None:
                    task.add_done_callback(self._on_asked)
            case PollPlane():
                self._note_plane(await self._plane.poll())
            case ReadPlane():
                self._note_plane(await self._plane.read())
            case RetireEpoch(epoch):
                await self._plane.retire(epoch)
            case BlockTunnel():
                await self._plane.block()
            case GrantPassing(until):
                if until == self._rotation.expires_at:
                    await self._plane.grant(until - self.state.now)
            case RevokePassing():
                if self._rotation.expires_at is None:
                    await self._plane.revoke()
            case SendInForce(epoch, echo):
                self._context.machine.send_control(self.name, InForce(epoch, echo))
            case SendObstacle(is_there):
                self._context.machine.send_control(self.name, Obstacle(is_there))
            case AskForRotation(reason):
                self._context.machine.send_control(self.name, RotateRequest(reason))
            case QKDKeyRequested():
                await self._asking.provide_key(item)
            case EpochPrepared():
                await self._asking.prepare(item)
            case EpochCommitted():
                await self._asking.activate(item)
            case HandshakeRefused():
                await self._asking.refused(item)
                self._warn_of_twins()
            case InitiationReceived():
                await self._answering.answer(item)
            case CommitReceived():
                await self._answering.install(item)
            case InitiationRefused():
                self._answering.note_refusal(item)
            case HandshakeFailed() if self._asking.is_own(item.handshake):
                await self._asking.failed(item)
            case HandshakeFailed():
                await self._answering.failed(item)
            case PeerMoved():
                await self._follow(item)
            case PeerSilent():
                self._peer_silent()
            case PeerHasty(_, address):
                publish(PeerPaced(self.name, str(address)))
            case PeerDoubled(_, address, other):
                self.state.twins.of_peer(address, other, now=self.state.now)
                self._warn_of_twins()
            case ControlReceived():
                self._control(item)
            case _:
                pass

    def _on_asked(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            self._pump()

    # -- What the kernel and the peer say

    def _note_plane(self, found: PlaneState) -> None:
        # An epoch that has received but does not send yet needs another poll.
        proven = frozenset(
            epoch.epoch for epoch in found.epochs if epoch.received and epoch.active
        )
        active = next((one.epoch for one in found.epochs if one.active), None)
        self._rotation.trial.plane_polled(
            proven,
            now=self.state.now,
            sending=active,
            heard_at=self._plane.traffic.received_at,
        )
        current = self._rotation.current
        if current is None:
            return
        silenced = found.blocked or not any(one.active for one in found.epochs)
        is_gone = all(one.epoch != current.number for one in found.epochs)
        # A plane may send under the epoch only once it is proven (WireGuard).
        if silenced and (current.local_proof or is_gone):
            publish(PlaneKeysLost(self.name, KEYS_LOST))
            self._rotation.trial.plane_lost(KEYS_LOST, now=self.state.now)

    async def _follow(self, event: PeerMoved) -> None:
        path = event.address
        if not isinstance(path, Path):
            return
        publish(PeerHeardElsewhere(self.name, str(path), path.local_host))
        await self._plane.move_peer(path.remote)
        if not event.keyed:
            self._rotation.rotate(RotateReason.ADDRESS_CHANGED, now=self.state.now)

    def _warn_of_twins(self) -> None:
        for fault in self.state.twins.faults(now=self.state.now):
            publish(IdentityTwice(self.name, fault))

    def _peer_silent(self) -> None:
        self._asking.peer_silent()
        self._rotation.peer_silent(now=self.state.now)

    def _control(self, event: ControlReceived) -> None:
        now = self.state.now
        match event.message:
            case RotateRequest() | InForce() | Obstacle() if self.state.is_down():
                # It has not heard that this end is down on purpose.
                self._context.machine.send_control(
                    self.name, Close(CloseReason.REMOVED)
                )
            case InForce(epoch, echo):
                self._rotation.trial.peer_in_force(epoch, echo=echo, now=now)
            case Obstacle(is_there):
                self._rotation.trial.peer_obstructed(is_there=is_there, now=now)
            case RotateRequest(reason):
                # A wish that comes too soon is put off, not forgotten: the peer's
                # operator was told that the tunnel rotates.
                current = self._rotation.current
                last = current.committed_at if current is not None else None
                soonest = now if last is None else last + MIN_REQUESTED_SPACING
                self._rotation.rotate(reason, now=now, not_before=soonest)
            case Close(reason):
                # What is under way would wait for an answer that is not to come.
                self._asking.abort("the peer took the tunnel down")
                self._rotation.peer_closed(
                    now=now, returning=reason is CloseReason.STOPPED
                )
            case StockAnnounce() | StockPage() | StockAnswer():
                link = self.state.config.link
                if link is not None:
                    self._context.links.receive(link, self.name, event.message)
            case PadStock() | NodeState():
                self._context.relaying.receive(self.name, event.message)
            case _:
                pass


def _was_in_force(active: int, record: TunnelRecord) -> bool:
    """Whether the epoch that sends after a restart is known to have been in force.

    Planes know 31 bits of its number at most, or none: 0. Of WireGuard it is known to
    carry one way at least, and is believed if ever an epoch was in force.
    """
    if record.in_force == record.epoch:
        return True
    newest = active & _KNOWN_BITS == record.epoch & _KNOWN_BITS
    return bool(record.in_force) and not newest
