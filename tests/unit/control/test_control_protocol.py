from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.limits import MAX_DEPTH
from gateway.control.protocol import (
    MAX_REQUEST_ID,
    decode_answer,
    decode_request,
    encode_error,
    encode_request,
    encode_result,
)
from gateway.errors import (
    ControlError,
    DataPlaneError,
    GatewayError,
    IdentityError,
    KeyStoreError,
    PlanePermissionError,
)
from gateway.secret import Secret

UUID_TEXT = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"


@given(
    st.integers(0, MAX_REQUEST_ID),
    st.text(),
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()),
)
def test_requests_survive_the_trip(
    number: int, method: str, params: dict[str, object]
) -> None:
    line = encode_request(number, method, params)
    assert line.count(b"\n") == 1
    request = decode_request(bytearray(line))
    assert (request.request_id, request.method, request.params) == (
        number,
        method,
        params,
    )


@given(st.binary(max_size=300))
def test_garbage_is_a_bad_request(line: bytes) -> None:
    with pytest.raises(ControlError) as caught:
        decode_request(bytearray(line))
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b"{}",
        b'{"id": 1}',
        b'{"method": "echo"}',
        b'{"id": true, "method": "echo"}',
        b'{"id": 1.0, "method": "echo"}',
        b'{"id": -1, "method": "echo"}',
        b'{"id": 9007199254740992, "method": "echo"}',
        b'{"id": "1", "method": "echo"}',
        b'{"id": 1, "method": 7}',
        b'{"id": 1, "method": "echo", "params": []}',
        b'{"id": 1, "method": "echo", "params": null}',
        b'{"id": 1, "method": "echo", "extra": 1}',
        b'{"id": 1, "method": "echo", "params": {"x": NaN}}',
        b'{"id": 1, "method": "echo", "params": {"x": ' + b"9" * 5000 + b"}}",
        b'{"id": 1, "method": "\xff"}',
        '{"id": 1, "method": "echo"}'.encode("utf-16"),
        b'{"id": 1, "method": "echo", "params": {"x": ' + b"[" * 50 + b"]" * 50 + b"}}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_not_a_request_is_refused(line: bytes) -> None:
    with pytest.raises(ControlError) as caught:
        decode_request(bytearray(line))
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (1, False)])
def test_nesting_is_bounded_exactly(extra: int, fits: bool) -> None:
    # The request object and its params are two levels already.
    depth = MAX_DEPTH - 2 + extra
    line = (
        b'{"id": 1, "method": "m", "params": {"x": ' + b"[" * depth + b"]" * depth
    ) + b"}}"
    if fits:
        assert decode_request(bytearray(line)).method == "m"
    else:
        with pytest.raises(ControlError, match="nested deeper"):
            decode_request(bytearray(line))


def test_a_request_does_not_show_its_parameters() -> None:
    request = decode_request(
        bytearray(b'{"id":1,"method":"m","params":{"key":"c2VjcmV0"}}')
    )
    assert "c2VjcmV0" not in repr(request)


class _Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class _Item:
    key_id: UUID
    path: Path
    colour: _Colour
    names: frozenset[str]


def test_results_become_plain_json() -> None:
    item = _Item(UUID(UUID_TEXT), Path("/a"), _Colour.RED, frozenset({"b", "a"}))
    assert decode_answer(encode_result(4, [item]), 4) == [
        {"key_id": UUID_TEXT, "path": "/a", "colour": "red", "names": ["a", "b"]}
    ]


@dataclass(frozen=True, slots=True)
class _Holder:
    key: Secret


@pytest.mark.parametrize("result", [Secret(b"x"), _Holder(Secret(b"x")), b"x"])
def test_no_key_bytes_travel_back(result: object) -> None:
    with pytest.raises(TypeError):
        encode_result(1, result)


def test_a_result_that_is_no_number_is_a_fault() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        encode_result(1, float("nan"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GatewayError("m", "h"), "failed"),
        (IdentityError("m", "h"), "identity"),
        (KeyStoreError("m", "h"), "key-store"),
        (DataPlaneError("m", "h"), "data-plane"),
        (PlanePermissionError("m", "h"), "data-plane"),
        (ControlError("m", "h", code="busy", details=("a", "b")), "busy"),
    ],
)
def test_errors_survive_the_trip(error: GatewayError, code: str) -> None:
    with pytest.raises(ControlError) as caught:
        decode_answer(encode_error(9, error), 9)
    assert (caught.value.message, caught.value.hint, caught.value.code) == (
        "m",
        "h",
        code,
    )
    assert caught.value.details == getattr(error, "details", ())


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b'{"id": 8, "result": 1}',
        b'{"id": null, "result": 1}',
        b'{"id": 9}',
        b'{"id": 9, "error": 1}',
        b'{"id": 9, "error": {}}',
        b'{"id": 9, "error": {"code": 1, "message": "m", "hint": "h"}}',
        b'{"id": 9, "error": {"code": "c", "message": "m", "hint": "h", "details": 1}}',
    ],
)
def test_a_strange_answer_is_an_error(line: bytes) -> None:
    with pytest.raises(ControlError, match="makes no sense"):
        decode_answer(line, 9)
