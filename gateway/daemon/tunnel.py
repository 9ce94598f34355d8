"""One tunnel's driver: carries out what rotation and the protocol machine ask.

Everything that happens to a tunnel goes through one queue and is done in order;
what waits for the disk or the kernel waits in the workers' threads. Nothing that a
tunnel does can stop another one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar
from uuid import UUID

from gateway.config.model import TunnelConfig
from gateway.daemon.context import Context
from gateway.daemon.refusals import explain_refusal, list_faults
from gateway.daemon.resolver import SocketAddress
from gateway.daemon.stock import TunnelStock
from gateway.dataplane.base import (
    DataPlane,
    EpochInstall,
    PlaneKeys,
    PlaneState,
    TunnelSpec,
)
from gateway.errors import DataPlaneError, GatewayError, KeyStoreError
from gateway.handshake.events import (
    CommitReceived,
    ControlReceived,
    EpochCommitted,
    EpochPrepared,
    Event,
    HandshakeFailed,
    HandshakeID,
    HandshakeRefused,
    InitiationReceived,
    InitiationRefused,
    PeerMoved,
    PeerSilent,
    QKDKeyRequested,
)
from gateway.handshake.tunnel import TunnelParameters
from gateway.rotation import limits
from gateway.rotation.actions import (
    Action,
    AskForRotation,
    BlockTunnel,
    PollPlane,
    ReadPlane,
    RetireEpoch,
    SendInForce,
    StartHandshake,
)
from gateway.rotation.schedule import Schedule
from gateway.rotation.tunnel import TunnelPhase, TunnelRotation
from gateway.wire.control import (
    Close,
    CloseReason,
    InForce,
    RotateReason,
    RotateRequest,
)
from gateway.wire.payloads import Policy, Status, Terms

logger = logging.getLogger(__name__)

MIN_REQUESTED_SPACING: Final = 2.0
"""Seconds between rotations that a peer may ask for."""

MAX_ANSWERS: Final = 8
"""Plane offers kept for handshakes that no M3 has followed: twice the machine's cap."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Failure:
    """The last attempt that failed."""

    reason: str
    detail: str
    at: float


class TunnelDriver:
    """Runs one tunnel.

    Attributes:
        config: What the operator wrote.
        parameters: The handshake's view of it.
        plane: Its data plane.
        rotation: Its decisions.
        peer_terms: The peer's configuration as it last told, or None.
        failure: The last failed attempt, or None.
        traffic: The kernel's counters as last read.
    """

    def __init__(
        self,
        context: Context,
        config: TunnelConfig,
        parameters: TunnelParameters,
        plane: DataPlane,
    ) -> None:
        self.config = config
        self.parameters = parameters
        self.plane = plane
        self._context = context
        self._record = context.state.record(config.name)
        self.rotation = self._new_rotation(self._record.epoch)
        self._stock = TunnelStock(context, config.name, config.link, parameters.policy)
        self.peer_terms: Terms | None = None
        self.failure: Failure | None = None
        self.traffic = PlaneState(blocked=True)
        self.plane_fault = ""
        self._queue: deque[Event | Action] = deque()
        self._task: asyncio.Task[None] | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: HandshakeID | None = None
        self._offered: tuple[UUID, ...] = ()
        self._key_spent = False
        self._offer = b""
        self._answers: dict[HandshakeID, bytes] = {}
        self._prepared: EpochPrepared | None = None
        self._lost_epoch: int | None = None
        self._last_address: SocketAddress | None = None

    @property
    def name(self) -> str:
        """The tunnel's name."""
        return self.config.name

    def _is_down(self) -> bool:
        """Whether the operator took it down: nothing under way may bring it up.

        Asked again after every wait, since that is when it happens.
        """
        return self.rotation.phase is TunnelPhase.DOWN

    def _new_rotation(self, last_epoch: int) -> TunnelRotation:
        config = self.config
        return TunnelRotation(
            Schedule(config.name, config.rotation_interval),
            initiator=self.parameters.initiator,
            max_epoch_lifetime=config.max_epoch_lifetime,
            qkd_wanted=self.parameters.policy is not Policy.OFF,
            last_epoch=last_epoch,
        )

    # -- What the service calls

    async def start(self) -> None:
        """Make the tunnel in the kernel, blocked or adopted, and begin.

        Raises:
            DataPlaneError: The kernel refused.
        """
        await self._plane_call(self.plane.add_tunnel, self.spec())
        self._context.machine.add_tunnel(self.parameters, committed=self._record.epoch)
        try:
            if self.config.enabled:
                await self.bring_up(adopt=True)
            else:
                await self._plane_call(self.plane.block, self.name)
        except DataPlaneError:
            # It will be started again, by another driver.
            self._context.machine.remove_tunnel(self.name)
            raise

    def spec(self) -> TunnelSpec:
        """What the data plane needs to know of the tunnel."""
        config = self.config
        return TunnelSpec(
            name=config.name,
            index=self._record.index,
            interface=config.interface,
            addresses=tuple(map(str, config.addresses)),
            local_subnets=tuple(map(str, config.local_subnets)),
            remote_subnets=tuple(map(str, config.remote_subnets)),
            mtu=config.mtu,
            encap=config.encap,
        )

    async def bring_up(self, *, adopt: bool = False) -> None:
        """Start rotating; with `adopt`, keep what an earlier run left in the kernel."""
        now = self._context.clock()
        state = await self._plane_call(self.plane.read_state, self.name)
        active = next((one.epoch for one in state.epochs if one.active), None)
        record = self._record
        current = self._context.state.is_current(record, now=now)
        if adopt and active is not None and current:
            self.traffic = state
            self.rotation.adopt(
                tuple(one.epoch for one in state.epochs),
                active=active,
                expires_at=min(record.expires_at, now + self.config.max_epoch_lifetime),
                now=now,
            )
            logger.info(
                "adopted epoch %d from the kernel",
                record.epoch,
                extra={"tunnel": self.name, "event": "adopted", "epoch": record.epoch},
            )
        else:
            await self._plane_call(self.plane.block, self.name)
            self.rotation.up(now=now)
        self._pump()

    def take_down(self) -> None:
        """Stop rotating and remove the keys; the peer is told."""
        if self.rotation.phase is TunnelPhase.DOWN:
            return
        self._context.machine.send_control(self.name, Close(CloseReason.REMOVED))
        if self._handshake is not None:
            self._context.machine.abort(self._handshake, "the tunnel is taken down")
        self._prepared = None
        self.rotation.down()
        self._pump()

    def rotate(self, reason: RotateReason) -> None:
        """Rotate now rather than on schedule."""
        self.rotation.rotate(reason, now=self._context.clock())
        self._pump()

    async def update(self, config: TunnelConfig, parameters: TunnelParameters) -> None:
        """Take over what can change while traffic flows."""
        was_enabled = self.config.enabled
        self.config = config
        self.parameters = parameters
        self._context.machine.update_tunnel(parameters)
        self._stock = TunnelStock(
            self._context, config.name, config.link, parameters.policy
        )
        self.rotation.reconfigure(
            Schedule(config.name, config.rotation_interval),
            max_epoch_lifetime=config.max_epoch_lifetime,
            qkd_wanted=parameters.policy is not Policy.OFF,
        )
        if was_enabled and not config.enabled:
            self.take_down()
        elif config.enabled and not was_enabled:
            await self.bring_up()
        self._pump()

    async def stop(self) -> None:
        """Stop driving; what is in the kernel stays."""
        self._cancel_timer()
        for task in (self._resolving, self._task):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def remove(self) -> None:
        """Remove the tunnel altogether."""
        self._context.machine.send_control(self.name, Close(CloseReason.REMOVED))
        await self.stop()
        self._context.machine.remove_tunnel(self.name)
        self._context.state.forget(self.name)
        await self._plane_call(self.plane.remove_tunnel, self.name)

    def post(self, item: Event | Action) -> None:
        """Queue something to be done, after all that was queued before."""
        self._queue.append(item)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._drain())

    # -- The queue

    async def _drain(self) -> None:
        while self._queue:
            item = self._queue.popleft()
            try:
                await self._handle(item)
            except GatewayError as error:
                logger.warning(
                    "%s: %s%s",
                    type(item).__name__,
                    error.message,
                    f"; {error.hint}" if error.hint else "",
                    extra={"tunnel": self.name, "event": "failed"},
                )
            except Exception:
                # A fault of ours in one tunnel must not take the others with it,
                # nor leave this one waiting for a handshake that nobody continues.
                logger.exception(
                    "fault while handling %s",
                    type(item).__name__,
                    extra={"tunnel": self.name, "event": "fault"},
                )
                self._abandon(item)
            self._pump()

    def _abandon(self, item: Event | Action) -> None:
        """End the attempt that an item belonged to; the next one may do better."""
        detail = "internal fault; see the log"
        if isinstance(item, EpochCommitted):
            self._fail("fault", GatewayError(detail))
        elif isinstance(item, InitiationReceived):
            self._context.machine.refuse_initiation(item.handshake, Status.NOT_READY)
        elif isinstance(item, EpochPrepared | CommitReceived | QKDKeyRequested):
            self._context.machine.abort(item.handshake, detail)

    def _pump(self) -> None:
        """Pass on what rotation decided; set its timer."""
        while (action := self.rotation.next_action()) is not None:
            self.post(action)
        while (event := self.rotation.next_event()) is not None:
            self._context.publish(event)
        self._context.flush()
        self._cancel_timer()
        when = self.rotation.get_timer()
        if when is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.rotation.handle_timer(now=self._context.clock())
        self._pump()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _handle(self, item: Event | Action) -> None:  # noqa: C901, PLR0912  # a table
        match item:
            case StartHandshake(epoch):
                self._resolve_then_start(epoch)
            case PollPlane():
                await self._poll(self.plane.poll)
            case ReadPlane():
                await self._poll(self.plane.read_state)
            case RetireEpoch(epoch):
                await self._plane_call(self.plane.retire, self.name, epoch)
            case BlockTunnel():
                await self._plane_call(self.plane.block, self.name)
            case SendInForce(epoch, echo):
                self._context.machine.send_control(self.name, InForce(epoch, echo))
            case AskForRotation(reason):
                self._context.machine.send_control(self.name, RotateRequest(reason))
            case InitiationReceived():
                await self._answer(item)
            case QKDKeyRequested():
                await self._provide_key(item)
            case EpochPrepared():
                await self._prepare(item)
            case EpochCommitted():
                await self._activate(item)
            case CommitReceived():
                await self._install(item)
            case HandshakeFailed():
                await self._failed(item)
            case HandshakeRefused():
                await self._refused(item)
            case InitiationRefused():
                self._note_refusal(item)
            case PeerMoved(_, address):
                await self._follow(address)
            case PeerSilent():
                self._peer_silent()
            case ControlReceived():
                self._control(item)
            case _:
                pass

    # -- Initiator

    def _resolve_then_start(self, epoch: int) -> None:
        """Find the peer beside the queue: a slow resolver must not delay a block."""
        if self._resolving is not None and not self._resolving.done():
            self._resolving.cancel()
        self._resolving = asyncio.get_running_loop().create_task(
            self._resolve_and_start(epoch)
        )

    async def _resolve_and_start(self, epoch: int) -> None:
        try:
            address = await self._peer_address()
            await self._start_handshake(epoch, address)
        except GatewayError as error:
            await self._stock.release(self._own_holder())
            self._fail(_reason_of(error), error)
        except Exception:
            logger.exception(
                "fault while starting epoch %d",
                epoch,
                extra={"tunnel": self.name, "event": "fault"},
            )
            self._fail("fault", GatewayError("internal fault; see the log"))
        self._pump()

    async def _peer_address(self) -> SocketAddress:
        """Return where the peer was last heard, or where it is configured to be."""
        endpoint = self.config.endpoint
        known = self._context.machine.peer_address(self.name)
        heard = isinstance(known, tuple) and not self.rotation.failures_in_row
        if endpoint is not None and not heard:
            return await self._context.resolver.resolve(endpoint)
        if isinstance(known, tuple):
            return known[0], known[1]
        raise GatewayError(
            "the peer's address is not known",
            "set endpoint, or let the peer be the initiator",
        )

    async def _start_handshake(self, epoch: int, address: SocketAddress) -> None:
        offered = tuple(await self._stock.reserve(self._own_holder()))
        if not offered and self.parameters.policy is Policy.REQUIRED:
            raise KeyStoreError(
                f"no QKD key in stock of link {self.config.link}, and qkd = required",
                "import keys: qgw keystore import --link "
                f"{self.config.link} FILE; or check the link",
            )
        offer = await self._plane_call(self.plane.offer, self.name, epoch)
        if self._is_down():
            await self._stock.release(self._own_holder())
            return
        self._offer = offer
        self._offered = offered
        self._key_spent = False
        self._last_address = address
        self._handshake = self._context.machine.start_handshake(
            self.name,
            epoch=epoch,
            key_ids=offered,
            plane_offer=self._offer,
            address=address,
            now=self._context.clock(),
        )

    async def _provide_key(self, event: QKDKeyRequested) -> None:
        machine = self._context.machine
        try:
            await self._stock.retire(self._offered, event.used)
            key = await self._stock.consume(event.key_id, self._own_holder())
            self._key_spent = True
        except KeyStoreError as error:
            machine.refuse_qkd_key(event.handshake, error.message)
            return
        machine.provide_qkd_key(event.handshake, key, now=self._context.clock())

    async def _prepare(self, event: EpochPrepared) -> None:
        try:
            install = self._installation(event, self._offer)
            await self._plane_call(self.plane.prepare, install)
        except GatewayError as error:
            self._context.machine.abort(event.handshake, error.message)
            return
        if self._is_down():
            return
        self._prepared = event
        self.peer_terms = event.terms
        self.rotation.prepared(event.epoch)
        self._context.machine.commit(event.handshake, now=self._context.clock())

    async def _activate(self, event: EpochCommitted) -> None:
        if self._is_down():
            return
        prepared = self._prepared
        if prepared is None or prepared.epoch != event.epoch:
            raise GatewayError(f"epoch {event.epoch} was committed but not prepared")
        self._handshake = self._prepared = None
        try:
            await self._plane_call(self.plane.activate, self.name, event.epoch)
        except GatewayError as error:
            self._fail("plane", error)
        else:
            if not self._is_down():
                self._committed(event.epoch, prepared.sources, prepared.key_id)
        await self._stock.release(self._own_holder())

    async def _refused(self, event: HandshakeRefused) -> None:
        self._handshake = None
        self.peer_terms = event.terms
        await self._stock.retire(self._offered, event.used)
        await self._stock.release(self._own_holder())
        now = self._context.clock()
        if event.status is Status.STALE_EPOCH:
            self.rotation.behind(event.epoch, now=now)
            return
        detail = explain_refusal(
            event.status, self.parameters.terms(), event.terms, self.name
        )
        self._record_failure(event.status.name.lower().replace("_", "-"), detail)
        self.rotation.failed(self.failure_reason(), detail, now=now)

    # -- Responder

    async def _answer(self, event: InitiationReceived) -> None:
        machine = self._context.machine
        if self.rotation.phase is TunnelPhase.DOWN:
            machine.refuse_initiation(event.handshake, Status.NOT_READY)
            return
        self.peer_terms = event.request.terms
        holder = self._answer_holder(event.handshake)
        try:
            key, used = await self._stock.choose(event.request.key_ids, holder)
            offer = await self._plane_call(
                self.plane.offer, self.name, event.request.epoch
            )
        except GatewayError as error:
            logger.warning(
                "cannot answer an initiation: %s",
                error.message,
                extra={"tunnel": self.name, "event": "not-ready"},
            )
            machine.refuse_initiation(event.handshake, Status.NOT_READY)
            return
        self._answers[event.handshake] = offer
        while len(self._answers) > MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]
        machine.accept_initiation(
            event.handshake, plane_offer=offer, qkd=key, used=used
        )

    async def _install(self, event: CommitReceived) -> None:
        holder = self._answer_holder(event.handshake)
        offer = self._answers.pop(event.handshake, b"")
        machine = self._context.machine
        if self._is_down():
            machine.abort(event.handshake, "the tunnel is taken down")
            return
        try:
            if event.key_id is not None:
                # Durable before any key made with it reaches the kernel.
                await self._stock.consume(event.key_id, holder)
            install = self._installation(event, offer)
            await self._plane_call(self._prepare_and_activate, install)
        except GatewayError as error:
            machine.abort(event.handshake, error.message)
            await self._stock.release(holder)
            await self._discard(event.epoch)
            self._record_failure("install", error.message)
            self.rotation.failed("install", error.message, now=self._context.clock())
            return
        if self._is_down():
            machine.abort(event.handshake, "the tunnel is taken down")
            return
        machine.confirm(event.handshake, now=self._context.clock())
        self.peer_terms = event.terms
        self._committed(event.epoch, event.sources, event.key_id)

    def _prepare_and_activate(self, install: EpochInstall) -> None:
        """Do both in one turn of the plane's thread: changing threads is not free."""
        self.plane.prepare(install)
        self.plane.activate(install.tunnel, install.epoch)

    async def _discard(self, epoch: int) -> None:
        """Take back what was installed of an epoch that is not to be."""
        try:
            await self._context.plane_worker.run(self.plane.retire, self.name, epoch)
        except DataPlaneError as error:
            logger.warning(
                "cannot remove what was installed of epoch %d: %s",
                epoch,
                error.message,
                extra={"tunnel": self.name, "event": "half-installed"},
            )

    def _note_refusal(self, event: InitiationRefused) -> None:
        self.peer_terms = event.terms
        if event.status is Status.STALE_EPOCH:
            return
        detail = explain_refusal(
            event.status, self.parameters.terms(), event.terms, event.tunnel
        )
        self._record_failure(event.status.name.lower().replace("_", "-"), detail)
        self.rotation.failed(self.failure_reason(), detail, now=self._context.clock())

    # -- Both

    async def _failed(self, event: HandshakeFailed) -> None:
        own = event.handshake == self._handshake
        if not own:
            self._answers.pop(event.handshake, None)
            await self._stock.release(self._answer_holder(event.handshake))
            return
        self._handshake = None
        await self._stock.release(self._own_holder())
        if self.config.endpoint is not None and event.reason == "timeout":
            self._context.resolver.forget(self.config.endpoint)
        self._record_failure(event.reason, event.detail)
        self.rotation.failed(
            event.reason,
            event.detail,
            now=self._context.clock(),
            key_spent=self._key_spent,
        )

    def _committed(
        self, epoch: int, sources: tuple[str, ...], key_id: UUID | None
    ) -> None:
        now = self._context.clock()
        self.rotation.committed(epoch, sources=sources, key_id=key_id, now=now)
        self._context.state.committed(
            self.name, epoch, now + self.config.max_epoch_lifetime
        )

    async def _poll(self, call: Callable[[str], PlaneState]) -> None:
        state = await self._plane_call(call, self.name)
        self.traffic = state
        proven = frozenset(epoch.epoch for epoch in state.epochs if epoch.received)
        self.rotation.plane_polled(proven, now=self._context.clock())
        current = self.rotation.current
        if current is None or self.rotation.phase is not TunnelPhase.UP:
            return
        silenced = state.blocked or not any(one.active for one in state.epochs)
        is_gone = all(one.epoch != current.number for one in state.epochs)
        # A plane may send under the epoch only once it is proven (WireGuard).
        if silenced and (current.local_proof or is_gone):
            self._plane_lost(current.number)

    def _plane_lost(self, epoch: int) -> None:
        """Somebody removed our keys from the kernel: make new ones."""
        if self._lost_epoch != epoch:
            self._lost_epoch = epoch
            logger.warning(
                "the kernel no longer holds this tunnel's keys",
                extra={"tunnel": self.name, "event": "plane-lost"},
            )
        self.rotation.rotate(RotateReason.PLANE_LOST, now=self._context.clock())

    async def _follow(self, address: object) -> None:
        if not isinstance(address, tuple):
            return
        logger.info(
            "the peer moved to %s",
            address[0],
            extra={"tunnel": self.name, "event": "peer-moved"},
        )
        await self._plane_call(self.plane.move_peer, self.name, address)
        self.rotation.rotate(RotateReason.ADDRESS_CHANGED, now=self._context.clock())

    def _peer_silent(self) -> None:
        if self.config.endpoint is not None:
            self._context.resolver.forget(self.config.endpoint)
        self.rotation.peer_silent(now=self._context.clock())

    def _control(self, event: ControlReceived) -> None:
        now = self._context.clock()
        match event.message:
            case InForce(epoch, echo):
                self.rotation.peer_in_force(epoch, echo=echo, now=now)
            case RotateRequest(reason):
                current = self.rotation.current
                recent = current is not None and current.committed_at is not None
                since = now - (current.committed_at or 0.0) if current else 0.0
                if not recent or since >= MIN_REQUESTED_SPACING:
                    self.rotation.rotate(reason, now=now)
            case Close():
                if self._handshake is not None:
                    # It would wait for an answer that is not to come.
                    self._context.machine.abort(
                        self._handshake, "the peer took the tunnel down"
                    )
                self.rotation.peer_closed()
            case _:
                pass

    def _installation(
        self, event: EpochPrepared | CommitReceived, offer: bytes
    ) -> EpochInstall:
        peer = event.address
        if not isinstance(peer, tuple):
            raise GatewayError("the peer's address is not known")
        keys = event.keys
        initiator = self.parameters.initiator
        plane_keys = PlaneKeys(
            esp_send=keys.esp_i2r if initiator else keys.esp_r2i,
            esp_receive=keys.esp_r2i if initiator else keys.esp_i2r,
            wireguard_psk=keys.wireguard_psk,
        )
        local = self._context.sockets.source_for(peer)
        if self.config.local_address is not None:
            local = (self.config.local_address, local[1])
        return EpochInstall(
            tunnel=self.name,
            epoch=event.epoch,
            initiator=initiator,
            local_address=local,
            peer_address=peer,
            local_offer=offer,
            peer_offer=event.plane_offer,
            keys=plane_keys,
            lifetime=self.config.max_epoch_lifetime + limits.LIFETIME_MARGIN,
        )

    def faults(self) -> list[str]:
        """Things that work but should not stay so."""
        found = [self.plane_fault] if self.plane_fault else []
        if self.peer_terms is not None:
            found += list_faults(self.parameters.terms(), self.peer_terms)
        current = self.rotation.current
        wanted = self.parameters.policy is not Policy.OFF
        if current and wanted and not current.adopted and current.key_id is None:
            found.append("this epoch has no fresh QKD key")
        return found

    def last_epoch(self) -> int:
        """Return the number of the last epoch committed, 0 for none."""
        return self._context.machine.committed(self.name)

    def failure_reason(self) -> str:
        """Return the last failure's reason, or an empty string."""
        return self.failure.reason if self.failure else ""

    async def _plane_call(
        self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call the data plane in its thread; remember what it objects to."""
        try:
            result = await self._context.plane_worker.run(call, *args, **kwargs)
        except DataPlaneError as error:
            self.plane_fault = error.message
            raise
        self.plane_fault = ""
        return result

    def _fail(self, reason: str, error: GatewayError) -> None:
        self._record_failure(reason, error.message)
        self.rotation.failed(reason, error.message, now=self._context.clock())

    def _record_failure(self, reason: str, detail: str) -> None:
        self.failure = Failure(reason, detail, self._context.clock())

    def _own_holder(self) -> str:
        return f"{self.name}/initiator"

    def _answer_holder(self, handshake: HandshakeID) -> str:
        return f"{self.name}/{handshake.hex()}"


def _reason_of(error: GatewayError) -> str:
    """Name the part that kept a handshake from starting."""
    match error:
        case KeyStoreError():
            return "qkd"
        case DataPlaneError():
            return "plane"
        case _:
            return "endpoint"
