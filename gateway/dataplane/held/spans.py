"""Prefixes as numbers: thousands are compared at each look, and objects are slow."""

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

Span = tuple[int, int, int]
"""Bits of an address (32 or 128), the network's address, the prefix length."""


def span_of(text: str) -> Span:
    """Return ``10.2.0.0/16`` as numbers; host bits are cut off."""
    address, _, length = text.partition("/")
    packed = inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    bits = 8 * len(packed)
    size = int(length) if length else bits
    spare = bits - size
    return bits, int.from_bytes(packed) >> spare << spare, size


def text_of(span: Span) -> str:
    """Return the prefix's text."""
    bits, network, length = span
    family = AF_INET if bits == 32 else AF_INET6  # noqa: PLR2004  # of an IPv4 address
    return f"{inet_ntop(family, network.to_bytes(bits // 8))}/{length}"


def canonical_address(text: str) -> str:
    """Return ``ADDRESS/LENGTH`` as the C library spells it, the length if missing."""
    address, _, length = text.partition("/")
    family = AF_INET6 if ":" in address else AF_INET
    packed = inet_pton(family, address)
    return f"{inet_ntop(family, packed)}/{length or 8 * len(packed)}"


def contains(outer: Span, inner: Span) -> bool:
    """Whether a prefix contains another one, or is the same."""
    bits, network, length = outer
    return (
        bits == inner[0]
        and length <= inner[2]
        and (network ^ inner[1]) >> (bits - length) == 0
    )


def covers(outer: Span, inner: Span) -> bool:
    """Whether a prefix contains another one that is longer."""
    return outer[2] < inner[2] and contains(outer, inner)
