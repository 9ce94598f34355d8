"""Two supply machines, a bad link, crashes and old stores under a stepped clock.

No key is offered that one end has used; stocks converge; there is progress when the
link returns. Jobs stand still at every request, so that a daemon ends between what it
asked and what it heard of it, and messages come in at any place.
"""

import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.errors import KeyStoreError, SourceFault
from gateway.keystore.base import KeyStanding, KeyStore
from gateway.supply.leader import COMPARE_ANYWAY
from gateway.supply.machine import Lane
from gateway.wire.control import StockMessage, encode_control
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.supply.kme_pair import MemoryKME, SharedPool
from tests.unit.supply.stepped import TUNNEL, Clock, Site, decode_stock_message

LINK = "fibre"
TARGET, BATCH, CAPACITY = 24, 8, 96
SMALL_MTU = 150
"""Bytes for some seven keys a page: a stock takes several."""

OFFERED = 4
HEALING = 1_200.0
"""Seconds within which a good link brings progress."""

MOST_MOMENTS = 5_000

ends = st.sampled_from(["a", "b"])
places = st.integers(0, 10**6)
faults = st.sampled_from(
    [
        SourceFault.EMPTY,
        SourceFault.UNREACHABLE,
        SourceFault.MALFORMED,
        SourceFault.OVERLOADED,
    ]
)


def other(end: str) -> str:
    return "b" if end == "a" else "a"


class TwoStocks(RuleBasedStateMachine):
    """One link between a gateway ``a``, which draws, and ``b``, which follows."""

    checked = True

    @initialize(delay=st.sampled_from([0.0, 1.5]), is_filled=st.booleans())
    def build(self, delay: float, is_filled: bool) -> None:
        self.delay = delay
        fast = Path("/dev/shm")  # noqa: S108  # a folder of its own in it
        place = fast if fast.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="qgw-stocks-", dir=place))
        self.clock = Clock()
        self.pool = SharedPool(salt=b"the same in every run")
        self.kmes = {end: MemoryKME(self.pool) for end in "ab"}
        self.benches = {end: SQLiteBench(self.folder / end) for end in "ab"}
        self.clock.benches += self.benches.values()
        self.copies = {end: self.benches[end].copy() for end in "ab"}
        self.is_up = True
        self.flying: list[tuple[str, bytes]] = []
        self.past: list[tuple[str, bytes]] = []
        self.runs = itertools.count(1, 1000)
        self.holders = itertools.count()
        self.open: list[tuple[str, str]] = []
        self.used: dict[str, dict[UUID, bytes]] = {"a": {}, "b": {}}
        self.old = ""
        self.sites = {end: self.new_site(end) for end in "ab"}
        if is_filled:
            self.pass_time(HEALING, self.is_useful)

    def new_site(self, end: str) -> Site:
        kme = KMEConfig((), "a", "b", batch=BATCH, requests_per_minute=600.0)
        config = LinkConfig(
            LINK,
            LinkSource.ETSI014,
            target=TARGET,
            low_water=4,
            capacity=CAPACITY,
            kme=kme,
            checked=self.checked,
        )
        return Site(
            self.clock,
            config,
            self.benches[end],
            self.kmes[end],
            send=self.sender(other(end)),
            draws=end == "a",
            run=next(self.runs),
            mtu=SMALL_MTU,
        )

    def sender(self, to: str) -> Callable[[StockMessage], bool]:
        def send(message: StockMessage) -> bool:
            if not self.is_up:
                return False
            data = encode_control(message)
            assert len(data) <= SMALL_MTU
            self.flying.append((to, data))
            self.past.append((to, data))
            del self.past[:-60]
            return True

        return send

    def store(self, end: str) -> KeyStore:
        return self.benches[end].store

    def held(self, end: str) -> list[UUID]:
        return list(self.store(end).ledger.held(LINK, after=None, count=10_000))

    def confirmed(self, end: str) -> int:
        status = self.store(end).stocks.status(LINK)
        return status.available - status.unconfirmed

    # -- The machines

    def step(self, end: str, place: int) -> bool:
        busy = self.sites[end].busy()
        if busy:
            self.sites[end].step(busy[place % len(busy)])
        return bool(busy)

    @rule(end=ends, place=places, count=st.integers(1, 12))
    def go_on(self, end: str, place: int, count: int) -> None:
        for _ in range(count):
            self.step(end, place)

    @rule()
    def settle(self) -> None:
        """Do all that is due, and carry nothing."""
        for _ in range(MOST_MOMENTS):
            stepped = [self.step(end, 0) for end in "ab"]
            if True not in stepped:
                return
        raise AssertionError("the machines spin")

    @rule(seconds=st.sampled_from([1.0, 10.0, 60.0]))
    def flow(self, seconds: float) -> None:
        """Let all go its way for a while, faults and all."""
        self.pass_time(seconds, lambda: False)

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 31.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(end=ends)
    def change_by_hand(self, end: str) -> None:
        self.sites[end].changed_by_hand()

    # -- The link

    def carry(self, to: str, data: bytes) -> None:
        self.sites[to].machine.receive(decode_stock_message(data), TUNNEL)

    @rule(place=places)
    def deliver(self, place: int) -> None:
        if self.flying:
            self.carry(*self.flying.pop(place % len(self.flying)))

    @rule()
    def deliver_all(self) -> None:
        flying, self.flying = self.flying, []
        for to, data in flying:
            self.carry(to, data)

    @rule(place=places)
    def lose(self, place: int) -> None:
        if self.flying:
            self.flying.pop(place % len(self.flying))

    @rule(place=places)
    def repeat(self, place: int) -> None:
        if self.past:
            self.carry(*self.past[place % len(self.past)])

    @rule()
    def cut(self) -> None:
        self.is_up = False
        self.flying.clear()

    @rule()
    def mend(self) -> None:
        self.is_up = True
        for site in self.sites.values():
            site.machine.connected()

    # -- What befalls an end

    @rule(end=ends, fault=st.none() | faults)
    def trouble(self, end: str, fault: SourceFault | None) -> None:
        self.kmes[end].fault = fault

    @rule(end=ends, count=st.integers(1, 3))
    def fail_store(self, end: str, count: int) -> None:
        self.sites[end].store_fails = count

    @rule(end=ends)
    def reload(self, end: str) -> None:
        """The daemon goes on, with a supply of its own made anew."""
        former = self.sites[end].machine.hand_over()
        self.sites[end] = self.new_site(end)
        self.sites[end].machine.take_over(former)

    @rule(end=ends)
    def crash(self, end: str) -> None:
        self.benches[end].crash()
        self.begin_anew(end)

    def begin_anew(self, end: str) -> None:
        """Start a daemon: its sessions are new, and nobody holds a key."""
        self.open = [one for one in self.open if one[0] != end]
        self.flying = [one for one in self.flying if one[0] != end]
        self.past = [one for one in self.past if one[0] != end]
        self.sites[end] = self.new_site(end)
        for site in self.sites.values():
            site.machine.connected()

    @rule(end=ends)
    def keep_copy(self, end: str) -> None:
        self.copies[end] = self.benches[end].copy()

    @rule(end=ends)
    def restore(self, end: str) -> None:
        """One end goes on from an old copy; the other one knows what was used."""
        if self.old in ("", end):
            self.old = end
            self.benches[end].restore(self.copies[end])
            self.begin_anew(end)

    # -- Handshakes

    def is_compared(self) -> bool:
        """Whether ``a`` has compared the stocks since it was started."""
        return self.sites["a"].status().compared_ago_s is not None

    @rule(count=st.integers(1, OFFERED), ends_at=st.integers(0, 3))
    def handshake(self, count: int, ends_at: int) -> None:
        """Offer keys, use one: all of it, or up to a message that is lost.

        Args:
            count: Keys offered.
            ends_at: Which message is lost: the first, the second, the third, none.
        """
        a, b = self.store("a"), self.store("b")
        ours, theirs = (f"{next(self.holders)} {end}" for end in "ab")
        are_confirmed = self.confirmed("a") > 0
        offered = a.uses.reserve(LINK, count, holder=ours)
        if are_confirmed:
            assert not self.used_for_good() & set(offered)
        if ends_at:
            choice = b.uses.reserve_first(LINK, offered, holder=theirs)
            self.open.append(("b", theirs))
            if ends_at > 1 and choice.used:
                a.ledger.retire(LINK, sorted(choice.used))
            if ends_at > 1 and choice.key_id is not None:
                key = a.uses.consume(LINK, choice.key_id, holder=ours).expose()
                self.note_use("a", choice.key_id, key)
                if ends_at > 2:
                    theirs_key = b.uses.consume(LINK, choice.key_id, holder=theirs)
                    self.note_use("b", choice.key_id, theirs_key.expose())
                    if are_confirmed:
                        assert self.used["a"][choice.key_id] == theirs_key.expose()
        a.uses.release(ours)
        self.sites["a"].machine.taken()

    def used_for_good(self) -> set[UUID]:
        """Keys that neither end may offer.

        An old copy of ``a`` knows nothing of what it used before it has compared; and
        what it used and never reached ``b`` served no handshake, and may serve one.
        """
        used = set(self.used["b"])
        if self.old != "a":
            return used | self.used["a"].keys()
        return used if self.is_compared() else set()

    def note_use(self, end: str, key_id: UUID, key: bytes) -> None:
        lost = self.used["a"].keys() - self.used["b"].keys()
        if not (end == self.old == "a" and key_id in lost):
            assert key_id not in self.used[end]
        self.used[end][key_id] = key

    @rule()
    def time_out(self) -> None:
        """Half-open handshakes are given up."""
        for end, holder in self.open:
            self.store(end).uses.release(holder)
        self.open.clear()

    # -- What holds

    @rule()
    def heal(self) -> None:
        """A good link, good KMEs and time: stocks fill, and then are equal."""
        self.time_out()
        self.mend()
        for kme in self.kmes.values():
            kme.fault = None
        for site in self.sites.values():
            site.store_fails = 0
        self.pass_time(HEALING, self.is_useful)
        assert self.is_useful()
        self.clock.advance(COMPARE_ANYWAY)
        self.pass_time(HEALING, self.is_in_step)
        assert self.is_in_step()
        held = set(self.held("a"))
        assert not held & self.used_for_good()
        self.used["a"] = {k: v for k, v in self.used["a"].items() if k not in held}
        self.old = ""

    def is_useful(self) -> bool:
        """Whether ``a`` draws no more, and may offer all that it holds."""
        status = self.store("a").stocks.status(LINK)
        return status.available > TARGET - BATCH and not status.unconfirmed

    def is_in_step(self) -> bool:
        held = self.held("a")
        return (
            held == self.held("b")
            and len(held) == self.confirmed("a")
            and not self.sites["a"].status().announced
            and self.is_compared()
        )

    def pass_time(self, seconds: float, enough: Callable[[], bool]) -> None:
        end = self.clock.now + seconds
        for _ in range(MOST_MOMENTS):
            self.settle()
            if self.flying and self.clock.now < end:
                self.clock.advance(self.delay)
                self.deliver_all()
                continue
            if enough() or self.clock.now >= end:
                return
            due = min(site.get_timer() for site in self.sites.values())
            self.clock.advance(min(due, end) - self.clock.now)
        raise AssertionError("no end of messages")

    @invariant()
    def confirmed_keys_were_at_the_peer(self) -> None:
        """None counts as confirmed that ``b`` never had, but in old copies."""
        if not hasattr(self, "sites") or self.old == "b":
            return
        if self.old == "a" and not self.is_compared():
            return
        ledger = self.store("a").ledger
        doubted = set(ledger.unconfirmed(LINK, 10_000))
        trusted = [key_id for key_id in self.held("a") if key_id not in doubted]
        standing = self.store("b").ledger.standing(LINK, trusted)
        assert KeyStanding.UNKNOWN not in standing

    @invariant()
    def nothing_piles_up(self) -> None:
        if hasattr(self, "sites"):
            assert self.pool.made <= 2_000
            for end in "ab":
                status = self.store(end).stocks.status(LINK)
                assert status.available + status.reserved <= CAPACITY

    def teardown(self) -> None:
        if hasattr(self, "sites"):
            try:
                self.heal()
            finally:
                for bench in self.benches.values():
                    bench.close()
                shutil.rmtree(self.folder)


class TwoPadStocks(TwoStocks):
    """The pads of a hop, which ``a`` uses for what it sends: none serves twice.

    After a start ``a`` suspects its store, and uses none before it has. An old copy is
    known by a pad that ``b`` has used: where all were lost on their way, by none.
    """

    checked = False

    def new_site(self, end: str) -> Site:
        site = super().new_site(end)
        if end == "a":
            self.suspecting = site.begin(Lane.LEADING, site.machine.suspect())
        return site

    def is_suspected(self) -> bool:
        """Whether the relay may begin; if it cannot, it tries again."""
        if isinstance(self.suspecting.result, KeyStoreError):
            site = self.sites["a"]
            self.suspecting = site.begin(Lane.LEADING, site.machine.suspect())
        return self.suspecting.is_done

    @rule(end=ends)
    def reload(self, end: str) -> None:
        """A reload waits until whoever suspects the stock has done so."""
        if end == "b" or self.is_suspected():
            suspecting = self.suspecting
            former = self.sites[end].machine.hand_over()
            self.sites[end] = super().new_site(end)
            self.sites[end].machine.take_over(former)
            self.suspecting = suspecting

    @rule(end=ends)
    def restore(self, end: str) -> None:
        super().restore(end)
        if end == "a" == self.old and not set(self.held("a")) & self.used["b"].keys():
            for key_id in self.held("a"):
                self.used["a"].pop(key_id, None)

    @rule(count=st.integers(1, OFFERED), ends_at=st.integers(0, 3))
    def handshake(self, count: int, ends_at: int) -> None:
        """Send under so many pads; all arrive, or none."""
        for _ in range(count):
            if not self.is_suspected() or not self.confirmed("a"):
                return
            self.send_pad(arrives=ends_at > 1)

    def send_pad(self, *, arrives: bool) -> None:
        a, b = self.store("a").uses, self.store("b").uses
        ours, theirs = (f"{next(self.holders)} {end}" for end in "ab")
        (key_id,) = a.reserve(LINK, 1, holder=ours)
        assert key_id not in self.used["a"]
        self.used["a"][key_id] = a.consume(LINK, key_id, holder=ours).expose()
        if not arrives:
            return
        choice = b.reserve_first(LINK, [key_id], holder=theirs)
        if choice.key_id is None:
            # The relay finds its pads out of step, and has them compared.
            self.sites["b"].changed_by_hand()
        else:
            self.used["b"][key_id] = b.consume(LINK, key_id, holder=theirs).expose()
            assert self.used["b"][key_id] == self.used["a"][key_id]


TestTwoStocks = TwoStocks.TestCase
TestTwoStocks.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)

TestTwoPadStocks = TwoPadStocks.TestCase
TestTwoPadStocks.settings = TestTwoStocks.settings
