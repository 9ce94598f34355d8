"""The control protocol's lines: JSON in, JSON out, nothing believed.

A request is ``{"id": 1, "method": "tunnel.show", "params": {"name": "paris"}}`` on
one line; the answer repeats the id and holds either ``result`` or ``error``.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import NoReturn
from uuid import UUID

from gateway.control.lifted_keys import lift_keys, put_back
from gateway.control.limits import MAX_DEPTH
from gateway.control.schema import ErrorBody, ErrorCode
from gateway.errors import (
    ConfigError,
    ControlError,
    DataPlaneError,
    GatewayError,
    IdentityError,
    KeyStoreError,
)

MAX_REQUEST_ID = 2**53 - 1
"""The largest integer every JSON reader keeps exact (RFC 8259, section 6)."""

_REQUEST_MEMBERS = {"id", "method", "params"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, checked.

    Attributes:
        request_id: Chosen by the client, 0 to `MAX_REQUEST_ID`.
        method: Which method, not yet known to exist.
        params: Its parameters, not yet checked. May hold key material: never logged.
    """

    request_id: int
    method: str
    params: dict[str, object] = dataclasses.field(repr=False)


def decode_request(line: bytearray) -> Request:
    """Check one request line; keys in it are lifted out and overwritten.

    Raises:
        ControlError: It is not a request; the message quotes nothing of it.
    """
    lifted = lift_keys(line)
    message = _load_object(line)
    put_back(message, lifted)
    if not message.keys() <= _REQUEST_MEMBERS:
        raise _bad_request("a request has only the members id, method and params")
    request_id = message.get("id")
    if type(request_id) is not int or not 0 <= request_id <= MAX_REQUEST_ID:
        raise _bad_request(f"id must be an integer from 0 to {MAX_REQUEST_ID}")
    method = message.get("method")
    if not isinstance(method, str):
        raise _bad_request("method must be text")
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise _bad_request("params must be an object")
    return Request(request_id, method, params)


def encode_request(request_id: int, method: str, params: Mapping[str, object]) -> bytes:
    """Make one request line."""
    message = {"id": request_id, "method": method, "params": dict(params)}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def encode_result(request_id: int, result: object) -> bytes:
    """Make one answer line; dataclasses, UUIDs, paths and enums become JSON.

    Raises:
        TypeError: The result holds something else, a `Secret` for example.
        ValueError: It holds a NaN or an infinity, or refers to itself.
    """
    message = {"id": request_id, "result": result}
    text = json.dumps(message, default=_to_json, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def encode_error(request_id: int | None, error: GatewayError) -> bytes:
    """Make one answer line that says what went wrong."""
    body = ErrorBody(code=code_of(error), message=error.message, hint=error.hint)
    details = _details_of(error)
    if details:
        body["details"] = details
    message = {"id": request_id, "error": body}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode_answer(line: bytes, request_id: int) -> object:
    """Return the result that an answer line holds.

    Raises:
        ControlError: The answer is an error, or not an answer to this request.
    """
    try:
        message = _load_object(line)
    except ControlError:
        raise _strange_answer() from None
    error = message.get("error")
    # An error without id is about the connection: too many, or not permitted.
    expected_ids = (request_id, None) if error is not None else (request_id,)
    if message.get("id") not in expected_ids:
        raise _strange_answer()
    if error is not None:
        raise _error_from(error)
    if "result" not in message:
        raise _strange_answer()
    return message["result"]


def code_of(error: GatewayError) -> str:
    """Return the code under which an error travels."""
    match error:
        case ControlError():
            return error.code
        case ConfigError():
            return ErrorCode.CONFIG
        case IdentityError():
            return ErrorCode.IDENTITY
        case KeyStoreError():
            return ErrorCode.KEY_STORE
        case DataPlaneError():
            return ErrorCode.DATA_PLANE
        case _:
            return ErrorCode.FAILED


def _details_of(error: GatewayError) -> list[str]:
    match error:
        case ControlError():
            return list(error.details)
        case ConfigError():
            return [str(problem) for problem in error.problems]
        case _:
            return []


def _error_from(body: object) -> ControlError:
    if not isinstance(body, dict):
        return _strange_answer()
    code, message, hint = (body.get(name) for name in ("code", "message", "hint"))
    details = body.get("details", [])
    if not (
        isinstance(code, str)
        and isinstance(message, str)
        and isinstance(hint, str)
        and isinstance(details, list)
    ):
        return _strange_answer()
    return ControlError(
        message, hint, code=code, details=tuple(str(line) for line in details)
    )


def _load_object(line: bytes | bytearray) -> dict[str, object]:
    try:
        # loads() also takes UTF-16 and UTF-32, by guessing: one encoding is enough.
        message = json.loads(line.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _bad_request("the line is not JSON") from None
    if not isinstance(message, dict):
        raise _bad_request("the line is not a JSON object")
    if not _within_depth(message, MAX_DEPTH):
        raise _bad_request(f"the message is nested deeper than {MAX_DEPTH}")
    return message


def _within_depth(value: object, depth: int) -> bool:
    children: list[object] = []
    if isinstance(value, dict):
        children = list(value.values())
    elif isinstance(value, list):
        children = value
    else:
        return True
    return depth > 0 and all(_within_depth(child, depth - 1) for child in children)


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _to_json(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # asdict() would deep-copy a Secret; this reaches it below and refuses it.
        return {
            item.name: getattr(value, item.name) for item in dataclasses.fields(value)
        }
    if isinstance(value, UUID | PurePath):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} does not travel over the control socket")


def _bad_request(message: str) -> ControlError:
    return ControlError(
        message, "see docs/control.md for the protocol", code=ErrorCode.BAD_REQUEST
    )


def _strange_answer() -> ControlError:
    return ControlError(
        "the daemon's answer makes no sense",
        "qgw and qgwd may be of different versions: compare qgw --version with qgw "
        "status, and restart qgwd",
    )
