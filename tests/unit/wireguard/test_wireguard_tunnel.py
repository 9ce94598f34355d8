"""Which device comes next, when to try again, what belongs to a tunnel."""

import math

import pytest

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.wireguard.offer import (
    OFFER_SIZE,
    Offer,
    decode_offer,
    encode_offer,
)
from gateway.dataplane.wireguard.tunnel import (
    ATTEMPT_DELAYS,
    Installed,
    WireGuardTunnel,
    tunnel_prefixes,
)
from gateway.errors import DataPlaneError
from gateway.rotation import limits

KEY = bytes(range(1, 33))


def make_spec(*addresses: str) -> TunnelSpec:
    return TunnelSpec(
        "paris", 1, "unused", addresses, ("10.1.0.0/16",), ("10.2.0.0/16",)
    )


def make_epoch(epoch: int, device: int, *, initiator: bool = True) -> Installed:
    return Installed(epoch, device, KEY, 0.0, initiator)


def test_offer_round_trip() -> None:
    offer = Offer(KEY, 51811)
    assert len(encode_offer(offer)) == OFFER_SIZE
    assert decode_offer(encode_offer(offer)) == offer


@pytest.mark.parametrize("size", [*range(OFFER_SIZE), OFFER_SIZE + 1, 64])
def test_offers_of_a_wrong_size(size: int) -> None:
    with pytest.raises(DataPlaneError):
        decode_offer((encode_offer(Offer(KEY, 7)) + bytes(64))[:size])


@pytest.mark.parametrize(
    "offer",
    [
        b"\x02" + KEY + b"\x00\x07",
        b"\x01" + KEY + b"\x00\x00",
        b"\x01" + bytes(32) + b"\x00\x07",
    ],
)
def test_offers_that_cannot_be(offer: bytes) -> None:
    with pytest.raises(DataPlaneError):
        decode_offer(offer)


def test_the_next_epoch_never_takes_the_device_of_the_routes() -> None:
    tunnel = WireGuardTunnel(make_spec(), ())
    for device in (0, 1):
        tunnel.device = device
        assert tunnel.idle_device() == 1 - device
        # A failed epoch on the idle device, or an old one, changes nothing.
        tunnel.installed = [make_epoch(2, 1 - device)]
        assert tunnel.idle_device() == 1 - device


def test_only_activated_epochs_are_pending() -> None:
    tunnel = WireGuardTunnel(make_spec(), ())
    old, new = make_epoch(1, 0), make_epoch(2, 1)
    tunnel.installed, tunnel.active = [old, new], old
    old.activated = True
    assert tunnel.pending() is None
    new.activated = True
    assert tunnel.pending() is new
    tunnel.active = new
    assert tunnel.pending() is None


def test_four_losses_are_survived_within_five_seconds() -> None:
    one = make_epoch(1, 0)
    now = 0.0
    for delay in ATTEMPT_DELAYS[:4]:
        one.schedule_attempt(now)
        assert one.next_attempt == now + delay
        now = one.next_attempt
    assert now < 5.0


def test_a_path_that_opens_is_tried_within_two_seconds_for_ever() -> None:
    one = make_epoch(1, 0)
    now, waits = 0.0, []
    for _ in range(100):
        one.schedule_attempt(now)
        # An attempt is made by a poll, the first that is not too soon.
        polls = math.ceil((one.next_attempt - now) / limits.UNPROVEN_POLL)
        waits.append(polls * limits.UNPROVEN_POLL)
        now += waits[-1]
    assert max(waits) + limits.UNPROVEN_POLL <= 2.0
    slowest = 1.2  # two hops by geostationary satellites
    assert sum(wait > slowest for wait in waits) >= 25


def test_the_responder_waits_for_the_initiator() -> None:
    first, other = make_epoch(1, 0), make_epoch(1, 0, initiator=False)
    first.schedule_attempt(0.0)
    other.schedule_attempt(0.0)
    assert other.next_attempt > first.next_attempt


def test_prefixes() -> None:
    spec = make_spec("10.9.0.1/30", "10.8.0.1/32", "10.1.0.1/16", "fd00::1/126")
    assert tunnel_prefixes(spec) == ("10.2.0.0/16", "10.9.0.0/30", "fd00::/126")
