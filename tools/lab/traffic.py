"""A packet each millisecond, numbered, both ways; what arrives is counted.

Runs as a program inside a namespace: ``python -m lab.traffic LOCAL PEER SECONDS``.
It says "ready" once it can receive and sends from SIGUSR1 on, so that nothing is sent
to a receiver that is not there yet. At the end it prints one JSON object. SIGTERM ends
it early. The payload carries a marker that must never be seen outside.
"""

import json
import select
import signal
import socket
import struct
import sys
import time

from lab.room import make_room, overflowed

PORT = 4710
INTERVAL = 0.001
"""Seconds between packets."""

GRACE = 2.0
"""Seconds to wait for stragglers after the last packet was sent."""

MARKER = b"THIS-IS-PLAINTEXT-PAYLOAD-OF-THE-TUNNEL!"
"""40 bytes that a capture of the outside looks for, any 16 of them in a row."""

ROOM = 1 << 24
"""Bytes: a packet each millisecond for ten seconds in which a busy machine does not let
this program read. What finds no room would look as if the tunnel had lost it."""

_NUMBER = struct.Struct("!Q")


class Traffic:
    """Sends and counts until told to stop."""

    def __init__(self, local: str, peer: str, seconds: float, interval: float) -> None:
        family = socket.AF_INET6 if ":" in local else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        make_room(self.socket, ROOM)
        self.socket.bind((local, PORT))
        self.socket.setblocking(False)
        self.peer = (peer, PORT)
        self.seconds = seconds
        self.interval = interval
        self.started = False
        self.stopping = False
        self.sent = 0
        self.refused = 0
        self.received: set[int] = set()
        self.first_received: float | None = None
        self.duplicates = 0
        self.gaps: list[float] = []
        self.last = 0.0

    def run(self) -> None:
        """Send for the time given, then wait for stragglers."""
        while not self.started and not self.stopping:
            time.sleep(0.005)
        start = time.monotonic()
        due = start
        while not self.stopping and (now := time.monotonic()) - start < self.seconds:
            if now >= due:
                self.send()
                due = max(due + self.interval, now - 0.05)
            self.receive(max(0.0, due - time.monotonic()))
        until = time.monotonic() + GRACE
        while time.monotonic() < until:
            self.receive(0.05)

    def send(self) -> None:
        """Send the next packet; one the kernel refuses counts as sent and lost."""
        packet = _NUMBER.pack(self.sent) + MARKER
        self.sent += 1
        try:
            self.socket.sendto(packet, self.peer)
        except OSError:
            self.refused += 1

    def receive(self, wait: float) -> None:
        """Count what has arrived."""
        if not select.select([self.socket], [], [], wait)[0]:
            return
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error for something we sent
            self.count(data)

    def count(self, data: bytes) -> None:
        """Count one packet."""
        if data[_NUMBER.size :] != MARKER:
            return
        now = time.monotonic()
        number = _NUMBER.unpack_from(data)[0]
        if number in self.received:
            self.duplicates += 1
        self.received.add(number)
        if self.first_received is None:
            self.first_received = now
        elif now - self.last > 10 * self.interval:
            self.gaps.append(round(now - self.last, 4))
        self.last = now

    def missing(self) -> list[int]:
        """Return the numbers that were passed over."""
        highest = max(self.received, default=-1)
        return [n for n in range(highest) if n not in self.received]

    def report(self) -> dict[str, object]:
        """Return the counts."""
        return {
            "sent": self.sent,
            "refused": self.refused,
            "received": len(self.received),
            "highest": max(self.received, default=-1),
            "duplicates": self.duplicates,
            "overflowed": overflowed(self.socket),
            "first_received": self.first_received,
            "missing": self.missing()[:20],
            "longest_gap_s": max(self.gaps, default=0.0),
        }


def main() -> None:
    """Run as a program."""
    local, peer, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    interval = float(sys.argv[4]) if len(sys.argv) > 4 else INTERVAL
    traffic = Traffic(local, peer, seconds, interval)

    def stop(_number: int, _frame: object) -> None:
        traffic.stopping = True

    def start(_number: int, _frame: object) -> None:
        traffic.started = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR1, start)
    print("ready", flush=True)
    traffic.run()
    json.dump(traffic.report(), sys.stdout)
    print()


if __name__ == "__main__":
    main()
