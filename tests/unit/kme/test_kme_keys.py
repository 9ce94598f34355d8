"""Keys and key_IDs: the same at both ends, found again, and telling nothing."""

import os
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import KMEError
from gateway.kme.keys import COUNTER_BITS, PoolSequence
from gateway.kme.seed import SEED_SIZE, create_seed, load_seed, write_seed
from gateway.secret import Secret

SEED = Secret(bytes(range(SEED_SIZE)))
HERE = PoolSequence(SEED)
THERE = PoolSequence(Secret(bytes(range(SEED_SIZE))))
OTHER = PoolSequence(Secret(bytes(SEED_SIZE)))

counters = st.integers(0, (1 << COUNTER_BITS) - 1)


@given(counters)
def test_both_ends_derive_the_same(counter: int) -> None:
    assert HERE.key(counter, 256) == THERE.key(counter, 256)
    assert HERE.key_id(counter) == THERE.key_id(counter)
    assert HERE.link_id == THERE.link_id != OTHER.link_id


@given(counters)
def test_a_key_id_leads_back_to_its_counter(counter: int) -> None:
    key_id = HERE.key_id(counter)
    assert THERE.counter(key_id) == counter
    assert OTHER.counter(key_id) is None


@given(counters, st.integers(0, 127))
def test_a_changed_bit_is_seen(counter: int, bit: int) -> None:
    changed = uuid.UUID(int=HERE.key_id(counter).int ^ 1 << bit)
    assert HERE.counter(changed) is None


@given(st.uuids())
def test_strange_uuids_are_not_ours(key_id: uuid.UUID) -> None:
    assert HERE.counter(key_id) is None


def test_key_ids_look_like_any_random_uuid() -> None:
    made = [HERE.key_id(counter) for counter in range(4000)]
    assert {(key_id.version, key_id.variant) for key_id in made} == {(4, uuid.RFC_4122)}
    assert len(set(made)) == 4000
    for bit in range(128):
        ones = sum(key_id.int >> bit & 1 for key_id in made)
        fixed = bit in {79, 78, 77, 76, 63, 62}  # version and variant
        assert ones in {0, 4000} if fixed else 1750 < ones < 2250  # 7.9 sigma


@pytest.mark.parametrize("size", [64, 72, 128, 256, 512, 1024])
def test_every_size_is_a_key_of_its_own(size: int) -> None:
    key = HERE.key(7, size)
    assert len(key) * 8 == size
    longer = HERE.key(7, 2048).expose()
    assert not longer.startswith(key.expose())


def test_keys_differ() -> None:
    assert len({HERE.key(counter, 256).expose() for counter in range(1000)}) == 1000
    assert HERE.key(1, 256) != OTHER.key(1, 256)


def test_a_seed_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "link.seed"
    write_seed(path, create_seed())
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(load_seed(path)) == SEED_SIZE
    with pytest.raises(KMEError, match="there already"):
        write_seed(path, create_seed())


@pytest.mark.parametrize(
    "content",
    [b"", b"qgw-kme-seed ", b"qgw-kme-seed AAAA\n", os.urandom(64), create_seed()[3:]],
    ids=["empty", "mark", "short", "random", "headless"],
)
def test_no_seed_is_repeated_in_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "link.seed"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KMEError, match="is no seed") as caught:
        load_seed(path)
    assert caught.value.__context__ is None


def test_a_seed_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "link.seed"
    write_seed(path, create_seed())
    path.chmod(0o640)
    with pytest.raises(KMEError, match="open to others"):
        load_seed(path)
