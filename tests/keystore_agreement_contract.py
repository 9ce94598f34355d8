"""What every `KeyStore` must do to be kept in step with the peer's.

A test class inherits `KeyStoreAgreementContract` beside
`tests.keystore_contract.KeyStoreContract` and provides the same fixture ``bench``.
"""

import pytest

from gateway.errors import KeyUnavailableError
from gateway.keystore.base import KeyStanding
from tests.keystore_contract import LINK, Bench, ids, make_key, make_keys

UNKNOWN, HELD, USED = KeyStanding.UNKNOWN, KeyStanding.HELD, KeyStanding.USED


def counts(bench: Bench) -> tuple[int, int, int]:
    """Available, unconfirmed of those, reserved."""
    status = bench.store.stocks.status(LINK)
    return status.available, status.unconfirmed, status.reserved


class KeyStoreAgreementContract:
    def test_confirmed_keys_are_reserved_before_older_others(
        self, bench: Bench
    ) -> None:
        keys = make_keys(0, 6)
        bench.store.intake.add(LINK, keys[:3], confirmed=False)
        bench.store.intake.add(LINK, keys[3:])
        assert counts(bench) == (6, 3, 0)
        assert list(bench.store.uses.reserve(LINK, 9, holder="a")) == ids(keys[3:])
        assert counts(bench) == (3, 3, 3)
        assert list(bench.store.uses.reserve(LINK, 2, holder="b")) == ids(keys[:2])
        assert counts(bench) == (1, 1, 5)

    def test_unconfirmed_keys_never_fill_up_an_answer(self, bench: Bench) -> None:
        keys = make_keys(0, 3)
        bench.store.intake.add(LINK, keys[:2], confirmed=False)
        bench.store.intake.add(LINK, keys[2:])
        assert list(bench.store.uses.reserve(LINK, 3, holder="a")) == ids(keys[2:])
        bench.store.uses.release("a")
        assert list(bench.store.uses.reserve(LINK, 3, holder="b")) == ids(keys[2:])

    def test_a_confirmed_key_that_comes_back_goes_first_again(
        self, bench: Bench
    ) -> None:
        keys = make_keys(0, 3)
        bench.store.intake.add(LINK, keys[:2], confirmed=False)
        bench.store.intake.add(LINK, keys[2:])
        bench.store.uses.reserve(LINK, 1, holder="a")
        bench.store.uses.reserve(LINK, 1, holder="b")
        bench.store.uses.release("a")
        bench.store.uses.release("b")
        assert list(bench.store.uses.reserve(LINK, 3, holder="c")) == ids(keys[2:])
        assert list(bench.store.uses.reserve(LINK, 3, holder="c")) == ids(keys[:2])

    def test_confirm_counts_news_and_makes_keys_offered(self, bench: Bench) -> None:
        keys = make_keys(0, 5)
        bench.store.intake.add(LINK, keys[:4], confirmed=False)
        bench.store.uses.reserve(LINK, 1, holder="used")
        bench.store.uses.consume(LINK, keys[0].key_id, holder="used")
        wanted = ids([*keys, keys[1]])
        assert bench.store.ledger.confirm("nowhere", wanted) == 0
        assert bench.store.ledger.confirm(LINK, [*wanted[:2], *wanted[4:]]) == 1
        assert counts(bench) == (3, 2, 0)
        assert list(bench.store.ledger.unconfirmed(LINK, 9)) == ids(keys[2:4])
        assert list(bench.store.ledger.unconfirmed(LINK, 1)) == ids(keys[2:3])
        assert bench.store.ledger.confirm(LINK, wanted) == 2
        assert bench.store.ledger.confirm(LINK, wanted) == 0
        assert list(bench.store.ledger.unconfirmed(LINK, 9)) == []
        assert list(bench.store.ledger.unconfirmed("nowhere", 9)) == []
        assert counts(bench) == (3, 0, 0)

    def test_doubt_puts_keys_last_until_confirmed(self, bench: Bench) -> None:
        keys = make_keys(0, 4)
        bench.store.intake.add(LINK, keys)
        assert bench.store.ledger.doubt(LINK, [*ids(keys[:2]), make_key(9).key_id]) == 2
        assert bench.store.ledger.doubt(LINK, ids(keys[:2])) == 0
        assert bench.store.ledger.doubt("nowhere", ids(keys)) == 0
        assert counts(bench) == (4, 2, 0)
        assert list(bench.store.uses.reserve(LINK, 1, holder="a")) == ids(keys[2:3])
        bench.store.ledger.confirm(LINK, ids(keys[1:2]))
        assert list(bench.store.uses.reserve(LINK, 9, holder="a")) == [
            keys[1].key_id,
            keys[3].key_id,
        ]
        assert list(bench.store.uses.reserve(LINK, 9, holder="b")) == ids(keys[:1])

    def test_keys_change_sides_any_number_of_times(self, bench: Bench) -> None:
        keys = make_keys(0, 3)
        bench.store.intake.add(LINK, keys)
        for _ in range(3):
            # Both cursors pass all three, so that only what comes back is found.
            bench.store.uses.reserve(LINK, 3, holder="a")
            bench.store.uses.release("a")
            assert bench.store.ledger.doubt(LINK, ids(keys)) == 3
            bench.store.uses.reserve(LINK, 3, holder="a")
            bench.store.uses.release("a")
            assert bench.store.ledger.confirm(LINK, ids(keys[1:])) == 2
            assert list(bench.store.uses.reserve(LINK, 3, holder="b")) == ids(keys[1:])
            assert list(bench.store.uses.reserve(LINK, 3, holder="c")) == ids(keys[:1])
            bench.store.ledger.confirm(LINK, ids(keys))
            bench.store.uses.release("c")
            bench.store.uses.release("b")
        assert list(bench.store.uses.reserve(LINK, 9, holder="d")) == ids(keys)

    def test_a_key_that_came_back_and_is_doubted_then_goes_last(
        self, bench: Bench
    ) -> None:
        keys = make_keys(0, 3)
        bench.store.intake.add(LINK, keys)
        bench.store.uses.reserve(LINK, 2, holder="a")
        bench.store.uses.release("a")
        bench.store.ledger.doubt(LINK, ids(keys[:1]))
        assert list(bench.store.uses.reserve(LINK, 3, holder="b")) == ids(keys[1:])
        assert list(bench.store.uses.reserve(LINK, 3, holder="b")) == ids(keys[:1])

    def test_a_doubt_is_newer_than_an_offer_before_it(self, bench: Bench) -> None:
        keys = make_keys(0, 1)
        bench.store.intake.add(LINK, keys, confirmed=False)
        bench.store.uses.reserve_first(LINK, ids(keys), holder="a")
        bench.store.uses.release("a")
        bench.store.ledger.doubt(LINK, ids(keys))
        bench.store.maintain()
        assert counts(bench) == (1, 1, 0)

    def test_doubting_a_reserved_key_leaves_the_reservation(self, bench: Bench) -> None:
        keys = make_keys(0, 3)
        bench.store.intake.add(LINK, keys)
        bench.store.uses.reserve(LINK, 2, holder="a")
        assert bench.store.ledger.doubt(LINK, ids(keys[:2])) == 2
        assert counts(bench) == (1, 0, 2)
        assert bench.store.uses.consume(LINK, keys[0].key_id, holder="a") == keys[0].key
        bench.store.uses.release("a")
        assert counts(bench) == (2, 1, 0)
        assert list(bench.store.uses.reserve(LINK, 2, holder="b")) == ids(keys[2:])

    def test_confirming_a_reserved_key_counts_once_it_is_back(
        self, bench: Bench
    ) -> None:
        keys = make_keys(0, 2)
        bench.store.intake.add(LINK, keys, confirmed=False)
        bench.store.uses.reserve(LINK, 1, holder="a")
        assert bench.store.ledger.confirm(LINK, ids(keys[:1])) == 1
        assert counts(bench) == (1, 1, 1)
        bench.store.uses.release("a")
        assert counts(bench) == (2, 1, 0)
        assert list(bench.store.uses.reserve(LINK, 2, holder="b")) == ids(keys[:1])

    def test_what_the_peer_offers_is_confirmed_by_that(self, bench: Bench) -> None:
        keys = make_keys(0, 3)
        bench.store.intake.add(LINK, keys, confirmed=False)
        offered = ids(keys[1:])
        assert (
            bench.store.uses.reserve_first(LINK, offered, holder="a").key == keys[1].key
        )
        bench.store.uses.release("a")
        bench.store.maintain()
        assert list(bench.store.ledger.unconfirmed(LINK, 9)) == ids(keys[:1])
        assert list(bench.store.uses.reserve(LINK, 9, holder="b")) == offered

    def test_an_offer_is_answered_from_unconfirmed_keys_at_once(
        self, bench: Bench
    ) -> None:
        keys = make_keys(0, 2)
        bench.store.intake.add(LINK, keys, confirmed=False)
        bench.store.uses.reserve_first(LINK, ids(keys), holder="a")
        assert bench.store.uses.consume(LINK, keys[0].key_id, holder="a") == keys[0].key
        bench.store.maintain()
        assert counts(bench) == (1, 0, 0)

    def test_standing(self, bench: Bench) -> None:
        keys = make_keys(0, 6)
        bench.store.intake.add(LINK, keys[:2], confirmed=False)
        bench.store.intake.add(LINK, keys[2:4])
        bench.store.intake.add(LINK, keys[4:5], lifetime=10)
        bench.store.intake.add("oslo", keys[5:])
        (taken,) = bench.store.uses.reserve(LINK, 1, holder="a")
        bench.store.uses.consume(LINK, taken, holder="a")
        bench.store.uses.reserve(LINK, 1, holder="b")
        bench.store.ledger.retire(LINK, ids(keys[1:2]))
        bench.advance(10)
        wanted = ids([*keys, make_key(9), keys[0]])
        expected = [HELD, USED, USED, HELD, USED, UNKNOWN, UNKNOWN, HELD]
        assert list(bench.store.ledger.standing(LINK, wanted)) == expected
        assert list(bench.store.ledger.standing("nowhere", wanted)) == [UNKNOWN] * 8

    def test_a_reserved_key_is_held_beyond_its_expiry(self, bench: Bench) -> None:
        keys = make_keys(0, 1)
        bench.store.intake.add(LINK, keys, lifetime=10)
        first = bench.store.uses.reserve_first(LINK, ids(keys), holder="a")
        bench.advance(10)
        assert list(bench.store.ledger.standing(LINK, ids(keys))) == [HELD]
        assert list(bench.store.ledger.held(LINK, after=None, count=9)) == ids(keys)
        assert bench.store.uses.reserve_first(LINK, ids(keys), holder="b").used == set()
        assert bench.store.uses.reserve_first(LINK, ids(keys), holder="a") == first
        bench.store.uses.release("a")
        assert list(bench.store.ledger.standing(LINK, ids(keys))) == [USED]

    def test_held_pages_in_order_of_key_id(self, bench: Bench) -> None:
        keys = make_keys(0, 40)
        bench.store.intake.add(LINK, keys[:20])
        bench.store.intake.add(LINK, keys[20:35], confirmed=False)
        bench.store.intake.add("oslo", keys[35:])
        bench.store.uses.reserve(LINK, 5, holder="a")
        for key in keys[:3]:
            bench.store.uses.consume(LINK, key.key_id, holder="a")
        left = sorted(ids(keys[3:35]))
        assert list(bench.store.ledger.held(LINK, after=None, count=99)) == left
        pages = [*bench.store.ledger.held(LINK, after=None, count=7)]
        while page := bench.store.ledger.held(LINK, after=pages[-1], count=7):
            pages += page
        assert pages == left
        assert list(bench.store.ledger.held(LINK, after=left[3], count=2)) == left[4:6]
        assert list(bench.store.ledger.held("nowhere", after=None, count=9)) == []

    def test_expired_keys_are_neither_held_nor_unconfirmed(self, bench: Bench) -> None:
        keys = make_keys(0, 4)
        bench.store.intake.add(LINK, keys[:2], lifetime=10, confirmed=False)
        bench.store.intake.add(LINK, keys[2:], confirmed=False)
        bench.advance(10)
        assert bench.store.ledger.confirm(LINK, ids(keys[:1])) == 0
        assert list(bench.store.ledger.unconfirmed(LINK, 9)) == ids(keys[2:])
        assert list(bench.store.ledger.held(LINK, after=None, count=9)) == sorted(
            ids(keys[2:])
        )
        assert counts(bench) == (2, 2, 0)

    def test_give_up_takes_only_settled_keys(self, bench: Bench) -> None:
        keys = make_keys(0, 5)
        bench.store.intake.add(LINK, keys[:4])
        bench.store.intake.add(LINK, keys[4:], confirmed=False)
        bench.store.uses.reserve(LINK, 1, holder="a")
        wanted = [*ids(keys), make_key(9).key_id, keys[1].key_id]
        assert bench.store.ledger.give_up("nowhere", wanted) == 0
        assert bench.store.ledger.give_up(LINK, wanted) == 3
        assert bench.store.ledger.give_up(LINK, wanted) == 0
        assert list(bench.store.ledger.standing(LINK, ids(keys))) == [
            HELD, USED, USED, USED, HELD,
        ]  # fmt: skip
        assert bench.store.uses.consume(LINK, keys[0].key_id, holder="a") == keys[0].key
        status = bench.store.stocks.status(LINK)
        assert (status.available, status.unconfirmed, status.consumed) == (1, 1, 4)

    def test_unconfirmed_keys_leave_the_count_when_they_go(self, bench: Bench) -> None:
        keys = make_keys(0, 6)
        bench.store.intake.add(LINK, keys[:5], confirmed=False)
        bench.store.intake.add(LINK, keys[5:], lifetime=10, confirmed=False)
        bench.store.ledger.retire(LINK, ids(keys[:1]))
        assert counts(bench) == (5, 5, 0)
        bench.advance(10)
        bench.store.maintain()
        assert counts(bench) == (4, 4, 0)
        bench.store.uses.reserve(LINK, 2, holder="a")
        bench.store.uses.consume(LINK, keys[1].key_id, holder="a")
        assert counts(bench) == (2, 2, 1)
        assert bench.store.stocks.purge(LINK, all_keys=True) == 3
        assert counts(bench) == (0, 0, 0)

    @pytest.mark.parametrize("how", ["restart", "crash"])
    def test_what_is_known_of_the_peer_survives(self, bench: Bench, how: str) -> None:
        keys = make_keys(0, 6)
        bench.store.intake.add(LINK, keys[:3], confirmed=False)
        bench.store.intake.add(LINK, keys[3:])
        bench.store.ledger.confirm(LINK, ids(keys[:1]))
        bench.store.ledger.doubt(LINK, ids(keys[3:4]))
        bench.store.uses.reserve(LINK, 1, holder="a")
        getattr(bench, how)()
        assert counts(bench) == (6, 3, 0)
        assert list(bench.store.ledger.unconfirmed(LINK, 9)) == ids(keys[1:4])
        assert list(bench.store.uses.reserve(LINK, 9, holder="b")) == [
            keys[0].key_id,
            *ids(keys[4:]),
        ]

    def test_batches_of_marks_larger_than_a_transaction(self, bench: Bench) -> None:
        keys = make_keys(0, 2_500)
        bench.store.intake.add(LINK, keys, confirmed=False)
        assert bench.store.ledger.confirm(LINK, ids(keys)) == 2_500
        assert bench.store.ledger.doubt(LINK, ids(keys[:2_100])) == 2_100
        assert bench.store.stocks.status(LINK).unconfirmed == 2_100
        assert bench.store.ledger.give_up(LINK, ids(keys)) == 400

    def test_a_holder_cannot_consume_what_was_given_up(self, bench: Bench) -> None:
        keys = make_keys(0, 1)
        bench.store.intake.add(LINK, keys)
        bench.store.ledger.give_up(LINK, ids(keys))
        assert bench.store.uses.reserve_first(LINK, ids(keys), holder="a").used == {
            keys[0].key_id
        }
        with pytest.raises(KeyUnavailableError):
            bench.store.uses.consume(LINK, keys[0].key_id, holder="a")
