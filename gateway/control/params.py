"""Checked reading of a request's parameters, for handlers."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.control.schema import ErrorCode
from gateway.errors import ControlError
from gateway.secret import Secret

MAX_NAME = 64
"""Characters; tunnel and link names end at 32, the rest is room for a clear error."""


@dataclass(frozen=True, slots=True)
class RawKey:
    """One key of an import as it was written, not yet checked.

    Attributes:
        key_id: Should be a key_ID.
        key: Should have 32 bytes; None where it was not base64.
    """

    key_id: str
    key: Secret | None


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Parameters of ``keystore.import``."""

    link: str
    keys: tuple[RawKey, ...]


def refuse_unknown(params: Mapping[str, object], known: set[str]) -> None:
    """Refuse parameters the method does not have.

    Raises:
        ControlError: There is one.
    """
    for name in params:
        if name not in known:
            raise _bad(f"no such parameter: {name[:MAX_NAME]!r}")


def read_name(params: Mapping[str, object], key: str = "name") -> str:
    """Return a name that must be there.

    Raises:
        ControlError: It is missing or not a name.
    """
    name = read_optional_name(params, key)
    if name is None:
        raise _bad(f"parameter {key} is missing")
    return name


def read_optional_name(params: Mapping[str, object], key: str) -> str | None:
    """Return a name that may be missing or null.

    Raises:
        ControlError: It is not a name.
    """
    value = params.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        raise _bad(f"parameter {key} must be a name of 1 to {MAX_NAME} characters")
    return value


def read_flag(params: Mapping[str, object], key: str) -> bool:
    """Return a flag; False when it is missing.

    Raises:
        ControlError: It is neither true nor false.
    """
    value = params.get(key, False)
    if not isinstance(value, bool):
        raise _bad(f"parameter {key} must be true or false")
    return value


def read_count(params: Mapping[str, object], key: str, most: int) -> int | None:
    """Return a whole number from 1 to `most`; None when it is missing or null.

    Raises:
        ControlError: It is anything else.
    """
    value = params.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise _bad(f"parameter {key} must be a whole number from 1 to {most}")
    return value


def read_import(params: Mapping[str, object]) -> ImportRequest:
    """Return the link and the keys of an import.

    What is wrong with one key is left for the key store to say, key by key.

    Raises:
        ControlError: The request is not a link and a list of keys.
    """
    refuse_unknown(params, {"link", "keys"})
    keys = params.get("keys")
    if not isinstance(keys, list):
        raise _bad("parameter keys must be a list")
    return ImportRequest(read_name(params, "link"), tuple(map(_read_key, keys)))


def _read_key(item: object) -> RawKey:
    if isinstance(item, dict):
        key_id, key = item.get("key_ID"), item.get("key")
        is_known = "key" in item and isinstance(key, Secret | str | None)
        if isinstance(key_id, str) and is_known:
            # Text is what was too short to be a key, or hid the name of its member.
            return RawKey(key_id, key if isinstance(key, Secret) else None)
    raise _bad("each of keys must be an object with key_ID and key, both text")


def _bad(message: str) -> ControlError:
    return ControlError(
        message,
        "see docs/control.md for the parameters of each method",
        code=ErrorCode.BAD_REQUEST,
    )
