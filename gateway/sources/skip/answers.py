"""Answers of a SKIP key provider (draft-cisco-skip, 4.1 to 4.3)."""

import binascii
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from gateway.keystore.base import KEY_SIZE, NewKey, Refusal
from gateway.secret import Secret
from gateway.sources.http.limits import MAX_ID
from gateway.sources.http.trouble import malformed
from gateway.wire.key_ids import KEY_ID_SIZE, NamedKeyID, is_uuid, parse_key_id

MAX_SYSTEMS: Final = 1024
"""Entries of ``remoteSystemID``: more sites than any network of KMEs has."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a key provider says of itself (4.1).

    Attributes:
        local_system_id: Its name.
        remote_system_ids: Names, or glob patterns of them, that it shares keys with.
        algorithm: How it makes keys, in its words.
        gives_keys: Whether it serves ``/key``.
        gives_entropy: Whether it serves ``/entropy``.
    """

    local_system_id: str
    remote_system_ids: tuple[str, ...]
    algorithm: str
    gives_keys: bool
    gives_entropy: bool

    def reaches(self, system_id: str) -> bool:
        """Whether it shares keys with a system (4.1.2)."""
        return any(
            fnmatch.fnmatchcase(system_id, pattern)
            for pattern in self.remote_system_ids
        )


def decode_capabilities(members: Mapping[str, Any]) -> Capabilities:
    """Read the answer of ``/capabilities``.

    Raises:
        Trouble: ``MALFORMED``: a member is missing or has the wrong type.
    """
    remote = members.get("remoteSystemID")
    if isinstance(remote, str):
        remote = [remote]
    if not isinstance(remote, list) or len(remote) > MAX_SYSTEMS:
        raise malformed("remoteSystemID is no list of names")
    return Capabilities(
        _text(members.get("localSystemID"), "localSystemID"),
        tuple(_text(name, "remoteSystemID") for name in remote),
        _text(members.get("algorithm", ""), "algorithm"),
        _flag(members, "key", default=True),
        _flag(members, "entropy", default=False),
    )


def decode_key_answer(
    members: Mapping[str, Any], asked: UUID | None = None
) -> NewKey | Refusal:
    """Read the answer of ``/key`` (4.2).

    Args:
        members: The JSON object.
        asked: The keyId asked for, or None for a new key.

    Returns:
        The key, or why it cannot be taken.

    Raises:
        Trouble: ``MALFORMED``: there is no keyId or no key.
    """
    if "keyId" not in members or "key" not in members:
        raise malformed("the answer has no keyId and key")
    found = parse_skip_key_id(members["keyId"])
    if found is None:
        return Refusal("keyId", "malformed")
    if asked is not None:
        if skip_key_id(found).lower() != skip_key_id(asked).lower():
            told = str(found) if is_uuid(found) else "keyId"
            return Refusal(told, "unasked")
        found = asked
    key = _hex(members["key"])
    # One that is not of the usual form may be the key itself, in the wrong place.
    told = str(found) if is_uuid(found) else "keyId"
    if key is None:
        return Refusal(told, "malformed")
    if len(key) != KEY_SIZE:
        return Refusal(told, "short" if len(key) < KEY_SIZE else "long")
    if key.hex() in skip_key_id(found).lower():
        return Refusal("keyId", "malformed")
    return NewKey(found, Secret(key))


def parse_skip_key_id(value: object) -> UUID | None:
    """Read a keyId, a hexadecimal string; None if it is none.

    The draft's default, 16 bytes in lower case, becomes a UUID of the same bytes.
    """
    key_id = _hex(value)
    if key_id is None or not isinstance(value, str):
        return None
    if len(key_id) == KEY_ID_SIZE and value == key_id.hex():
        return UUID(bytes=key_id)
    return parse_key_id(value)


def skip_key_id(key_id: UUID) -> str:
    """Return a keyId as its key provider wrote it."""
    return key_id.text if isinstance(key_id, NamedKeyID) else key_id.hex


def decode_entropy(members: Mapping[str, Any], size: int) -> Secret:
    """Read the answer of ``/entropy`` (4.3).

    Args:
        members: The JSON object.
        size: Bytes asked for.

    Raises:
        Trouble: ``MALFORMED``: it is no hexadecimal string of that size.
    """
    sample = _hex(members.get("randomStr"))
    if sample is None or len(sample) != size:
        raise malformed(f"randomStr is not {size} bytes of hexadecimal")
    return Secret(sample)


def _hex(value: object) -> bytes | None:
    if not isinstance(value, str) or not value.isascii():
        return None
    try:
        return binascii.unhexlify(value)
    except ValueError:
        return None


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_ID or not value.isprintable():
        raise malformed(f"{name} is no short text")
    return value


def _flag(members: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = members.get(name, default)
    if not isinstance(value, bool):
        raise malformed(f"{name} is neither true nor false")
    return value
