from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import KeyStoreError
from gateway.keystore.sealing import NONCE_SIZE, KeySealer
from gateway.secret import Secret

SEALER = KeySealer(Secret(bytes(range(32))), b"s" * 16)
KEY = Secret(bytes(range(100, 132)))
ID = UUID(int=7)


def test_opens_what_it_sealed_with_a_fresh_nonce_each_time() -> None:
    sealed = [SEALER.seal("paris", ID, 5, KEY) for _ in range(100)]
    assert len({one[:NONCE_SIZE] for one in sealed}) == 100
    assert all(SEALER.open("paris", ID, 5, one) == KEY for one in sealed)
    assert {len(one) for one in sealed} == {60}


@pytest.mark.parametrize(
    ("link", "key_id", "expires"),
    [("oslo", ID, 5), ("paris", UUID(int=8), 5), ("paris", ID, 6), ("paris", ID, 0)],
)
def test_is_bound_to_its_place(link: str, key_id: UUID, expires: int) -> None:
    with pytest.raises(KeyStoreError, match="damaged"):
        SEALER.open(link, key_id, expires, SEALER.seal("paris", ID, 5, KEY))


@given(st.integers(0, 60 * 8 - 1))
def test_no_bit_can_be_changed(bit: int) -> None:
    sealed = bytearray(SEALER.seal("paris", ID, 5, KEY))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(KeyStoreError):
        SEALER.open("paris", ID, 5, bytes(sealed))


@pytest.mark.parametrize("length", range(60))
def test_every_truncation_is_refused(length: int) -> None:
    with pytest.raises(KeyStoreError):
        SEALER.open("paris", ID, 5, SEALER.seal("paris", ID, 5, KEY)[:length])


def test_store_and_master_key_separate_everything() -> None:
    others = [
        KeySealer(Secret(bytes(range(32))), b"t" * 16),
        KeySealer(Secret(bytes(32)), b"s" * 16),
    ]
    for other in others:
        assert other.fingerprint(KEY) != SEALER.fingerprint(KEY)
        with pytest.raises(KeyStoreError):
            other.verify_master_key(SEALER.check_value)
        with pytest.raises(KeyStoreError):
            other.open("paris", ID, 5, SEALER.seal("paris", ID, 5, KEY))
    SEALER.verify_master_key(SEALER.check_value)
