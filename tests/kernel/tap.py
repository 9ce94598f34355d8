"""Everything that either of two sites puts on the cable."""

import collections
import socket
import threading
import time
from typing import Self

from tests.kernel.traffic import MARKER, SO_RCVBUFFORCE, Ends
from tests.underload.findings import tell

ETH_P_ALL = 0x0003
IPV4 = b"\x08\x00"

SETTLE = 0.2
"""Seconds for what was just sent to reach the tap."""


class Tap:
    """Counts frames, by IP protocol, and those whose content can be read.

    Only what goes out counts: a packet socket also sees what came in a second time,
    decrypted, since ESP without an interface hands it to the same one again.
    """

    def __init__(self, pair: Ends) -> None:
        self._sockets = [site.call(self._open) for site in pair.sites]
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(opened,))
            for opened in self._sockets
        ]
        self.leaks = 0
        self.protocols: collections.Counter[int] = collections.Counter()

    @property
    def frames(self) -> int:
        return self.protocols.total()

    @property
    def esp(self) -> int:
        return self.protocols[socket.IPPROTO_ESP]

    @property
    def udp(self) -> int:
        return self.protocols[socket.IPPROTO_UDP]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        time.sleep(SETTLE)
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=10)
        for opened in self._sockets:
            opened.close()
        if self.leaks:
            tell(f"{self.leaks} packets in clear")

    def _open(self) -> socket.socket:
        opened = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)
        )
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        opened.bind(("cable", ETH_P_ALL))
        opened.settimeout(0.1)
        return opened

    def _read(self, opened: socket.socket) -> None:
        while True:
            try:
                frame, address = opened.recvfrom(65535)
            except TimeoutError:
                # Not before all that was captured has been read.
                if self._end.is_set():
                    return
                continue
            if address[2] != socket.PACKET_OUTGOING:
                continue
            self.leaks += MARKER in frame
            self.protocols[frame[23] if frame[12:14] == IPV4 else frame[20]] += 1
