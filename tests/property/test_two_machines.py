"""Two machines, a bad link and a stepped clock: equal keys or no keys, and progress.

The link loses, reorders, repeats, corrupts and replays; either driver restarts and
loses its chains; the clock jumps to the next timer or far beyond it.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from gateway.crypto.kdf import expand
from gateway.handshake import limits
from gateway.handshake.noise.keys import EpochKeys
from gateway.wire.control import InForce
from gateway.wire.payloads import Policy
from tests.unit.handshake.pair import TUNNEL, End, Pair, key_id
from tests.unit.handshake.test_tampering import REASONS

places = st.integers(0, 10**6)


def exported(keys: EpochKeys) -> tuple[object, ...]:
    """Return the keys that outlive the machine's own session, which wipes its two."""
    return (
        keys.esp_i2r,
        keys.esp_r2i,
        keys.wireguard_psk,
        keys.chain,
        keys.chain_id,
    )


class TwoMachines(RuleBasedStateMachine):
    """One tunnel over one bad link."""

    @initialize(
        policy=st.sampled_from([Policy.OFF, Policy.PREFERRED, Policy.REQUIRED]),
        psk=st.none() | st.just(b"\5" * 32),
        every=st.integers(1, 4),
        responder_every=st.integers(1, 4),
    )
    def build(
        self, policy: Policy, psk: bytes | None, every: int, responder_every: int
    ) -> None:
        self.pair = Pair(
            policy=policy, psk=psk, every=every, responder_every=responder_every
        )
        self.policy = policy
        self.every = {"a": every, "b": responder_every}
        self.first_after_restart: dict[str, set[int]] = {"a": set(), "b": set()}
        self.stocked = 0
        self.flying: list[tuple[End, bytes]] = []
        self.past: list[tuple[End, bytes]] = []
        self.stock_up(20)

    def stock_up(self, count: int) -> None:
        """Give both ends keys, as a KME would."""
        if self.policy is Policy.OFF:
            return
        for _ in range(count):
            self.stocked += 1
            secret = expand(bytes(48), self.stocked.to_bytes(8), 32)
            self.pair.a.stock[key_id(self.stocked)] = secret
            self.pair.b.stock[key_id(self.stocked)] = secret

    def collect(self) -> None:
        """Put on the link what both ends want to send."""
        pair = self.pair
        for source, target in ((pair.a, pair.b), (pair.b, pair.a)):
            for data in pair.sent(source):
                self.flying.append((target, data))
                self.past.append((target, data))
        del self.past[:-60]

    @rule(offer=st.integers(0, 8))
    def rotate(self, offer: int) -> None:
        self.pair.start(offer=offer)
        self.collect()

    @rule(place=places)
    def deliver(self, place: int) -> None:
        if self.flying:
            target, data = self.flying.pop(place % len(self.flying))
            self.pair.deliver(target, [data])
            self.collect()

    @rule()
    def deliver_all(self) -> None:
        for target, data in self.take_all():
            self.pair.deliver(target, [data])
        self.collect()

    def take_all(self) -> list[tuple[End, bytes]]:
        flying, self.flying = self.flying, []
        return flying

    @rule(place=places)
    def lose(self, place: int) -> None:
        if self.flying:
            self.flying.pop(place % len(self.flying))

    @rule(place=places)
    def replay(self, place: int) -> None:
        if self.past:
            target, data = self.past[place % len(self.past)]
            self.pair.deliver(target, [data], ("203.0.113.9", 9))
            self.collect()

    @rule(place=places)
    def reflect(self, place: int) -> None:
        if self.past:
            target, data = self.past[place % len(self.past)]
            other = self.pair.a if target is self.pair.b else self.pair.b
            self.pair.deliver(other, [data])
            self.collect()

    @rule(place=places, position=places, value=st.integers(1, 255))
    def corrupt(self, place: int, position: int, value: int) -> None:
        if self.flying:
            target, data = self.flying.pop(place % len(self.flying))
            changed = bytearray(data)
            changed[position % len(changed)] ^= value
            self.pair.deliver(target, [bytes(changed)])
            self.collect()

    @rule()
    def wait_for_timer(self) -> None:
        dues = [
            due
            for end in (self.pair.a, self.pair.b)
            if (due := end.machine.get_timer()) is not None
        ]
        if dues:
            self.pair.advance(max(0.0, min(dues) - self.pair.now))
            self.collect()

    @rule(seconds=st.sampled_from([0.01, 1.0, 6.0, 20.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.pair.advance(seconds)
        self.collect()

    @rule()
    def speak(self) -> None:
        for end in (self.pair.a, self.pair.b):
            end.machine.send_control(
                TUNNEL, InForce(end.machine.committed(TUNNEL), echo=False)
            )
        self.collect()

    @rule(initiator=st.booleans())
    def restart(self, initiator: bool) -> None:
        """A process dies: its sessions and chains are gone, its epoch is not."""
        pair = self.pair
        end = pair.a if initiator else pair.b
        # The next epoch that this end commits, whichever it will be.
        self.first_after_restart["a" if initiator else "b"].add(len(end.committed))
        old = pair.a_parameters if initiator else pair.b_parameters
        committed = end.machine.committed(TUNNEL)
        end.machine.remove_tunnel(TUNNEL)
        end.drive(pair.now)
        end.prepared.clear()
        end.machine.add_tunnel(old, committed=committed)

    @rule()
    def heal(self) -> None:
        """A good link for a while: the next epoch commits, whatever went before."""
        pair = self.pair
        self.stock_up(10)
        self.collect()
        self.take_all()
        for _ in range(4):
            pair.advance(limits.HALF_OPEN_TIMEOUT + 1)
            pair.pump()
        # Keys that only one end used up are not offered again: drivers compare stock.
        gone = pair.a.stock.keys() ^ pair.b.stock.keys()
        for end in (pair.a, pair.b):
            for used in gone:
                end.stock.pop(used, None)
        pair.handshake()
        for end in (pair.a, pair.b):
            age = end.committed[pair.epoch].qkd_age
            if self.policy is Policy.OFF:
                assert age is None
            else:
                assert age is not None
                assert age < min(self.every.values())

    @invariant()
    def keys_are_equal_or_not_there(self) -> None:
        if not hasattr(self, "pair"):
            return
        a, b = self.pair.a.committed, self.pair.b.committed
        # Nobody believes in an epoch that the responder did not commit.
        assert a.keys() <= b.keys()
        for epoch in a:
            assert exported(a[epoch].keys) == exported(b[epoch].keys)
            assert a[epoch].sources == b[epoch].sources
            assert a[epoch].key_id == b[epoch].key_id
            ours, theirs = a[epoch].qkd_age, b[epoch].qkd_age
            if ours is None or theirs is None:
                assert ours is theirs
            else:
                # What M4s that were lost had confirmed counts for the responder alone.
                assert ours <= theirs

    @invariant()
    def no_qkd_key_serves_two_epochs(self) -> None:
        if not hasattr(self, "pair"):
            return
        for end in (self.pair.a, self.pair.b):
            served = [epoch.key_id for epoch in end.committed.values() if epoch.key_id]
            assert len(served) == len(set(served))
            assert len(end.consumed) == len(set(end.consumed))

    @invariant()
    def required_is_kept(self) -> None:
        if not hasattr(self, "pair"):
            return
        if self.policy is not Policy.REQUIRED:
            return
        for who, end in (("a", self.pair.a), ("b", self.pair.b)):
            every = self.every[who]
            fresh = [one.key_id is not None for one in end.committed.values()]
            for place in range(len(fresh)):
                assert any(fresh[max(0, place - every + 1) : place + 1])
            for place in self.first_after_restart[who]:
                # A chain that was lost carries nothing on.
                assert all(fresh[place : place + 1])

    @invariant()
    def nothing_piles_up(self) -> None:
        if not hasattr(self, "pair"):
            return
        for end in (self.pair.a, self.pair.b):
            core = end.machine._core
            assert len(core.holders) <= 3 + 2 * limits.MAX_HALF_OPEN
            assert len(core.timers) <= len(core.holders) + 1
            assert len(core.tunnels[TUNNEL].chains) <= 2
            assert end.machine.dropped().keys() <= REASONS

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.heal()


TestTwoMachines = TwoMachines.TestCase
TestTwoMachines.settings = settings(max_examples=60, stateful_step_count=40)
