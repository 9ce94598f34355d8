"""The device for an epoch, as one end tells the other."""

from dataclasses import dataclass

from gateway.dataplane.wireguard.backend import KEY_SIZE
from gateway.errors import DataPlaneError

OFFER_VERSION = 1
"""First byte of an offer."""

OFFER_SIZE = 1 + KEY_SIZE + 2
"""Bytes: version, public key of the device, UDP port in network order."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A device of one end.

    Attributes:
        public_key: Its public key, 32 bytes.
        port: The UDP port it listens on, as seen without address translation.
    """

    public_key: bytes
    port: int


def encode_offer(offer: Offer) -> bytes:
    """Return the offer's 35 bytes."""
    return bytes([OFFER_VERSION]) + offer.public_key + offer.port.to_bytes(2, "big")


def decode_offer(data: bytes) -> Offer:
    """Return the offer in a peer's bytes.

    Raises:
        DataPlaneError: It is none of version 1, or its port or key is zero.
    """
    if len(data) != OFFER_SIZE or data[0] != OFFER_VERSION:
        raise DataPlaneError(
            "the peer's offer is not a WireGuard offer of version 1",
            "set the same kind of plane at both ends",
        )
    public_key, port = data[1 : 1 + KEY_SIZE], int.from_bytes(data[-2:], "big")
    if not port or not any(public_key):
        raise DataPlaneError("the peer's offer has an empty key or port")
    return Offer(public_key, port)
