"""Relay messages found in captures, and pads used twice noticed."""

import struct
from pathlib import Path
from uuid import UUID

import pytest
from lab.network import RELAY_PORT
from lab.relay_tap import pads_used_twice, read_relay_keys

from gateway.relay.frames import encode_frame, encode_hello
from gateway.relay.messages import RelayKeys, encode_keys

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def batch(number: int, *, mac: int | None = None, tag: int | None = None) -> RelayKeys:
    return RelayKeys(
        UUID(int=number),
        0,
        1,
        0,
        ("redu", "lux", "sin"),
        UUID(int=1000 + number if mac is None else mac),
        UUID(int=2000 + number),
        ((number if tag is None else tag).to_bytes(4),),
        bytes(32),
    )


def stream(*messages: RelayKeys) -> bytes:
    frames = (encode_frame(encode_keys(message)) for message in messages)
    return encode_hello("redu") + b"".join(frames)


def segment(
    number: int, payload: bytes, *, port: int = 40_000, syn: bool = False
) -> bytes:
    tcp = struct.pack("!HHIIBBHHH", port, RELAY_PORT, number, 0, 0x50, 2 * syn, 0, 0, 0)
    size = 20 + len(tcp) + len(payload)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 6, 0, b"abcd", b"efgh")
    return bytes(12) + b"\x08\x00" + ip + tcp + payload


def capture(path: Path, *frames: bytes) -> Path:
    records = (struct.pack("<IIII", 0, 0, len(one), len(one)) + one for one in frames)
    path.write_bytes(HEADER + b"".join(records))
    return path


def cut(data: bytes, size: int, start: int) -> list[bytes]:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return [segment(start + 1 + size * n, part) for n, part in enumerate(parts)]


def test_messages_are_found_whatever_the_segments(tmp_path: Path) -> None:
    start = 2**32 - 20  # the numbers turn over
    data = stream(batch(1), batch(2))
    parts = [
        segment((start + 1 + at) % 2**32, data[at : at + 50])
        for at in range(0, len(data), 50)
    ]
    parts = [parts[1], parts[0], *parts[1:]]  # out of order, and once repeated
    found = read_relay_keys(
        capture(tmp_path / "a", segment(start, b"", syn=True), *parts)
    )
    assert found == [batch(1), batch(2)]
    assert pads_used_twice(found) == []


def test_a_message_sent_again_is_noticed(tmp_path: Path) -> None:
    first = [segment(7, b"", syn=True), *cut(stream(batch(1)), 60, 7)]
    again = [
        segment(9, b"", port=40_001, syn=True),
        segment(10, stream(batch(1)), port=40_001),
    ]
    found = read_relay_keys(capture(tmp_path / "a", *first, *again))
    assert len(found) == 2
    assert len(pads_used_twice(found)) == 3


@pytest.mark.parametrize(
    "second", [batch(2, mac=1001), batch(2, mac=2001), batch(2, tag=1)]
)
def test_a_pad_in_two_messages_is_noticed(second: RelayKeys) -> None:
    assert len(pads_used_twice([batch(1), second])) == 1


def test_a_capture_with_a_gap_is_refused(tmp_path: Path) -> None:
    data = stream(batch(1))
    frames = [segment(7, b"", syn=True), *cut(data, 60, 7)]
    del frames[2]
    with pytest.raises(RuntimeError, match="lacks bytes 60 to 120"):
        read_relay_keys(capture(tmp_path / "a", *frames))
