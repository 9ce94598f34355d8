"""Key containers as in ETSI GS QKD 014 V1.1.1, 6.3, from a file or a KME.

::

    {"keys": [{"key_ID": TEXT, "key": BASE64, ...}, ...], ...}

Whoever wrote the container may be hostile. Text that is not a container is refused as a
whole; a bad key is refused alone. Unknown members are ignored (clause 6.1). Errors
carry positions, never content, since the content is keys.
"""

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from gateway.errors import KeyFileError
from gateway.keystore.base import KEY_SIZE, NewKey, Refusal
from gateway.secret import Secret
from gateway.wire.key_ids import is_uuid, key_id_text, parse_key_id

MAX_CONTAINER_BYTES = 32 * 1024 * 1024
"""Text read at most: `MAX_CONTAINER_KEYS` keys with generous extensions."""

MAX_CONTAINER_KEYS = 100_000
"""Keys of one container: 138 days of a tunnel at the default interval."""

_EXPECTED = 'expected the ETSI GS QKD 014 format: {"keys": [{"key_ID", "key"}, ...]}'


@dataclass(frozen=True, slots=True)
class KeyContainer:
    """What a container held.

    Attributes:
        keys: Keys of the right size, in the order they stood in, each key_ID once.
        refused: The others.
    """

    keys: tuple[NewKey, ...]
    refused: tuple[Refusal, ...]


class _Ambiguous:
    """Stands for a member that an object has twice: readers differ on which counts."""


def parse_container(data: bytes | str) -> KeyContainer:
    """Read a key container.

    Raises:
        KeyFileError: It is too large, not JSON, or no container.
    """
    document = _parse_json(_decode_text(data))
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise KeyFileError("there is no list of keys in it", _EXPECTED)
    if len(entries) > MAX_CONTAINER_KEYS:
        raise KeyFileError(
            f"it holds {len(entries)} keys, more than {MAX_CONTAINER_KEYS}",
            "split it into several files",
        )
    return _collect_keys(
        _parse_entry(f"keys[{place}]", entry) for place, entry in enumerate(entries)
    )


def take_keys(written: Iterable[tuple[str, Secret | None]]) -> KeyContainer:
    """Sort keys whose bytes were decoded already, as `parse_container` does.

    Args:
        written: Of each its key_ID as it was written, and its bytes, or None where
            they could not be decoded.
    """
    return _collect_keys(
        _check_key(f"keys[{place}]", key_id, key)
        for place, (key_id, key) in enumerate(written)
    )


def _collect_keys(found: Iterable[NewKey | Refusal]) -> KeyContainer:
    keys: dict[UUID, NewKey] = {}
    refused: list[Refusal] = []
    for parsed in found:
        if isinstance(parsed, Refusal):
            refused.append(parsed)
        elif parsed.key_id in keys:
            same = keys[parsed.key_id].key == parsed.key
            reason = "duplicate" if same else "other-bytes"
            refused.append(Refusal(str(parsed.key_id), reason))
        else:
            keys[parsed.key_id] = parsed
    return KeyContainer(tuple(keys.values()), tuple(refused))


def _decode_text(data: bytes | str) -> str:
    if len(data) > MAX_CONTAINER_BYTES:
        raise KeyFileError(
            f"it is larger than {MAX_CONTAINER_BYTES} bytes",
            "split it into several files",
        )
    if isinstance(data, str):
        return data
    where = -1
    text = ""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = error.start
    # Raised outside `except`: the foreign error holds the whole document.
    if where >= 0:
        raise KeyFileError(f"byte {where} is not UTF-8", _EXPECTED)
    return text


def _parse_json(text: str) -> object:
    fault = ""
    document: object = None
    try:
        document = json.loads(
            text,
            object_pairs_hook=_collect,
            parse_constant=_refuse_constant,
            # No number means anything here; not converting them disarms huge ones.
            parse_int=len,
            parse_float=len,
        )
    except json.JSONDecodeError as error:
        fault = f"it is not JSON (line {error.lineno}, column {error.colno})"
    except RecursionError:
        fault = "it is nested too deeply"
    except ValueError:
        fault = "it is not JSON (NaN and Infinity are not)"
    if fault:
        raise KeyFileError(fault, _EXPECTED)
    return document


def _collect(members: list[tuple[str, object]]) -> dict[str, object]:
    collected: dict[str, object] = {}
    for name, value in members:
        collected[name] = _Ambiguous() if name in collected else value
    return collected


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


def _parse_entry(place: str, entry: object) -> NewKey | Refusal:
    if not isinstance(entry, dict):
        return Refusal(place, "malformed")
    key = _decode_key(entry.get("key"))
    return _check_key(place, entry.get("key_ID"), None if key is None else Secret(key))


def _check_key(place: str, written: object, key: Secret | None) -> NewKey | Refusal:
    key_id = parse_key_id(written)
    if key_id is None or (key is not None and stands_for(key_id, key)):
        return Refusal(place, "malformed")
    # A text that is no UUID may be the key itself, in the wrong place.
    told = str(key_id) if is_uuid(key_id) else place
    if key is None:
        return Refusal(told, "malformed")
    if len(key) != KEY_SIZE:
        return Refusal(told, "short" if len(key) < KEY_SIZE else "long")
    return NewKey(key_id, key)


def stands_for(key_id: UUID, key: Secret) -> bool:
    """Whether a key_ID gives its key away: it is no name then, and no secret."""
    if len(key) < KEY_SIZE:
        return False
    told = base64.b64encode(key.expose()).decode().rstrip("=")
    text = key_id_text(key_id)
    return told in text or key.expose().hex() in text.replace("-", "").lower()


def _decode_key(written: object) -> bytes | None:
    if not isinstance(written, str):
        return None
    try:
        return base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError):
        return None
