"""Requests to a KME (ETSI GS QKD 014 V1.1.1, 5.1 to 5.3, 6.2, 6.4)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from gateway.sources.http.limits import BODY_BASE, BODY_PER_KEY
from gateway.sources.http.session import HttpRequest
from gateway.wire.key_ids import is_uuid, key_id_text

_ROOT = "/api/v1/keys/"


@dataclass(frozen=True, slots=True)
class EncKeys:
    """A key request (6.2).

    Attributes:
        number: Keys wanted.
        size: Bits of each, or None for the KME's `key_size`.
        additional_slave_sae_ids: Further SAEs to share the keys with.
        extension_mandatory: Extensions that the KME must handle, or refuse.
        extension_optional: Extensions that it may ignore.
    """

    number: int = 1
    size: int | None = None
    additional_slave_sae_ids: tuple[str, ...] = ()
    extension_mandatory: tuple[Mapping[str, Any], ...] = ()
    extension_optional: tuple[Mapping[str, Any], ...] = ()

    @property
    def fits_get(self) -> bool:
        """Whether GET can say it too: with number and size only (5.2)."""
        return not (
            self.additional_slave_sae_ids
            or self.extension_mandatory
            or self.extension_optional
        )


def status_request(slave_sae_id: str) -> HttpRequest:
    """Ask how the KME stands with the keys for a slave SAE (5.1)."""
    return HttpRequest("GET", f"{_ROOT}{_encoded(slave_sae_id)}/status")


def enc_keys_request(
    slave_sae_id: str, wanted: EncKeys, *, by_get: bool = False
) -> HttpRequest:
    """Ask for new keys (5.2).

    Args:
        slave_sae_id: Whom they are shared with.
        wanted: How many, of what size.
        by_get: Whether by GET, which cannot carry extensions or further SAEs.
    """
    path = f"{_ROOT}{_encoded(slave_sae_id)}/enc_keys"
    limit = BODY_BASE + wanted.number * BODY_PER_KEY
    if by_get:
        size = f"&size={wanted.size}" if wanted.size else ""
        query = f"?number={wanted.number}{size}"
        return HttpRequest("GET", path + query, max_body=limit)
    members: dict[str, Any] = {"number": wanted.number}
    if wanted.size:
        members["size"] = wanted.size
    if wanted.additional_slave_sae_ids:
        members["additional_slave_SAE_IDs"] = list(wanted.additional_slave_sae_ids)
    if wanted.extension_mandatory:
        members["extension_mandatory"] = [dict(e) for e in wanted.extension_mandatory]
    if wanted.extension_optional:
        members["extension_optional"] = [dict(e) for e in wanted.extension_optional]
    return HttpRequest("POST", path, json.dumps(members).encode(), limit)


def dec_keys_request(
    master_sae_id: str,
    key_ids: Sequence[UUID],
    *,
    by_get: bool = False,
    other_case: bool = False,
) -> HttpRequest:
    """Ask for keys that a master SAE has drawn (5.3).

    Args:
        master_sae_id: Who drew them.
        key_ids: Which; exactly one by GET.
        by_get: Whether by GET.
        other_case: Whether UUIDs are written in the other case than they came in.
    """
    path = f"{_ROOT}{_encoded(master_sae_id)}/dec_keys"
    limit = BODY_BASE + len(key_ids) * BODY_PER_KEY
    texts = [_text(one, other_case=other_case) for one in key_ids]
    if by_get:
        (key_id,) = texts
        return HttpRequest(
            "GET", f"{path}?key_ID={quote(key_id, safe='')}", max_body=limit
        )
    members = {"key_IDs": [{"key_ID": text} for text in texts]}
    return HttpRequest("POST", path, json.dumps(members).encode(), limit)


def _text(key_id: UUID, *, other_case: bool) -> str:
    text = key_id_text(key_id)
    return text.swapcase() if other_case and is_uuid(key_id) else text


def _encoded(sae_id: str) -> str:
    """Percent-encode an SAE ID, slashes too, to be one segment of a path."""
    return quote(sae_id, safe="")
