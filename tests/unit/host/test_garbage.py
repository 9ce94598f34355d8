"""Collections wait while a reload makes objects, and cycles do not stay for ever."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from gateway.host.garbage import MAX_LET_GO, MAX_RELOADS, Garbage


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    yield Garbage()
    gc.unfreeze()
    assert gc.isenabled()


def test_no_collection_while_held(garbage: Garbage) -> None:
    with garbage.held():
        assert not gc.isenabled()
        node = Node()
        seen = ref(node)
        del node
    assert gc.isenabled()
    gc.collect()
    assert seen() is not None  # put aside with what stays
    garbage.collect()
    assert seen() is None


def test_what_has_no_cycle_is_freed_at_once(garbage: Garbage) -> None:
    node = Node()
    seen = ref(node)
    garbage.collect()
    node.itself = node
    del node.itself
    del node
    assert seen() is None


def test_a_reload_that_fails_collects_again(garbage: Garbage) -> None:
    with pytest.raises(ZeroDivisionError), garbage.held():
        raise ZeroDivisionError
    assert gc.isenabled()


@pytest.mark.parametrize(("reloads", "tunnels"), [(MAX_RELOADS, 0), (1, MAX_LET_GO)])
def test_cycles_are_collected_in_the_end(
    garbage: Garbage, reloads: int, tunnels: int
) -> None:
    node = Node()
    seen = ref(node)
    garbage.collect()
    del node
    garbage.let_go(tunnels)
    for _ in range(reloads - 1):
        with garbage.held():
            assert seen() is not None
    with garbage.held():
        pass
    assert seen() is None
