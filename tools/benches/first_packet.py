"""Sends a packet each millisecond until one has come back the other way.

``python -m benches.first_packet LOCAL PEER SECONDS``, one at each end of a tunnel that
need not exist yet. Prints "ready", then one JSON object: when the first packet of the
other end arrived, monotonic seconds, which all processes of one kernel share.
"""

import contextlib
import json
import select
import socket
import sys
import time

PORT = 4711
INTERVAL = 0.001
IP_FREEBIND = 15
"""From linux/in.h: an address may be bound before it is there."""

AFTERWARDS = 3.0
"""Seconds to go on sending, so that the other end gets its packet too."""


def main() -> None:
    """Run as a program."""
    local, peer, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    sock.bind((local, PORT))
    sock.setblocking(False)
    print("ready", flush=True)
    until = time.monotonic() + seconds
    first: float | None = None
    while (now := time.monotonic()) < until:
        # Blocked or not yet routed, the kernel refuses; that is no packet through.
        with contextlib.suppress(OSError):
            sock.sendto(b"first", (peer, PORT))
        if select.select([sock], [], [], INTERVAL)[0]:
            with contextlib.suppress(OSError):
                if sock.recv(64) == b"first" and first is None:
                    first = time.monotonic()
                    until = min(until, first + AFTERWARDS)
                time.sleep(max(0.0, INTERVAL - (time.monotonic() - now)))
    json.dump({"first_received": first}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
