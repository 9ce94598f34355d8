"""What the plane knows of one tunnel, and how it finds out after a restart."""

from collections import defaultdict
from dataclasses import dataclass, field

from gateway.dataplane.base import EpochState, PlaneState, TunnelSpec
from gateway.dataplane.esp.associations import Association, Found, Pair, read_counters
from gateway.dataplane.esp.policies import FoundPolicy
from gateway.dataplane.esp.rules import Purpose, Rule, reqid_of


@dataclass(slots=True)
class Tunnel:
    """One tunnel's state in this process.

    Attributes:
        spec: What the daemon said of it.
        rules: Its policies.
        pairs: SAs by epoch.
        active: The epoch that sending uses, None while blocked.
        sending: The SA that the sending policies name, None while they refuse.
        leftovers: SAs whose epoch was installed anew; they go with the next `retire`.
        offers: SPIs offered and not yet installed, oldest first.
        path: Outer addresses for which the MTU was set.
    """

    spec: TunnelSpec
    rules: tuple[Rule, ...]
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

    def report(self, answers: dict[Association, bytes | None]) -> PlaneState:
        """Put together what the kernel answered, and forget epochs it forgot.

        Args:
            answers: Answers to GETSA, of all SAs in `pairs`.
        """
        states = []
        for epoch, pair in sorted(self.pairs.items()):
            received = answers.get(pair.inbound) if pair.inbound else None
            sent = answers.get(pair.outbound) if pair.outbound else None
            if received is None and sent is None:
                del self.pairs[epoch]
                if self.active == epoch:
                    self.active = None
                continue
            packets_in, bytes_in = read_counters(received)
            packets_out, bytes_out = read_counters(sent)
            pair.received = pair.received or packets_in > 0
            states.append(
                EpochState(
                    epoch,
                    active=epoch == self.active and sent is not None,
                    received=pair.received,
                    packets_in=packets_in,
                    packets_out=packets_out,
                    bytes_in=bytes_in,
                    bytes_out=bytes_out,
                )
            )
        return PlaneState(
            blocked=not any(state.active for state in states), epochs=tuple(states)
        )
