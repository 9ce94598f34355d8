"""Answers as values, and their form in HTTP."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from aiohttp import web

from gateway.kme.core import GivenKey
from gateway.kme.key_id_forms import CANONICAL, KeyIDForm
from gateway.kme.refusals import RefusedError

SERVER: Final = "qgw-kme"
"""Value of the header Server, instead of versions that are nobody's business."""

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        status: HTTP status code.
        document: JSON object of the body, or None for no body.
        headers: Beyond those that every answer has.
    """

    status: int
    document: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the body."""
        if self.document is None:
            return b""
        return json.dumps(self.document, separators=(",", ":")).encode()

    def response(self) -> web.Response:
        """Return the HTTP response."""
        return response_of(self.status, self.encode(), dict(self.headers))


def response_of(
    status: int, body: bytes, headers: dict[str, str], content_type: str = JSON
) -> web.Response:
    """Return an HTTP response that no cache keeps."""
    headers = {"Server": SERVER, "Cache-Control": "no-store", **headers}
    if body:
        headers.setdefault("Content-Type", content_type)
    return web.Response(status=status, body=body or None, headers=headers)


def reply_to(refused: RefusedError) -> Reply:
    """Return the answer that a refusal becomes."""
    headers = {}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(refused.retry_after)
    return Reply(refused.status, refused.body(), headers)


def key_container(keys: Sequence[GivenKey], form: KeyIDForm = CANONICAL) -> Reply:
    """Return the Key container (ETSI GS QKD 014 V1.1.1, 6.3)."""
    entries = [
        {
            "key_ID": form.write(given.key_id),
            "key": base64.b64encode(given.key.expose()).decode("ascii"),
        }
        for given in keys
    ]
    return Reply(HTTPStatus.OK, {"keys": entries})
