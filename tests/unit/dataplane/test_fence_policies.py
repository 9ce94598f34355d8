"""Policies that block: what is asked of the kernel is what a dump is known by."""

import struct

import pytest

from gateway.dataplane.esp.rules import MAX_PRIORITY
from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.partition import fenced_prefixes
from gateway.dataplane.fence.xfrm.policies import (
    DIRECTIONS,
    PRIORITY,
    Key,
    creation,
    deletion,
    read,
)
from gateway.host.marks import OUTER_MARK, OUTER_MASK


@pytest.mark.parametrize("prefix", ["10.2.0.0/16", "fd00:2::/48", "0.0.0.0/0", "::/0"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("allows", [True, False])
def test_what_is_made_is_known_again(
    prefix: str, direction: int, *, allows: bool
) -> None:
    key = Key(direction, prefix)
    assert read(bytes(creation(key, allows=allows))) == (key, allows)


def test_a_policy_without_our_mark_is_somebody_elses() -> None:
    made = bytes(creation(Key(1, "10.2.0.0/16"), allows=False))
    mark = struct.pack("=II", 0, OUTER_MASK)
    assert mark in made
    assert read(made.replace(mark, struct.pack("=II", 1, OUTER_MASK))) is None


def test_a_policy_of_another_rank_is_somebody_elses() -> None:
    made = bytes(creation(Key(1, "10.2.0.0/16"), allows=False))
    rank = struct.pack("=I", PRIORITY)
    assert made.count(rank) == 1
    assert read(made.replace(rank, struct.pack("=I", PRIORITY + 1))) is None


def test_a_deletion_names_the_mark() -> None:
    request = bytes(deletion(Key(1, "10.2.0.0/16")))
    assert struct.pack("=II", 0, OUTER_MASK) in request


def test_they_rank_behind_those_of_esp_and_pass_outer_packets_by() -> None:
    assert PRIORITY > MAX_PRIORITY
    assert OUTER_MARK & OUTER_MASK != 0


def test_prefixes_are_what_is_fenced_and_not_exempt() -> None:
    tunnel = FencedTunnel("a-b", ("10.0.0.0/8", "fd00::/16"), ("10.0.0.0/9",))
    assert fenced_prefixes(FencePlan((tunnel,)), None) == {
        "a-b": ("10.128.0.0/9", "fd00::/16")
    }
