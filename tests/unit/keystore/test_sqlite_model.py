"""The store against a dictionary, through restarts, crashes and reboots."""

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.errors import KeyUnavailableError
from gateway.keystore.base import KeyStanding, KeyStore
from tests.keystore_contract import make_key
from tests.unit.keystore.sqlite_bench import SQLiteBench

LINKS = st.sampled_from(["oslo", "paris"])
HOLDERS = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(0, 15)
LINK_BASE = {"oslo": 0, "paris": 1000}


def key_ids(link: str, numbers: Iterable[int]) -> list[UUID]:
    return [make_key(LINK_BASE[link] + number).key_id for number in numbers]


@dataclass
class Model:
    """A key as it should be."""

    link: str
    number: int
    expires: float | None
    state: str = "available"
    holder: str = ""
    confirmed: bool = True
    offered: bool = False


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.bench = SQLiteBench(self.directory / "store")
        self.now = 0.0
        self.keys: dict[tuple[str, int], Model] = {}
        self.handed_out: set[tuple[str, int]] = set()

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.close()
            shutil.rmtree(self.directory)

    @property
    def store(self) -> KeyStore:
        return self.bench.store

    def expire(self) -> None:
        for key in self.keys.values():
            over = key.expires is not None and key.expires <= self.now
            if over and key.state == "available":
                key.state = "expired"

    def oldest(self, link: str) -> list[Model]:
        free = [
            key
            for key in self.keys.values()
            if key.link == link and key.state == "available"
        ]
        return [key for key in free if key.confirmed] or free

    def unused(self, link: str, numbers: Iterable[int]) -> list[Model]:
        found = (self.keys.get((link, number)) for number in set(numbers))
        return [key for key in found if key and key.state in {"available", "reserved"}]

    def maintain(self) -> None:
        self.store.maintain()
        for key in self.keys.values():
            key.confirmed |= key.offered
            key.offered = False

    @rule(link=LINKS, numbers=st.lists(NUMBERS, max_size=6), lifetime=st.sampled_from(
        [None, 30.0, 90.0]), confirmed=st.booleans())  # fmt: skip
    def add(
        self, link: str, numbers: list[int], lifetime: float | None, confirmed: bool
    ) -> None:
        reasons = {"consumed": "used", "expired": "expired"}
        expected = []
        for number in numbers:
            known = self.keys.get((link, number))
            if known:
                expected.append(reasons.get(known.state, "duplicate"))
            else:
                expires = None if lifetime is None else self.now + lifetime
                self.keys[link, number] = Model(
                    link, number, expires, confirmed=confirmed
                )
        offered = [make_key(LINK_BASE[link] + number) for number in numbers]
        report = self.store.intake.add(
            link, offered, lifetime=lifetime, confirmed=confirmed
        )
        assert [refusal.reason for refusal in report.refused] == expected
        assert report.added == len(numbers) - len(expected)

    @rule(link=LINKS, count=st.integers(0, 4), holder=HOLDERS)
    def reserve(self, link: str, count: int, holder: str) -> None:
        expected = self.oldest(link)[:count]
        for key in expected:
            key.state, key.holder = "reserved", holder
        assert list(self.store.uses.reserve(link, count, holder=holder)) == [
            make_key(LINK_BASE[link] + key.number).key_id for key in expected
        ]

    @rule(link=LINKS, numbers=st.lists(NUMBERS, max_size=4), holder=HOLDERS)
    def reserve_first(self, link: str, numbers: list[int], holder: str) -> None:
        chosen = None
        used = set()
        for number in numbers:
            key = self.keys.get((link, number))
            if key is None:
                continue
            if key.state in {"consumed", "expired"}:
                used.add(make_key(LINK_BASE[link] + number).key_id)
                continue
            key.offered = True
            if chosen is None and (key.state == "available" or key.holder == holder):
                chosen = key
                key.state, key.holder = "reserved", holder
        offered = [make_key(LINK_BASE[link] + number).key_id for number in numbers]
        choice = self.store.uses.reserve_first(link, offered, holder=holder)
        assert choice.used == used
        if chosen is None:
            assert choice.key_id is None
            assert choice.key is None
        else:
            expected = make_key(LINK_BASE[link] + chosen.number)
            assert (choice.key_id, choice.key) == (expected.key_id, expected.key)

    @rule(link=LINKS, number=NUMBERS, holder=HOLDERS)
    def consume(self, link: str, number: int, holder: str) -> None:
        key = self.keys.get((link, number))
        expected = make_key(LINK_BASE[link] + number)
        if key and key.state == "reserved" and key.holder == holder:
            taken = self.store.uses.consume(link, expected.key_id, holder=holder)
            assert taken == expected.key
            assert (link, number) not in self.handed_out
            self.handed_out.add((link, number))
            key.state, key.holder = "consumed", ""
        else:
            with pytest.raises(KeyUnavailableError):
                self.store.uses.consume(link, expected.key_id, holder=holder)

    @rule(link=LINKS, numbers=st.lists(NUMBERS, min_size=1, max_size=4), holder=HOLDERS)
    def consume_many(self, link: str, numbers: list[int], holder: str) -> None:
        named = [(link, number) for number in numbers]
        held = [self.keys[one] for one in named if one in self.keys]
        mine = [key for key in held if key.state == "reserved" and key.holder == holder]
        if len(mine) == len(numbers) == len(set(numbers)):
            taken = self.store.uses.consume_many(
                link, key_ids(link, numbers), holder=holder
            )
            expected = [make_key(LINK_BASE[link] + number).key for number in numbers]
            assert taken == expected
            assert not self.handed_out & set(named)
            self.handed_out |= set(named)
            for key in mine:
                key.state, key.holder = "consumed", ""
        else:
            with pytest.raises(KeyUnavailableError):
                self.store.uses.consume_many(
                    link, key_ids(link, numbers), holder=holder
                )

    def forget_reservations(self, holder: str | None = None) -> int:
        released = 0
        for key in self.keys.values():
            if key.state == "reserved" and holder in {None, key.holder}:
                key.state, key.holder = "available", ""
                released += 1
        self.expire()
        return released

    @rule(holder=HOLDERS)
    def release(self, holder: str) -> None:
        self.store.uses.release(holder)
        self.forget_reservations(holder)

    @rule()
    def release_all(self) -> None:
        assert self.store.uses.release_all() == self.forget_reservations()

    @rule(link=LINKS, numbers=st.lists(NUMBERS, max_size=4))
    def retire(self, link: str, numbers: list[int]) -> None:
        retired = self.unused(link, numbers)
        for key in retired:
            key.state, key.holder = "consumed", ""
        assert self.store.ledger.retire(link, key_ids(link, numbers)) == len(retired)

    @rule(link=LINKS, numbers=st.lists(NUMBERS, max_size=6), confirmed=st.booleans())
    def tell(self, link: str, numbers: list[int], confirmed: bool) -> None:
        told = self.unused(link, numbers)
        news = sum(key.confirmed != confirmed for key in told)
        for key in told:
            key.confirmed, key.offered = confirmed, False
        act = self.store.ledger.confirm if confirmed else self.store.ledger.doubt
        assert act(link, key_ids(link, numbers)) == news

    @rule(link=LINKS, numbers=st.lists(NUMBERS, max_size=6))
    def give_up(self, link: str, numbers: list[int]) -> None:
        given_up = [
            key
            for key in self.unused(link, numbers)
            if key.confirmed and key.state == "available"
        ]
        for key in given_up:
            key.state = "consumed"
        assert self.store.ledger.give_up(link, key_ids(link, numbers)) == len(given_up)

    @rule(link=LINKS)
    def purge_all(self, link: str) -> None:
        self.maintain()
        unused = [
            key
            for key in self.keys.values()
            if key.link == link and key.state in {"available", "reserved"}
        ]
        for key in unused:
            key.state, key.holder = "expired", ""
        assert self.store.stocks.purge(link, all_keys=True) == len(unused)

    @rule(seconds=st.sampled_from([1.0, 10.0, 40.0]))
    def advance(self, seconds: float) -> None:
        self.bench.advance(seconds)
        self.now += seconds
        self.expire()

    @rule(how=st.sampled_from(["restart", "crash", "reboot"]))
    def start_again(self, how: str) -> None:
        self.maintain()
        getattr(self.bench, how)()
        self.forget_reservations()

    def standing(self, link: str, number: int) -> KeyStanding:
        key = self.keys.get((link, number))
        if key is None:
            return KeyStanding.UNKNOWN
        used = key.state in {"consumed", "expired"}
        return KeyStanding.USED if used else KeyStanding.HELD

    @invariant()
    def the_peers_view_agrees(self) -> None:
        everyone = range(16)
        for link in ("oslo", "paris"):
            unused = self.unused(link, everyone)
            held = key_ids(link, (key.number for key in unused))
            assert list(self.store.ledger.held(link, after=None, count=99)) == sorted(
                held
            )
            doubted = (key.number for key in unused if not key.confirmed)
            assert set(self.store.ledger.unconfirmed(link, 99)) == set(
                key_ids(link, doubted)
            )
            expected = [self.standing(link, number) for number in everyone]
            assert (
                list(self.store.ledger.standing(link, key_ids(link, everyone)))
                == expected
            )

    @invariant()
    def counts_agree(self) -> None:
        for link in LINK_BASE:
            keys = [key for key in self.keys.values() if key.link == link]
            states = [key.state for key in keys]
            status = self.store.stocks.status(link)
            assert status.unconfirmed == sum(
                key.state == "available" and not key.confirmed for key in keys
            )
            assert (
                status.available,
                status.reserved,
                status.consumed,
                status.expired,
            ) == tuple(
                states.count(state)
                for state in ("available", "reserved", "consumed", "expired")
            )


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=60, stateful_step_count=40)
