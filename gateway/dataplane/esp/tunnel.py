"""The plane's knowledge of one tunnel, also after a restart."""

from collections import defaultdict
from dataclasses import dataclass, field

from gateway.dataplane.base import EpochState, PlaneState, TunnelSpec
from gateway.dataplane.esp.associations import Association, Found, Pair, read_counters
from gateway.dataplane.esp.policies import FoundPolicy
from gateway.dataplane.esp.rules import Purpose, Rule, reqid_of
from gateway.dataplane.view import SessionView


@dataclass(slots=True)
class EspTunnel:
    """One tunnel's state in this process.

    Attributes:
        spec: What the daemon said of it.
        rules: Its policies.
        probe_target: Where probes go, None if there is nothing behind the peer.
        pairs: SAs by epoch.
        active: The epoch that sending uses, None while blocked.
        sending: The SA that the sending policies name, None while they refuse.
        leftovers: SAs whose epoch was installed anew; they go with the next `retire`.
        offers: SPIs offered and not yet installed, oldest first.
        path: Outer addresses for which the MTU was set.
    """

    spec: TunnelSpec
    rules: tuple[Rule, ...]
    probe_target: str | None
    pairs: dict[int, Pair] = field(default_factory=dict)
    active: int | None = None
    sending: Association | None = None
    leftovers: list[Association] = field(default_factory=list)
    offers: list[int] = field(default_factory=list)
    path: tuple[str, str] | None = None

    @property
    def reqid(self) -> int:
        """The tunnel's reqid and if_id."""
        return reqid_of(self.spec)

    def sending_rules(self) -> list[Rule]:
        """Return the policies that name the active SA."""
        return [rule for rule in self.rules if rule.purpose is Purpose.SEND]

    def all_associations(self) -> list[Association]:
        """Return every SA of the tunnel, leftovers too."""
        own = [sa for pair in self.pairs.values() for sa in pair.associations()]
        return own + self.leftovers

    def adopt(self, found: list[Found], policies: list[FoundPolicy]) -> None:
        """Take over SAs that an earlier daemon installed.

        Of several SAs of one epoch and direction, the one that is in the policy,
        or else the one the kernel listed last, is taken for the epoch's.
        """
        sending = {policy.spi for policy in policies if policy.spi}
        epochs: dict[int, list[Found]] = defaultdict(list)
        for entry in found:
            epochs[entry.epoch].append(entry)
        for epoch in sorted(epochs):
            pair = Pair(epoch, None, None)
            for entry in sorted(
                epochs[epoch], key=lambda entry: entry.association.spi in sending
            ):
                if entry.inbound:
                    replaced, pair.inbound = pair.inbound, entry.association
                else:
                    replaced, pair.outbound = pair.outbound, entry.association
                if replaced is not None:
                    self.leftovers.append(replaced)
            self.pairs[epoch] = pair
            if pair.outbound is not None and pair.outbound.spi in sending:
                self.active, self.sending = epoch, pair.outbound

    def note(self, pairs: list[Pair], answers: dict[Association, bytes | None]) -> None:
        """Take down what the kernel answered, and forget epochs it forgot.

        Args:
            pairs: The epochs that were asked about.
            answers: The answer to GETSA for each of their SAs.
        """
        for pair in pairs:
            inbound = answers.get(pair.inbound) if pair.inbound else None
            outbound = answers.get(pair.outbound) if pair.outbound else None
            pair.can_send = outbound is not None
            if inbound is None and outbound is None:
                del self.pairs[pair.epoch]
                continue
            pair.counted_in = read_counters(inbound)
            pair.counted_out = read_counters(outbound)
            pair.received = pair.received or pair.counted_in[0] > 0
        if self.active not in self.pairs:
            self.active = None

    def report(self) -> PlaneState:
        """Return the state as it was last noted."""
        states = tuple(
            EpochState(
                epoch,
                active=epoch == self.active and pair.can_send,
                received=pair.received,
                packets_in=pair.counted_in[0],
                packets_out=pair.counted_out[0],
                bytes_in=pair.counted_in[1],
                bytes_out=pair.counted_out[1],
            )
            for epoch, pair in sorted(self.pairs.items())
        )
        return PlaneState(
            blocked=not any(state.active for state in states), epochs=states
        )

    def sessions(self) -> tuple[SessionView, ...]:
        """Return the SAs as they were last noted, oldest epoch first."""
        return tuple(
            _session(pair, self, active=epoch == self.active and pair.can_send)
            for epoch, pair in sorted(self.pairs.items())
        )


def _session(pair: Pair, tunnel: EspTunnel, *, active: bool) -> SessionView:
    inbound, outbound = pair.inbound, pair.outbound
    local = peer = ""
    if outbound is not None:
        local, peer = outbound.source, outbound.destination
    elif inbound is not None:
        local, peer = inbound.destination, inbound.source
    return SessionView(
        epoch=pair.epoch,
        active=active,
        device=tunnel.spec.interface,
        local=local,
        peer=peer,
        spi_in=inbound.spi if inbound is not None else None,
        spi_out=outbound.spi if outbound is not None else None,
    )
