"""Key containers (ETSI GS QKD 014 V1.1.1, 6.3): each entry judged by itself.

A container that is none is refused whole; in one that is, good keys are kept and bad
entries are named with the reason. Unknown members and extensions are passed over.
"""

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from gateway.errors import SourceFault
from gateway.keystore.base import KEY_SIZE, NewKey, Refusal
from gateway.keystore.container import stands_for
from gateway.secret import Secret
from gateway.sources.http.limits import MAX_SURPLUS
from gateway.sources.http.trouble import Trouble, malformed
from gateway.wire.key_ids import is_uuid, parse_key_id

KEYS_AS_OBJECT: Final = "keys is an object, not an array (6.3)"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a container held.

    Attributes:
        keys: The good keys, no key_ID twice.
        refused: The others, and why.
        notes: Deviations from the standard that were put up with.
    """

    keys: tuple[NewKey, ...]
    refused: tuple[Refusal, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())


def decode_container(
    members: Mapping[str, Any], asked: int, key_ids: frozenset[UUID] | None = None
) -> Contents:
    """Take the keys out of a container.

    Args:
        members: The JSON object.
        asked: How many keys were asked for; more are refused as ``unasked``.
        key_ids: Which were asked for by key_ID, or None for any (``enc_keys``).

    Raises:
        Trouble: ``MALFORMED`` or ``OVERSIZED``: it is no container.
    """
    notes: tuple[str, ...] = ()
    entries = members.get("keys")
    if isinstance(entries, dict):
        entries, notes = _entries_of(entries), (KEYS_AS_OBJECT,)
    if not isinstance(entries, list):
        raise malformed("the answer has no array of keys")
    if len(entries) > asked + MAX_SURPLUS:
        raise Trouble(
            SourceFault.OVERSIZED, f"{len(entries)} keys came where {asked} were asked"
        )
    found = _Sorter(asked, key_ids)
    for place, entry in enumerate(entries):
        found.take(place, entry)
    return Contents(tuple(found.keys.values()), tuple(found.refused), notes)


def _entries_of(keys: Mapping[str, Any]) -> list[Any] | None:
    """Return the entries of an object that stands for the array, as some KMEs have it.

    Either it is the one entry, or its members are entries.
    """
    if "key" in keys:
        return [keys]
    entries = list(keys.values())
    return entries if all(isinstance(entry, dict) for entry in entries) else None


class _Sorter:
    """Sorts the entries of one container."""

    def __init__(self, asked: int, key_ids: frozenset[UUID] | None) -> None:
        self._asked = asked
        self._key_ids = None if key_ids is None else {one: one for one in key_ids}
        self._torn: set[UUID] = set()
        self.keys: dict[UUID, NewKey] = {}
        self.refused: list[Refusal] = []

    def take(self, place: int, entry: object) -> None:
        key_id = parse_key_id(entry.get("key_ID")) if isinstance(entry, dict) else None
        if key_id is None or not isinstance(entry, dict):
            self._refuse(f"keys[{place}]", "malformed")
            return
        key, reason = decode_key(entry.get("key"))
        if key is not None and stands_for(key_id, key):
            self._refuse(f"keys[{place}]", "malformed")
            return
        if self._key_ids is not None and key_id not in self._key_ids:
            self._refuse(str(key_id), "unasked")
        elif key is None:
            told = str(key_id) if is_uuid(key_id) else f"keys[{place}]"
            self._refuse(told, reason)
        elif key_id in self.keys or key_id in self._torn:
            self._refuse_twin(key_id, key)
        elif len(self.keys) >= self._asked:
            self._refuse(str(key_id), "unasked")
        else:
            # In the case in which it was asked for, whatever that of the answer.
            name = self._key_ids[key_id] if self._key_ids is not None else key_id
            self.keys[key_id] = NewKey(name, key)

    def _refuse_twin(self, key_id: UUID, key: Secret) -> None:
        """Refuse a key_ID's second key, and the first if it is another one.

        Which of two the peer has cannot be told.
        """
        self._refuse(str(key_id), "duplicate")
        if key_id in self.keys and self.keys[key_id].key != key:
            del self.keys[key_id]
            self._torn.add(key_id)
            self._refuse(str(key_id), "duplicate")

    def _refuse(self, key_id: str, reason: str) -> None:
        self.refused.append(Refusal(key_id, reason))


def decode_key(value: object) -> tuple[Secret | None, str]:
    """Decode a key in base64, or say why not: ``malformed``, ``short`` or ``long``."""
    if not isinstance(value, str):
        return None, "malformed"
    try:
        key = binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        return None, "malformed"
    if len(key) != KEY_SIZE:
        return None, "short" if len(key) < KEY_SIZE else "long"
    return Secret(key), ""
