"""Datagrams sent at a fixed pace from addresses that may be made up.

``python -m lab.flood FILE HOST PORT --rate N --seconds S [--source ADDRESS[:PORT]]
[--sources PREFIX]`` inside the sender's namespace. FILE holds the datagrams, each after
its length in two bytes, sent in turn. Prints how many were sent.
"""

import argparse
import ipaddress
import itertools
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

TICK: Final = 0.002
"""Seconds between bursts: the pace is even as far as queues can tell."""

PORT: Final = 40_000
"""Source port of what comes from made-up addresses."""

_LENGTH: Final = struct.Struct("!H")
_UDP: Final = struct.Struct("!HHHH")
_IP_SIZE: Final = 20
_SOURCE_AT: Final = 12
_TTL: Final = 64


def write_datagrams(path: Path, datagrams: Sequence[bytes]) -> None:
    """Write what is to be sent."""
    path.write_bytes(b"".join(_LENGTH.pack(len(one)) + one for one in datagrams))


def read_datagrams(path: Path) -> list[bytes]:
    """Return what `write_datagrams` wrote."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def make_packet(payload: bytes, target: tuple[str, int], port: int) -> bytearray:
    """Return an IPv4 packet whose source is still to be written; no UDP checksum."""
    size = _IP_SIZE + _UDP.size + len(payload)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45, 0, size, 0, 0, _TTL, socket.IPPROTO_UDP, 0,
        bytes(4), socket.inet_aton(target[0]),
    )  # fmt: skip
    udp = _UDP.pack(port, target[1], _UDP.size + len(payload), 0)
    return bytearray(head + udp + payload)


def sources_of(prefix: str, avoid: frozenset[str]) -> Iterator[bytes]:
    """Yield addresses of a prefix, for ever; one to avoid only if it is the last."""
    hosts = [str(host) for host in ipaddress.IPv4Network(prefix).hosts()]
    free = [host for host in hosts if host not in avoid] or hosts
    return itertools.cycle([socket.inet_aton(host) for host in free])


def flood(
    packets: Sequence[bytearray],
    target: tuple[str, int],
    sources: Iterator[bytes],
    rate: float,
    seconds: float,
) -> int:
    """Send at a pace; return how many were sent."""
    sent, end = 0, slice(_SOURCE_AT, _SOURCE_AT + 4)
    turn = itertools.cycle(packets)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        address = (target[0], 0)
        begin = now = time.monotonic()
        while (now := time.monotonic()) < begin + seconds:
            for _ in range(int((now - begin) * rate) - sent):
                packet = next(turn)
                packet[end] = next(sources)
                sock.sendto(packet, address)
                sent += 1
            time.sleep(TICK)
    return sent


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--sources", default="198.18.0.0/16")
    parser.add_argument("--source-port", type=int, default=PORT)
    parser.add_argument("--avoid", default="")
    arguments = parser.parse_args()
    target = (arguments.host, arguments.port)
    packets = [
        make_packet(one, target, arguments.source_port)
        for one in read_datagrams(arguments.file)
    ]
    avoid = frozenset(arguments.avoid.split(","))
    sources = sources_of(arguments.sources, avoid)
    sent = flood(packets, target, sources, arguments.rate, arguments.seconds)
    print(sent, flush=True)


if __name__ == "__main__":
    main()
