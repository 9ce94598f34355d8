"""The state that the parts of one tunnel's driver share."""

from dataclasses import dataclass

from gateway.config.model import TunnelConfig
from gateway.crypto.identity import format_fingerprint
from gateway.dataplane.base import DataPlane
from gateway.errors import GatewayError
from gateway.handshake.events import CommitReceived, EpochPrepared
from gateway.handshake.tunnel import TunnelParameters
from gateway.rotation import limits
from gateway.rotation.epochs import Epoch
from gateway.rotation.events import EpochInForce, RotationFailed, TunnelEvent
from gateway.rotation.phases import TunnelPhase
from gateway.rotation.schedule import Schedule
from gateway.rotation.trial import NOT_IN_FORCE
from gateway.rotation.tunnel import TunnelRotation
from gateway.tunnels.context import Context
from gateway.tunnels.explain import explain_refusal, list_faults
from gateway.tunnels.offers import KeyOffers
from gateway.tunnels.plane import TunnelPlane
from gateway.tunnels.twins import Twins
from gateway.tunnels.unproven import describe_unproven
from gateway.wire.payloads import Policy, Status, Terms


@dataclass(frozen=True, slots=True)
class Failure:
    """The last attempt that failed."""

    reason: str
    detail: str
    at: float


class TunnelState:
    """One tunnel's configuration, decisions and dealings with store and kernel.

    Attributes:
        context: What all tunnels share.
        config: What the operator wrote.
        parameters: The handshake's view of it.
        record: What an earlier run left.
        rotation: The tunnel's decisions.
        stock: Its QKD keys.
        plane: Its data plane.
        peer_terms: The peer's configuration as it last told, or None.
        failure: The last failed attempt, or None.
        twins: What was seen of two machines with one identity.
    """

    def __init__(
        self,
        context: Context,
        config: TunnelConfig,
        parameters: TunnelParameters,
        plane: DataPlane,
    ) -> None:
        self.context = context
        self.config = config
        self.parameters = parameters
        self.record = context.state.bind(
            config.name, format_fingerprint(parameters.peer.fingerprint)
        )
        self.plane = TunnelPlane(context, plane, config.name)
        self.stock = KeyOffers(context, config.name, config.link, parameters.policy)
        self.rotation = TunnelRotation(
            Schedule(config.name, config.rotation_interval),
            initiator=parameters.initiator,
            max_epoch_lifetime=config.max_epoch_lifetime,
            qkd_wanted=parameters.policy is not Policy.OFF,
            qkd_every=parameters.qkd_every,
            last_epoch=self.record.epoch,
            explain=self.explain_unproven,
            silence=limits.PROBED_SILENCE
            if plane.traits.probes
            else limits.KEPT_SILENCE,
        )
        self.peer_terms: Terms | None = None
        self.failure: Failure | None = None
        self.twins = Twins()

    @property
    def name(self) -> str:
        """The tunnel's name."""
        return self.config.name

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self.context.clock()

    def is_down(self) -> bool:
        """Whether the operator took it down: nothing under way may bring it up.

        Asked again after every wait, since that is when it happens.
        """
        return self.rotation.phase is TunnelPhase.DOWN

    def reconfigure(self, config: TunnelConfig, parameters: TunnelParameters) -> None:
        """Take over what can change while traffic flows."""
        self.config = config
        self.parameters = parameters
        self.context.machine.update_tunnel(parameters)
        self.stock = KeyOffers(
            self.context, config.name, config.link, parameters.policy
        )
        self.rotation.reconfigure(
            Schedule(config.name, config.rotation_interval),
            max_epoch_lifetime=config.max_epoch_lifetime,
            qkd_wanted=parameters.policy is not Policy.OFF,
            qkd_every=parameters.qkd_every,
        )

    def committed(
        self, epoch: EpochPrepared | CommitReceived, without_qkd: str
    ) -> None:
        """Note an epoch that is committed, here and on disk."""
        now = self.now
        is_first = self.rotation.current is None
        self.rotation.committed(
            epoch.epoch,
            sources=epoch.sources,
            key_id=epoch.key_id,
            qkd_age=epoch.qkd_age,
            now=now,
            without_qkd=without_qkd,
        )
        self.context.state.committed(
            self.name,
            epoch.epoch,
            self.rotation.expires_at or now,
            peer=str(epoch.address),
        )
        self.context.links.taken(self.config.link)
        if is_first:
            self.context.links.connected(self.name)
            self.context.relaying.connected(self.name)

    async def let_first_pass(self) -> None:
        """Grant passing before a first epoch sends; those in force renew it.

        Raises:
            DataPlaneError: The kernel refused: nothing would pass.
        """
        if self.rotation.expires_at is None:
            await self.plane.grant(self.config.max_epoch_lifetime)

    def note(self, event: TunnelEvent) -> None:
        """Remember what rotation says."""
        match event:
            case EpochInForce(tunnel, epoch):
                until = self.rotation.expires_at
                if until is not None:
                    self.context.state.came_into_force(tunnel, epoch, until)
            case RotationFailed(_, reason, detail) if reason == NOT_IN_FORCE:
                self.failure = Failure(reason, detail, self.now)

    def explain_unproven(self, epoch: Epoch) -> str:
        """Say why an epoch is not in force, one line for the operator."""
        return describe_unproven(
            here=epoch.local_proof,
            there=epoch.peer_proof,
            outside=self.plane.outside,
            fault=self.plane.obstacle,
        )

    def can_ask(self) -> bool:
        """Whether a session is there over which the peer can be asked for an epoch."""
        return self.context.machine.has_session(self.name)

    def failed(self, reason: str, detail: str, *, key_spent: bool = False) -> None:
        """Note an attempt that ended without an epoch."""
        now = self.now
        self.failure = Failure(reason, detail, now)
        self.rotation.failed(reason, detail, now=now, key_spent=key_spent)

    def refused(self, status: Status, theirs: Terms, tunnel: str) -> None:
        """Note an attempt that one end refused."""
        ours = self.parameters.terms()
        detail = explain_refusal(status, ours, theirs, tunnel)
        self.failed(status.name.lower().replace("_", "-"), detail)

    def failed_because(self, reason: str, error: GatewayError) -> None:
        """Note an attempt that an error of ours ended."""
        self.failed(reason, error.message)

    def failure_reason(self) -> str:
        """Return the last failure's reason, or an empty string."""
        return self.failure.reason if self.failure else ""

    def why_without(self, offered: int, *, by_peer: bool) -> str:
        """Say why an epoch gets no QKD key, though keys are wanted.

        Args:
            offered: Keys offered in its handshake.
            by_peer: Whether the peer offered them, and this end could not choose.
        """
        if offered:
            holder = "this end" if by_peer else "the peer"
            return f"{holder} has none of the {offered} keys offered"
        if by_peer:
            return "the peer offered none"
        link = self.config.link or ""
        trouble = self.context.links.trouble(link)
        return f"no key in stock of link {link}" + (f": {trouble}" if trouble else "")

    def qkd_every(self) -> int:
        """Return every how many epochs a QKD key is mixed: the stricter end decides."""
        ours, theirs = self.config.qkd_every, self.peer_terms
        return ours if theirs is None else min(ours, theirs.qkd_every)

    def last_epoch(self) -> int:
        """Return the number of the last epoch committed, 0 for none."""
        return self.context.machine.committed(self.name)

    def faults(self) -> list[str]:
        """Things that work but should not stay so."""
        found = [self.plane.fault] if self.plane.fault else []
        if self.peer_terms is not None:
            found += list_faults(self.parameters.terms(), self.peer_terms)
        found += self.twins.faults(now=self.now)
        current = self.rotation.current
        if current and self.rotation.lacks_qkd(current):
            reason = self.rotation.without_qkd
            every = self.config.qkd_every
            lack = "this epoch has no fresh QKD key"
            if every > 1:
                lack += f", and one is due (qkd_every = {every})"
            found.append(f"{lack}: {reason}" if reason else lack)
        return found
