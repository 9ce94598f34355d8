"""A long cable: frames between a host and the network, some time later.

Runs as a program: ``python -m lab.delay HOST DEVICE WIRE LEG SECONDS``. It makes a TAP
device in each of two namespaces and carries frames between them, each after the delay,
in their order, until SIGTERM. For kernels without netem; a TAP device, unlike a veth,
hands over frames whose checksums are complete.
"""

import fcntl
import os
import select
import signal
import struct
import sys
import time
from collections import deque

from lab.inside import made_inside

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000

MAX_FRAME = 65_536

MAX_WAITING = 20_000
"""Frames under way in one direction; more are lost, as on any full cable."""


def open_tap(namespace: str, name: str) -> int:
    """Make a TAP device in a namespace; it lives as long as the descriptor.

    Raises:
        OSError: The kernel refuses it, or has no TUN.
    """

    def make() -> int:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        request = struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI)
        fcntl.ioctl(device, _TUNSETIFF, request)
        return device

    return made_inside(namespace, make)


class Cable:
    """Two devices and the frames between them."""

    def __init__(self, ends: tuple[int, int], delay: float) -> None:
        self._ends = ends
        self._delay = delay
        self._waiting: dict[int, deque[tuple[float, bytes]]] = {
            end: deque() for end in ends
        }
        self.stopping = False

    def run(self) -> None:
        """Carry frames until told to stop."""
        while not self.stopping:
            for end in select.select(self._ends, [], [], self._patience())[0]:
                self._take(end)
            for end, waiting in self._waiting.items():
                while waiting and waiting[0][0] <= time.monotonic():
                    self._give(end, waiting.popleft()[1])

    def _patience(self) -> float:
        first = [waiting[0][0] for waiting in self._waiting.values() if waiting]
        return max(0.0, min(first, default=time.monotonic() + 0.2) - time.monotonic())

    def _take(self, end: int) -> None:
        other = self._ends[end == self._ends[0]]
        waiting = self._waiting[other]
        while True:
            try:
                frame = os.read(end, MAX_FRAME)
            except BlockingIOError:
                return
            except OSError:
                time.sleep(0.02)  # the device is down for the moment
                return
            if len(waiting) < MAX_WAITING:
                waiting.append((time.monotonic() + self._delay, frame))

    @staticmethod
    def _give(end: int, frame: bytes) -> None:
        try:
            os.write(end, frame)
        except OSError:
            return  # down, or full: lost, as on any cable


def main() -> None:
    """Run as a program."""
    host, device, wire, leg, delay = sys.argv[1:6]
    cable = Cable((open_tap(host, device), open_tap(wire, leg)), float(delay))

    def stop(_number: int, _frame: object) -> None:
        cable.stopping = True

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    cable.run()


if __name__ == "__main__":
    main()
