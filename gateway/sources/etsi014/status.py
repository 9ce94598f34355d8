"""The status answer (ETSI GS QKD 014 V1.1.1, 6.1), and what is odd about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.keystore.base import KEY_SIZE
from gateway.sources.http.limits import MAX_ID
from gateway.sources.http.trouble import malformed

KEY_BITS: Final = 8 * KEY_SIZE
"""What we ask for."""

MAX_COUNT: Final = 2**40
"""Keys in a pool: a terabit link would need years."""


@dataclass(frozen=True, slots=True)
class KmeStanding:
    """What a KME says of itself.

    Attributes:
        source_kme_id: Its ID, empty if not told.
        target_kme_id: The peer KME's, empty if not told.
        key_size: Default bits of a key, or None if not told.
        stored_key_count: Keys it has for us now, or None if not told.
        max_key_count: Keys it can store, or None if not told.
        max_key_per_request: Keys of one call, or None if not told.
        min_key_size: Fewest bits of a key, or None if not told.
        max_key_size: Most bits of a key, or None if not told.
        notes: What deviates from the standard, or does not fit us.
    """

    source_kme_id: str
    target_kme_id: str
    key_size: int | None
    stored_key_count: int | None
    max_key_count: int | None
    max_key_per_request: int | None
    min_key_size: int | None
    max_key_size: int | None
    notes: tuple[str, ...]

    @property
    def serves_our_size(self) -> bool:
        """Whether keys of `KEY_BITS` can be had, as far as it tells."""
        least, most = self.min_key_size, self.max_key_size
        return (least is None or least <= KEY_BITS) and (
            most is None or most >= KEY_BITS
        )


def decode_status(
    members: Mapping[str, Any], sae_id: str, peer_sae_id: str
) -> KmeStanding:
    """Read a status.

    Args:
        members: The JSON object.
        sae_id: Ours, the master of this call.
        peer_sae_id: The slave that was asked for.

    Raises:
        Trouble: ``MALFORMED``: a member has the wrong type or an impossible value.
    """
    notes = [f"does not tell {name} (6.1)" for name in _EXPECTED if name not in members]
    for name, ours in (("master_SAE_ID", sae_id), ("slave_SAE_ID", peer_sae_id)):
        told = _text(members, name, notes)
        if told and told != ours:
            notes.append(f"says that {name} is {told}, it should be {ours}")
    standing = KmeStanding(
        _text(members, "source_KME_ID", notes),
        _text(members, "target_KME_ID", notes),
        _count(members, "key_size", least=1),
        _count(members, "stored_key_count"),
        _count(members, "max_key_count"),
        _count(members, "max_key_per_request", least=1),
        _count(members, "min_key_size"),
        _count(members, "max_key_size", least=1),
        (),
    )
    notes += _oddities(standing)
    return replace(standing, notes=tuple(notes))


_EXPECTED = (
    "key_size",
    "stored_key_count",
    "max_key_count",
    "max_key_per_request",
    "max_key_size",
    "min_key_size",
)


def _oddities(standing: KmeStanding) -> list[str]:
    notes = []
    stored, most = standing.stored_key_count, standing.max_key_count
    if stored is not None and most is not None and stored > most:
        notes.append("stores more keys than max_key_count")
    smallest, largest = standing.min_key_size, standing.max_key_size
    if smallest is not None and largest is not None and smallest > largest:
        notes.append("min_key_size is greater than max_key_size")
    elif not standing.serves_our_size:
        notes.append(f"serves no keys of {KEY_BITS} bits, which we need")
    return notes


def _text(members: Mapping[str, Any], name: str, notes: list[str]) -> str:
    """Return an ID, or nothing where it is none: no key hangs on it."""
    value = members.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_ID or not value.isprintable():
        notes.append(f"{name} is no short text (6.1)")
        return ""
    return value


def _count(members: Mapping[str, Any], name: str, least: int = 0) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    # A bool is an int to Python, and never a count.
    if type(value) is not int:
        raise malformed(f"{name} is no whole number")
    if not least <= value <= MAX_COUNT:
        raise malformed(f"{name} is out of range")
    return value
