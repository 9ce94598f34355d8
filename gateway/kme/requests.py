"""SAEs' requests: bytes and query strings into typed requests, or a refusal.

Strict where the standard says what is right (types, ranges), and deaf where it says to
be: members that it does not name are ignored (ETSI GS QKD 014 V1.1.1, 6).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NoReturn, TypeVar
from uuid import UUID

from gateway.kme.key_id_forms import CANONICAL, KeyIDForm
from gateway.kme.refusals import (
    KEYS_NOT_FOUND,
    MANDATORY_UNSUPPORTED,
    SIZE_NOT_OCTETS,
    RefusedError,
)

T = TypeVar("T")

MAX_BODY: Final = 256 * 1024
"""Bytes: 1,024 key_IDs of 50 take 50 KiB, and extensions have room."""

MAX_DEPTH: Final = 32
"""Nesting of a body; the standard's own is 3, extensions may hold objects."""

MAX_SAE_ID: Final = 256
"""Characters of an SAE ID; a certificate's common name has 64."""

MAX_EXTENSIONS: Final = 64
"""Extension parameters of one request."""

_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_SHOWN: Final = 40
"""Characters of a name that a refusal repeats to its sender."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What keys can be asked for; sizes in bits."""

    key_size: int
    min_key_size: int
    max_key_size: int
    max_key_per_request: int


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A request of ``enc_keys`` (6.2)."""

    number: int
    size: int


def read_key_query(query: Mapping[str, Sequence[str]], limits: KeyLimits) -> KeyRequest:
    """Read the query string of a GET of ``enc_keys``: `number` and `size` alone.

    What only a POST can say is refused here too: who asks for it is not to be given a
    key without it.
    """
    _refuse_slaves(query.get("additional_slave_SAE_IDs", ()))
    if "extension_mandatory" in query:
        raise RefusedError(HTTPStatus.BAD_REQUEST, MANDATORY_UNSUPPORTED)
    values = {name: _one(query, name) for name in ("number", "size") if name in query}
    return _key_request(
        {name: _parse_number(name, text) for name, text in values.items()}, limits
    )


def read_key_request(body: bytes, limits: KeyLimits) -> KeyRequest:
    """Read the body of a POST of ``enc_keys`` (6.2); none means all defaults."""
    members = _decode_object(body) if body else {}
    slaves = members.get("additional_slave_SAE_IDs", [])
    _refuse_slaves(_list_of("additional_slave_SAE_IDs", slaves, str, "strings"))
    _names_of_extensions(members, "extension_optional")
    mandatory = _names_of_extensions(members, "extension_mandatory")
    if mandatory:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            MANDATORY_UNSUPPORTED,
            tuple(
                ("extension_mandatory_unsupported", name[:_SHOWN]) for name in mandatory
            ),
        )
    return _key_request(members, limits)


def _refuse_slaves(sae_ids: Sequence[str]) -> None:
    if sae_ids:
        raise RefusedError.bad_request(
            "additional_slave_SAE_IDs", "max_SAE_ID_count of this KME is 0"
        )


def read_key_id_query(
    query: Mapping[str, Sequence[str]], form: KeyIDForm = CANONICAL
) -> list[UUID]:
    """Read the query string of a GET of ``dec_keys``: one `key_ID`."""
    if "key_ID" not in query:
        raise RefusedError.bad_request("key_ID", "missing")
    return [_parse_key_id(_one(query, "key_ID"), form)]


def read_key_ids(
    body: bytes, limits: KeyLimits, form: KeyIDForm = CANONICAL
) -> list[UUID]:
    """Read the body of a POST of ``dec_keys`` (6.4); no key_ID comes twice."""
    entries = _list_of("key_IDs", _decode_object(body).get("key_IDs"), dict, "objects")
    if not 1 <= len(entries) <= limits.max_key_per_request:
        raise RefusedError.bad_request(
            "key_IDs", f"1 to {limits.max_key_per_request} in one request"
        )
    key_ids = [_parse_key_id(entry.get("key_ID"), form) for entry in entries]
    if len(set(key_ids)) != len(key_ids):
        raise RefusedError.bad_request("key_IDs", "a key_ID twice")
    return key_ids


def _key_request(members: Mapping[str, object], limits: KeyLimits) -> KeyRequest:
    number = _whole("number", members.get("number", 1))
    size = _whole("size", members.get("size", limits.key_size))
    if not 1 <= number <= limits.max_key_per_request:
        raise RefusedError.bad_request(
            "number", f"1 to max_key_per_request, {limits.max_key_per_request}"
        )
    if size % 8:
        raise RefusedError(HTTPStatus.BAD_REQUEST, SIZE_NOT_OCTETS)
    if not limits.min_key_size <= size <= limits.max_key_size:
        raise RefusedError.bad_request(
            "size",
            f"min_key_size, {limits.min_key_size}, to max_key_size,"
            f" {limits.max_key_size}",
        )
    return KeyRequest(number, size)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError.bad_request(name, "an integer is expected")
    return value


def _parse_number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise RefusedError.bad_request(name, "an integer is expected")
    return int(text)


def _parse_key_id(value: object, form: KeyIDForm) -> UUID:
    key_id = form.read(value) if isinstance(value, str) else None
    if key_id is not None:
        return key_id
    if form is not CANONICAL:
        # Told as such: KMEs with names of their own take any text for one.
        raise RefusedError(HTTPStatus.BAD_REQUEST, KEYS_NOT_FOUND)
    raise RefusedError.bad_request("key_ID", "a UUID is expected")


def _one(query: Mapping[str, Sequence[str]], name: str) -> str:
    values = query[name]
    if len(values) != 1:
        raise RefusedError.bad_request(name, "given more than once")
    return values[0]


def _list_of(name: str, value: object, kind: type[T], plural: str) -> list[T]:
    if isinstance(value, list) and all(isinstance(each, kind) for each in value):
        return value
    raise RefusedError.bad_request(name, f"an array of {plural} is expected")


def _names_of_extensions(members: Mapping[str, object], name: str) -> list[str]:
    entries = _list_of(name, members.get(name, []), dict, "objects")
    if len(entries) > MAX_EXTENSIONS:
        raise RefusedError.bad_request(name, f"at most {MAX_EXTENSIONS} parameters")
    # An empty object asks for nothing, but one had better know that.
    if not all(entries):
        raise RefusedError.bad_request(name, "a parameter without name")
    return [parameter for entry in entries for parameter in entry][:MAX_EXTENSIONS]


def _decode_object(body: bytes) -> dict[str, object]:
    """Decode a JSON object, bounded in depth (its size is bounded by who read it)."""
    value: object = None
    if _depth(body) <= MAX_DEPTH:
        try:
            value = json.loads(
                body.decode(),
                object_pairs_hook=_without_repetition,
                parse_constant=_refuse_constant,
            )
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise RefusedError.bad_request("body", "a JSON object is expected")
    return value


def _depth(body: bytes) -> int:
    """Return how deep brackets nest at most; those in strings count too."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(body):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _without_repetition(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    entries = list(pairs)
    members = dict(entries)
    if len(members) != len(entries):
        raise ValueError("a member twice")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("no JSON number")
