"""What every `KeyStore` must do; run over each implementation.

A test class inherits `KeyStoreContract` and provides the fixture ``bench``.
"""

import hashlib
from typing import Protocol
from uuid import UUID

import pytest

from gateway.errors import KeyStoreError, KeyUnavailableError
from gateway.keystore.base import (
    RATE_WINDOW,
    REFUSAL_REASONS,
    KeyStanding,
    KeyStore,
    NewKey,
    Refusal,
)
from gateway.secret import Secret

LINK = "paris"


def make_key(number: int) -> NewKey:
    """A key that differs from every other number's."""
    digest = hashlib.sha512(b"contract %d" % number).digest()
    return NewKey(UUID(bytes=digest[:16]), Secret(digest[32:]))


def make_keys(first: int, count: int) -> list[NewKey]:
    return [make_key(number) for number in range(first, first + count)]


def ids(keys: list[NewKey]) -> list[UUID]:
    return [key.key_id for key in keys]


class Bench(Protocol):
    """A store under test that can be restarted and whose clock a test moves."""

    store: KeyStore

    def restart(self) -> None:
        """Close and open again, within the same boot."""

    def crash(self) -> None:
        """Lose the process without closing, and open again."""

    def advance(self, seconds: float) -> None:
        """Let store seconds pass."""


class KeyStoreContract:
    def test_reserves_oldest_first_in_the_order_added(self, bench: Bench) -> None:
        keys = make_keys(0, 40)
        assert bench.store.intake.add(LINK, keys).added == 40
        first = bench.store.uses.reserve(LINK, 3, holder="a")
        second = bench.store.uses.reserve(LINK, 30, holder="b")
        assert [*first, *second] == ids(keys[:33])

    def test_reserves_as_many_as_there_are(self, bench: Bench) -> None:
        bench.store.intake.add(LINK, make_keys(0, 2))
        assert len(bench.store.uses.reserve(LINK, 5, holder="a")) == 2
        assert list(bench.store.uses.reserve(LINK, 5, holder="a")) == []
        assert list(bench.store.uses.reserve("nowhere", 5, holder="a")) == []

    def test_consume_returns_the_bytes_once(self, bench: Bench) -> None:
        key = make_key(1)
        bench.store.intake.add(LINK, [key])
        (key_id,) = bench.store.uses.reserve(LINK, 1, holder="a")
        assert bench.store.uses.consume(LINK, key_id, holder="a") == key.key
        with pytest.raises(KeyUnavailableError):
            bench.store.uses.consume(LINK, key_id, holder="a")

    def test_consume_needs_the_holders_own_reservation(self, bench: Bench) -> None:
        key = make_key(1)
        bench.store.intake.add(LINK, [key])
        with pytest.raises(KeyUnavailableError):
            bench.store.uses.consume(LINK, key.key_id, holder="a")
        bench.store.uses.reserve(LINK, 1, holder="a")
        for link, holder in ((LINK, "b"), ("nowhere", "a")):
            with pytest.raises(KeyUnavailableError):
                bench.store.uses.consume(link, key.key_id, holder=holder)
        assert bench.store.uses.consume(LINK, key.key_id, holder="a") == key.key

    def test_many_are_consumed_together(self, bench: Bench) -> None:
        keys = make_keys(0, 6)
        bench.store.intake.add(LINK, keys)
        bench.store.uses.reserve(LINK, 4, holder="a")
        taken = bench.store.uses.consume_many(LINK, ids(keys[3:0:-1]), holder="a")
        assert taken == [keys[3].key, keys[2].key, keys[1].key]
        status = bench.store.stocks.status(LINK)
        assert (status.available, status.reserved, status.consumed) == (2, 1, 3)
        assert bench.store.uses.consume_many(LINK, [], holder="a") == []
        assert bench.store.uses.consume_many("nowhere", [], holder="a") == []
        bench.crash()
        standing = bench.store.ledger.standing(LINK, ids(keys[:4]))
        assert standing == [KeyStanding.HELD, *[KeyStanding.USED] * 3]

    def test_of_many_all_are_consumed_or_none(self, bench: Bench) -> None:
        keys = make_keys(0, 4)
        bench.store.intake.add(LINK, keys)
        bench.store.uses.reserve(LINK, 2, holder="a")
        bench.store.uses.reserve(LINK, 1, holder="b")
        bench.store.intake.add("other", [make_key(9)])
        bench.store.uses.reserve("other", 1, holder="a")
        for named in (
            ids(keys[:3]),  # the last is held by another
            ids([*keys[:2], keys[3]]),  # nobody holds the last
            ids([*keys[:2], keys[0]]),  # twice
            ids([*keys[:2], make_key(9)]),  # another link's
        ):
            with pytest.raises(KeyUnavailableError):
                bench.store.uses.consume_many(LINK, named, holder="a")
        assert bench.store.stocks.status(LINK).consumed == 0
        assert bench.store.stocks.status(LINK).reserved == 3
        taken = bench.store.uses.consume_many(LINK, ids(keys[:2]), holder="a")
        assert taken == [key.key for key in keys[:2]]
        with pytest.raises(KeyUnavailableError):
            bench.store.uses.consume_many(LINK, ids(keys[1:3]), holder="b")
        assert bench.store.uses.consume(LINK, keys[2].key_id, holder="b") == keys[2].key

    def test_release_gives_back_and_keeps_age_order(self, bench: Bench) -> None:
        keys = make_keys(0, 6)
        bench.store.intake.add(LINK, keys)
        bench.store.uses.reserve(LINK, 2, holder="a")
        bench.store.uses.reserve(LINK, 2, holder="b")
        bench.store.uses.release("a")
        bench.store.uses.release("nobody")
        assert list(bench.store.uses.reserve(LINK, 3, holder="c")) == [
            keys[0].key_id,
            keys[1].key_id,
            keys[4].key_id,
        ]
        with pytest.raises(KeyUnavailableError):
            bench.store.uses.consume(LINK, keys[0].key_id, holder="a")

    def test_release_does_not_bring_a_consumed_key_back(self, bench: Bench) -> None:
        keys = make_keys(0, 2)
        bench.store.intake.add(LINK, keys)
        bench.store.uses.reserve(LINK, 2, holder="a")
        bench.store.uses.consume(LINK, keys[0].key_id, holder="a")
        bench.store.uses.release("a")
        assert list(bench.store.uses.reserve(LINK, 2, holder="b")) == [keys[1].key_id]

    def test_release_all(self, bench: Bench) -> None:
        bench.store.intake.add(LINK, make_keys(0, 3))
        bench.store.uses.reserve(LINK, 1, holder="a")
        bench.store.uses.reserve(LINK, 2, holder="b")
        assert bench.store.uses.release_all() == 3
        assert bench.store.uses.release_all() == 0
        assert bench.store.stocks.status(LINK).available == 3

    def test_reserve_first_takes_the_first_available(self, bench: Bench) -> None:
        keys = make_keys(0, 4)
        bench.store.intake.add(LINK, keys)
        bench.store.uses.reserve(LINK, 1, holder="other")
        bench.store.uses.reserve(LINK, 1, holder="done")
        bench.store.uses.consume(LINK, keys[1].key_id, holder="done")
        offered = [make_key(99).key_id, *ids(keys)]
        choice = bench.store.uses.reserve_first(LINK, offered, holder="a")
        assert choice.key_id == keys[2].key_id
        assert choice.key == keys[2].key
        assert choice.used == {keys[1].key_id}
        assert bench.store.stocks.status(LINK).reserved == 2

    def test_reserve_first_lends_without_using_up(self, bench: Bench) -> None:
        key = make_key(1)
        bench.store.intake.add(LINK, [key])
        bench.store.uses.reserve_first(LINK, [key.key_id], holder="a")
        bench.store.uses.release("a")
        assert (
            bench.store.uses.reserve_first(LINK, [key.key_id], holder="b").key
            == key.key
        )

    def test_reserve_first_answers_its_holder_again(self, bench: Bench) -> None:
        key = make_key(1)
        bench.store.intake.add(LINK, [key])
        first = bench.store.uses.reserve_first(LINK, [key.key_id], holder="a")
        assert bench.store.uses.reserve_first(LINK, [key.key_id], holder="a") == first
        refused = bench.store.uses.reserve_first(LINK, [key.key_id], holder="b")
        assert (refused.key_id, refused.key, refused.used) == (None, None, frozenset())
        assert bench.store.stocks.status(LINK).reserved == 1

    def test_reserve_first_knows_nothing_of_a_strange_link(self, bench: Bench) -> None:
        choice = bench.store.uses.reserve_first(
            "nowhere", [make_key(1).key_id], holder="a"
        )
        assert (choice.key_id, choice.used) == (None, frozenset())

    def test_released_keys_below_and_above_the_reserved_ones_return_once(
        self, bench: Bench
    ) -> None:
        keys = make_keys(0, 5)
        bench.store.intake.add(LINK, keys)
        for _ in range(3):
            bench.store.uses.reserve_first(LINK, [keys[3].key_id], holder="a")
            bench.store.uses.reserve(LINK, 2, holder="b")
            bench.store.uses.release("a")
            bench.store.uses.release("b")
        assert list(bench.store.uses.reserve(LINK, 9, holder="c")) == ids(keys)

    def test_refuses_key_by_key(self, bench: Bench) -> None:
        keys = make_keys(0, 4)
        bench.store.intake.add(LINK, keys[:2])
        bench.store.uses.reserve(LINK, 1, holder="a")
        bench.store.uses.consume(LINK, keys[0].key_id, holder="a")
        short, long = make_key(10), make_key(11)
        same = NewKey(make_key(12).key_id, keys[1].key)
        report = bench.store.intake.add(
            LINK,
            [
                keys[0],
                keys[1],
                keys[2],
                keys[2],
                NewKey(short.key_id, Secret(short.key.expose()[:31])),
                NewKey(long.key_id, Secret(long.key.expose() + b"x")),
                same,
                keys[3],
            ],
        )
        assert report.added == 2
        assert report.refused == (
            Refusal(str(keys[0].key_id), "used"),
            Refusal(str(keys[1].key_id), "duplicate"),
            Refusal(str(keys[2].key_id), "duplicate"),
            Refusal(str(short.key_id), "short"),
            Refusal(str(long.key_id), "long"),
            Refusal(str(same.key_id), "same-bytes"),
        )
        assert bench.store.stocks.status(LINK).available == 3

    @pytest.mark.parametrize("byte", [0x00, 0x5A, 0xFF])
    def test_refuses_keys_that_no_source_gives(self, bench: Bench, byte: int) -> None:
        dead = NewKey(make_key(1).key_id, Secret(bytes([byte]) * 32))
        nearly = NewKey(
            make_key(2).key_id, Secret(bytes([byte]) * 31 + bytes([byte ^ 1]))
        )
        report = bench.store.intake.add(LINK, [dead, nearly])
        assert report.added == 1
        assert report.refused == (Refusal(str(dead.key_id), "constant"),)
        assert bench.store.ledger.standing(LINK, [dead.key_id]) == [KeyStanding.UNKNOWN]

    @pytest.mark.parametrize("confirmed", [False, True])
    @pytest.mark.parametrize("link", [LINK, "oslo"])
    @pytest.mark.parametrize("state", ["available", "reserved", "used", "expired"])
    def test_refuses_bytes_and_ids_seen_before_whatever_became_of_them(
        self, bench: Bench, state: str, link: str, confirmed: bool
    ) -> None:
        key = make_key(1)
        bench.store.intake.add("oslo", make_keys(5, 1))
        bench.store.intake.add(LINK, [key], lifetime=10, confirmed=not confirmed)
        if state == "reserved":
            bench.store.uses.reserve(LINK, 1, holder="a")
        elif state == "used":
            bench.store.ledger.retire(LINK, [key.key_id])
        elif state == "expired":
            bench.advance(10)
        other_bytes = NewKey(key.key_id, make_key(2).key)
        other_id = NewKey(make_key(3).key_id, key.key)
        report = bench.store.intake.add(
            link, [key, other_bytes, other_id], confirmed=confirmed
        )
        by_id = {
            "available": ("duplicate", "other-bytes"),
            "reserved": ("duplicate", "other-bytes"),
            "used": ("used", "used"),
            "expired": ("expired", "expired"),
        }[state]
        expected = by_id if link == LINK else ("other-link", "other-link")
        assert report.added == 0
        assert [refusal.reason for refusal in report.refused] == [
            *expected,
            "same-bytes",
        ]
        # Refusing one has changed nothing about the one that is there.
        status = bench.store.stocks.status(LINK)
        assert status.available + status.reserved == (
            state in {"available", "reserved"}
        )
        if state == "available":
            assert status.unconfirmed == confirmed
            assert bench.store.uses.reserve_first(
                LINK, [key.key_id], holder="b"
            ).key == (key.key)

    def test_reasons_are_those_that_scripts_know(self, bench: Bench) -> None:
        key = make_key(1)
        bench.store.intake.add(LINK, [key])
        sizes = [NewKey(make_key(9).key_id, Secret(bytes(size))) for size in range(70)]
        refused = bench.store.intake.add(LINK, [key, *sizes]).refused
        reasons = {refusal.reason for refusal in refused}
        assert reasons == {"duplicate", "short", "long", "constant"}
        assert reasons < REFUSAL_REASONS
        assert len(refused) == 71

    def test_a_batch_is_checked_against_itself(self, bench: Bench) -> None:
        key, other = make_keys(1, 2)
        report = bench.store.intake.add(
            LINK,
            [
                key,
                key,
                NewKey(key.key_id, other.key),
                NewKey(other.key_id, key.key),
                other,
            ],
        )
        assert report.added == 2
        assert [refusal.reason for refusal in report.refused] == [
            "duplicate",
            "other-bytes",
            "same-bytes",
        ]

    def test_retire_marks_used_what_is_here(self, bench: Bench) -> None:
        keys = make_keys(0, 4)
        bench.store.intake.add(LINK, keys[:3])
        bench.store.uses.reserve(LINK, 1, holder="a")
        assert bench.store.ledger.retire(LINK, [*ids(keys), keys[0].key_id]) == 3
        assert bench.store.ledger.retire(LINK, ids(keys)) == 0
        assert bench.store.ledger.retire("nowhere", ids(keys)) == 0
        with pytest.raises(KeyUnavailableError):
            bench.store.uses.consume(LINK, keys[0].key_id, holder="a")
        status = bench.store.stocks.status(LINK)
        assert (status.available, status.reserved, status.consumed) == (0, 0, 3)
        assert bench.store.intake.add(LINK, keys[:1]).refused[0].reason == "used"

    def test_links_are_apart(self, bench: Bench) -> None:
        keys = make_keys(0, 2)
        bench.store.intake.add(LINK, keys[:1])
        bench.store.intake.add("oslo", keys[1:])
        assert list(bench.store.stocks.links()) == ["oslo", LINK]
        offered = [keys[1].key_id]
        assert bench.store.uses.reserve_first(LINK, offered, holder="a").key_id is None
        assert list(bench.store.uses.reserve("oslo", 2, holder="a")) == offered

    def test_expired_keys_are_not_given_and_their_ids_remembered(
        self, bench: Bench
    ) -> None:
        keys = make_keys(0, 3)
        bench.store.intake.add(LINK, keys[:2], lifetime=60)
        bench.store.intake.add(LINK, keys[2:])
        bench.advance(59)
        assert bench.store.stocks.status(LINK).available == 3
        bench.advance(1)
        choice = bench.store.uses.reserve_first(LINK, [keys[0].key_id], holder="a")
        assert choice.key_id is None
        assert choice.used == {keys[0].key_id}
        assert list(bench.store.uses.reserve(LINK, 9, holder="a")) == [keys[2].key_id]
        status = bench.store.stocks.status(LINK)
        assert (status.reserved, status.expired) == (1, 2)
        assert bench.store.intake.add(LINK, keys[:1]).refused[0].reason == "expired"

    def test_a_reserved_key_outlives_its_expiry_until_released(
        self, bench: Bench
    ) -> None:
        keys = make_keys(0, 2)
        bench.store.intake.add(LINK, keys, lifetime=60)
        bench.store.uses.reserve(LINK, 2, holder="a")
        bench.advance(61)
        bench.store.maintain()
        assert bench.store.stocks.status(LINK).reserved == 2
        assert bench.store.uses.consume(LINK, keys[0].key_id, holder="a") == keys[0].key
        bench.store.uses.release("a")
        status = bench.store.stocks.status(LINK)
        assert (status.available, status.consumed, status.expired) == (0, 1, 1)

    def test_purge(self, bench: Bench) -> None:
        keys = make_keys(0, 5)
        bench.store.intake.add(LINK, keys[:2], lifetime=60)
        bench.store.intake.add(LINK, keys[2:])
        bench.store.uses.reserve(LINK, 1, holder="a")
        bench.advance(60)
        assert bench.store.stocks.purge(LINK) == 1
        assert bench.store.stocks.purge(LINK, all_keys=True) == 4
        assert bench.store.stocks.purge("nowhere", all_keys=True) == 0
        status = bench.store.stocks.status(LINK)
        assert (status.available, status.reserved, status.expired) == (0, 0, 5)
        assert bench.store.intake.add(LINK, keys).added == 0

    def test_newest(self, bench: Bench) -> None:
        assert bench.store.intake.newest(LINK) is None
        keys = make_keys(0, 3)
        bench.store.intake.add(LINK, keys)
        bench.store.intake.add(LINK, keys[:1])
        bench.store.ledger.retire(LINK, ids(keys))
        bench.restart()
        assert bench.store.intake.newest(LINK) == keys[2].key_id

    def test_status_of_a_strange_link_is_zeros(self, bench: Bench) -> None:
        status = bench.store.stocks.status("nowhere")
        assert (status.available, status.reserved, status.consumed) == (0, 0, 0)
        assert (status.rate_in, status.rate_out, status.seconds_to_empty) == (
            0,
            0,
            None,
        )

    def test_rates_and_time_to_empty(self, bench: Bench) -> None:
        bench.store.intake.add(LINK, make_keys(0, 600))
        bench.advance(RATE_WINDOW)
        bench.store.intake.add(LINK, make_keys(600, 60))
        bench.store.ledger.retire(LINK, ids(make_keys(0, 120)))
        for _ in range(2):
            status = bench.store.stocks.status(LINK)
            assert status.rate_in == pytest.approx(60 / RATE_WINDOW)
            assert status.rate_out == pytest.approx(120 / RATE_WINDOW)
            assert status.seconds_to_empty == pytest.approx(540 / 60 * RATE_WINDOW)
            bench.restart()

    def test_time_to_empty_is_unknown_while_stock_grows(self, bench: Bench) -> None:
        bench.store.intake.add(LINK, make_keys(0, 2))
        bench.store.ledger.retire(LINK, [make_key(0).key_id])
        assert bench.store.stocks.status(LINK).seconds_to_empty is None

    @pytest.mark.parametrize("how", ["restart", "crash"])
    def test_what_survives(self, bench: Bench, how: str) -> None:
        keys = make_keys(0, 5)
        bench.store.intake.add(LINK, keys, lifetime=60)
        bench.store.uses.reserve(LINK, 2, holder="a")
        bench.store.uses.consume(LINK, keys[0].key_id, holder="a")
        bench.store.ledger.retire(LINK, [keys[4].key_id])
        bench.advance(30)
        getattr(bench, how)()
        status = bench.store.stocks.status(LINK)
        assert (status.available, status.reserved, status.consumed) == (3, 0, 2)
        assert bench.store.intake.add(LINK, keys[:1]).refused[0].reason == "used"
        with pytest.raises(KeyUnavailableError):
            bench.store.uses.consume(LINK, keys[1].key_id, holder="a")
        assert list(bench.store.uses.reserve(LINK, 9, holder="b")) == ids(keys[1:4])
        assert bench.store.uses.consume(LINK, keys[1].key_id, holder="b") == keys[1].key
        bench.store.uses.release("b")
        bench.advance(30)
        assert bench.store.stocks.status(LINK).expired == 2

    @pytest.mark.parametrize("lifetime", [0.0, -1.0])
    def test_refuses_a_lifetime_that_is_over(
        self, bench: Bench, lifetime: float
    ) -> None:
        with pytest.raises(KeyStoreError, match="lifetime"):
            bench.store.intake.add(LINK, make_keys(0, 1), lifetime=lifetime)

    @pytest.mark.parametrize("name", ["", "x" * 65])
    def test_refuses_a_bad_link_name(self, bench: Bench, name: str) -> None:
        with pytest.raises(KeyStoreError, match="name"):
            bench.store.intake.add(name, make_keys(0, 1))

    def test_batches_larger_than_a_transaction(self, bench: Bench) -> None:
        keys = make_keys(0, 2_500)
        assert bench.store.intake.add(LINK, keys, lifetime=60).added == 2_500
        assert bench.store.ledger.retire(LINK, ids(keys[:2_100])) == 2_100
        bench.advance(60)
        assert bench.store.stocks.purge(LINK) == 400

    def test_closed_store_says_so_and_closes_twice(self, bench: Bench) -> None:
        bench.store.close()
        bench.store.close()
        with pytest.raises(KeyStoreError, match="closed"):
            bench.store.stocks.status(LINK)
