"""Finds relay messages in captured frames, and pads that stand in two of them."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gateway.relay.frames import FrameReader
from gateway.relay.messages import RelayKeys, decode_message
from lab.network import RELAY_PORT

_RECORD: Final = struct.Struct("<IIII")
_PCAP_HEADER_SIZE: Final = 24

_LEAST: Final = 54
"""Bytes of a frame with TCP in it."""

_IPV4, _TCP, _SYN = b"\x08\x00", 6, 2

Ends = tuple[bytes, int, bytes]
"""Source address and port, and target address, as they stand in the frames."""

Connection = tuple[Ends, int]
"""Ends, and the number of the first byte."""


def read_relay_keys(*captures: Path) -> list[RelayKeys]:
    """Return every batch that was sent, as often as it was sent.

    A repeated TCP segment counts once; the same message in two places counts twice.
    """
    found: list[RelayKeys] = []
    for capture in captures:
        for data in _streams(_frames(capture)):
            found += _messages(data)
    return found


def pads_used_twice(messages: Iterable[RelayKeys]) -> list[str]:
    """Name the pads that more than one message, or one message twice, was made with."""
    used: Counter[tuple[str, str]] = Counter()
    for message in messages:
        hop = ">".join(message.route[message.hop : message.hop + 2])
        used[hop, str(message.mac_id)] += 1
        used[hop, str(message.answer_id)] += 1
        used.update((hop, tag.hex()) for tag in message.pad_tags)
    return [f"{hop} {pad}" for (hop, pad), count in used.items() if count > 1]


def _frames(capture: Path) -> Iterator[bytes]:
    data = capture.read_bytes()
    at = _PCAP_HEADER_SIZE
    while at + _RECORD.size <= len(data):
        size = _RECORD.unpack_from(data, at)[2]
        at += _RECORD.size
        yield data[at : at + size]
        at += size


def _streams(frames: Iterable[bytes]) -> list[bytes]:
    """Put the bytes of each connection to a relay together, by sequence numbers."""
    segments: dict[Connection, dict[int, bytes]] = {}
    newest: dict[Ends, Connection] = {}
    for frame in frames:
        if len(frame) < _LEAST or frame[12:14] != _IPV4 or frame[23] != _TCP:
            continue
        size = struct.unpack_from("!H", frame, 16)[0]
        tcp = 14 + (frame[14] & 15) * 4
        source, target, number = struct.unpack_from("!HHI", frame, tcp)
        if target != RELAY_PORT:
            continue
        ends = (frame[26:30], source, frame[30:34])
        if frame[tcp + 13] & _SYN:
            newest[ends] = (ends, (number + 1) % 2**32)
            segments.setdefault(newest[ends], {})
        payload = frame[tcp + (frame[tcp + 12] >> 4) * 4 : 14 + size]
        if payload and ends in newest:
            start = newest[ends][1]
            segments[newest[ends]][(number - start) % 2**32] = payload
    return [_joined(parts) for parts in segments.values()]


def _joined(parts: dict[int, bytes]) -> bytes:
    """Join segments by their offsets.

    Raises:
        RuntimeError: One is missing: what was not seen cannot be judged.
    """
    data = b""
    for offset, part in sorted(parts.items()):
        if offset > len(data):
            raise RuntimeError(f"the capture lacks bytes {len(data)} to {offset}")
        data += part[len(data) - offset :]
    return data


def _messages(data: bytes) -> Iterator[RelayKeys]:
    """Take a connection apart: a hello, then messages."""
    reader = FrameReader()
    reader.feed(data)
    reader.next_frame()
    while (frame := reader.next_frame()) is not None:
        message = decode_message(frame)
        if isinstance(message, RelayKeys):
            yield message
