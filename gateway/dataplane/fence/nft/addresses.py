"""Addresses in packets and in sets: where they stand, how long they are."""

from typing import Final

from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft import expressions as e

DIRECTIONS: Final = ("out", "in")
VERSIONS: Final = (4, 6)

ADDRESS_SIZE: Final = {4: 4, 6: 16}
"""Bytes of an address, by IP version."""

_NFPROTO: Final = {4: 2, 6: 10}
_OFFSETS: Final = {("in", 4): 12, ("out", 4): 16, ("in", 6): 8, ("out", 6): 24}
"""Where the source (in) and the destination (out) stand in an IP header."""


def is_version(version: int) -> tuple[bytes, bytes]:
    """Go on with packets of this IP version."""
    return e.meta(c.NFT_META_NFPROTO), e.is_equal(bytes((_NFPROTO[version],)))


def address(direction: str, version: int) -> bytes:
    """Load the address at the far end: where a packet goes, or comes from."""
    return e.payload(
        c.NFT_PAYLOAD_NETWORK_HEADER,
        _OFFSETS[direction, version],
        ADDRESS_SIZE[version],
    )
