"""What SAEs and the partner ask of `qgw-kme`."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from uuid import UUID

from gateway.kme.peer_messages import (
    BadMessageError,
    decode_drawing,
    decode_drawn,
    decode_marks,
    decode_order,
    encode_drawing,
)
from gateway.kme.refusals import RefusedError
from gateway.kme.requests import (
    KeyLimits,
    KeyRequest,
    read_key_id_query,
    read_key_ids,
    read_key_query,
    read_key_request,
)
from tests.fuzz.target import Target

LIMITS = KeyLimits(256, 64, 1024, 128)


def check_request(asked: KeyRequest) -> None:
    assert 1 <= asked.number <= LIMITS.max_key_per_request
    assert LIMITS.min_key_size <= asked.size <= LIMITS.max_key_size
    assert asked.size % 8 == 0


def check_ids(ids: list[UUID]) -> None:
    assert all(isinstance(each, UUID) for each in ids)
    assert 1 <= len(set(ids)) == len(ids) <= LIMITS.max_key_per_request


def read_sae(data: bytes) -> None:
    """Insist on requests within the limits, or a refusal in the standard's form."""
    text = data.decode("latin-1")
    query = {"number": [text[:9]], "size": [text[9:18]], "key_ID": [text[:36]]}
    readers: tuple[Callable[[], None], ...] = (
        lambda: check_request(read_key_request(data, LIMITS)),
        lambda: check_request(read_key_query(query, LIMITS)),
        lambda: check_ids(read_key_ids(data, LIMITS)),
        lambda: check_ids(read_key_id_query(query)),
    )
    for read in readers:
        try:
            read()
        except RefusedError as refused:
            assert refused.status == HTTPStatus.BAD_REQUEST
            assert len(json.dumps(refused.body())) < 64 * 1024


def read_marks(message: Mapping[str, object]) -> None:
    marks = decode_marks(message)
    assert decode_marks(marks.encode()) == marks


def read_drawing(message: Mapping[str, object]) -> None:
    drawing, link_id = decode_drawing(message)
    assert decode_drawing(encode_drawing(drawing, link_id)) == (drawing, link_id)


def read_drawn(message: Mapping[str, object]) -> None:
    assert decode_drawn(message, 4) > 4


def read_order(message: Mapping[str, object]) -> None:
    decode_order(message)


PARTNER = (read_marks, read_drawing, read_drawn, read_order)


def run(data: bytes) -> None:
    read_sae(data)
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(message, dict):
        for reader in PARTNER:
            with contextlib.suppress(BadMessageError):
                reader(message)


def seeds() -> Iterator[bytes]:
    key_id = "bc490419-7d60-487f-adc1-4ddcc177c139"
    bodies: list[object] = [
        {"number": 3, "size": 256},
        {"number": 3, "additional_slave_SAE_IDs": ["x"]},
        {"extension_mandatory": [{"route": 1}], "extension_optional": [{"a": 1}]},
        {"key_IDs": [{"key_ID": key_id}]},
        {
            "link_id": "l",
            "made": [1, 2],
            "drawn": [3, 4],
            "max_key_count": 10,
            "key_size": 256,
            "link": {
                "state": "up",
                "qber": 0.01,
                "secret_rate": 2.5,
                "alarm": "",
                "description": "d",
            },
        },
        {
            "link_id": "l",
            "first": 0,
            "number": 1,
            "units": 2,
            "size": 256,
            "master": "m",
            "slave": "s",
        },
        {"drawn": 7},
        {"action": "cut", "station": "x", "days": 1.5},
    ]
    for body in bodies:
        yield json.dumps(body).encode()
    yield key_id.encode()
    yield b"000000003000000256"


TARGET = Target(
    "requests to qgw-kme: within its limits, or refused as the standard says",
    run,
    seeds,
    2048,
    (
        *(b'"number":', b'"size":', b'"key_IDs":', b'"key_ID":', b'"link":'),
        *(b'"made":', b'"drawn":', b'"days":', b"1e999", b"NaN", b"true", b"9" * 30),
    ),
)
