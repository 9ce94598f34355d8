"""Reads everything on the link between two gateways and looks for plaintext.

Runs as a program inside a namespace: ``python -m lab.capture DEVICE [PCAP]``, until
SIGTERM; then prints one JSON object. Nothing is sampled: every frame is searched.
"""

import json
import signal
import socket
import struct
import sys
import time
from collections import Counter
from pathlib import Path

from lab.room import make_room
from lab.traffic import MARKER

WINDOW = 16
"""Bytes of the marker in a row that count as leaked: chance finds them never."""

_ETH_P_ALL = 3
_FRAGMENTS = [MARKER[i : i + WINDOW] for i in range(len(MARKER) - WINDOW + 1)]
_PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def leaked_bytes(frame: bytes) -> int:
    """Return how many bytes of the marker a frame shows."""
    shown = {
        i + j
        for i, fragment in enumerate(_FRAGMENTS)
        if fragment in frame
        for j in range(WINDOW)
    }
    return len(shown)


def classify(frame: bytes) -> str:
    """Name what a frame is, for the summary."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0800:
        protocol, offset = frame[23], 14 + (frame[14] & 15) * 4
    elif kind == 0x86DD:
        protocol, offset = frame[20], 54
    else:
        return "other"
    if protocol == 50:
        return "esp"
    if protocol == 17 and len(frame) >= offset + 8:
        return f"udp/{struct.unpack_from('!H', frame, offset + 2)[0]}"
    return f"ip/{protocol}"


def main() -> None:
    """Run as a program."""
    device = sys.argv[1]
    pcap = Path(sys.argv[2]).open("wb") if len(sys.argv) > 2 else None  # noqa: SIM115
    if pcap:
        pcap.write(_PCAP_HEADER)
    stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    make_room(sniffer, 1 << 25)
    sniffer.bind((device, _ETH_P_ALL))
    sniffer.settimeout(0.1)
    kinds: Counter[str] = Counter()
    frames = leaked = total = 0
    print("capturing", flush=True)
    while not stopping:
        try:
            frame = sniffer.recv(65535)
        except TimeoutError:
            continue
        except OSError:
            time.sleep(0.05)  # the link is down for the moment
            continue
        frames += 1
        total += len(frame)
        kinds[classify(frame)] += 1
        leaked += leaked_bytes(frame)
        if pcap:
            now = time.time_ns()
            pcap.write(
                struct.pack(
                    "<IIII", now // 10**9, now % 10**9 // 1000, len(frame), len(frame)
                )
                + frame
            )
    # PACKET_STATISTICS: frames the kernel could not hand us are not "not leaked".
    statistics = sniffer.getsockopt(263, 6, 8)
    dropped = struct.unpack("II", statistics)[1]
    if pcap:
        pcap.close()
    json.dump(
        {
            "frames": frames,
            "bytes": total,
            "dropped": dropped,
            "leaked_bytes": leaked,
            "kinds": dict(kinds),
        },
        sys.stdout,
    )
    print()


if __name__ == "__main__":
    main()
