"""The protocol machine in the event loop: its datagrams, its timer, its events.

The machine does no I/O. What comes from the sockets goes into it; what it has to send
goes out, what it has to say goes to the tunnel it is about, and it is woken when it
wants to be.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Final

from gateway.config.model import Endpoint
from gateway.crypto.identity import format_fingerprint
from gateway.events.bus import publish
from gateway.events.daemon import DatagramRefused, UnknownPeerHeard, UnknownTunnelAsked
from gateway.handshake.events import (
    DatagramDropped,
    Event,
    InitiationRefused,
    UnknownPeer,
)
from gateway.handshake.machine import Machine
from gateway.host.path import Path, remote_of
from gateway.host.sockets import ControlSockets
from gateway.observe.journal.listener import is_said, text_of
from gateway.observe.unknown_peers import UnknownPeers

STRANGER_LOGS: Final = 20
"""Strangers logged between two calls of `forget_strangers`: a scanner must not fill
the disk."""


class Exchange:
    """Moves datagrams between one machine and the network.

    Attributes:
        machine: The protocol machine.
        sockets: The UDP sockets.
        strangers: Who asked for what is not configured.
    """

    def __init__(
        self,
        listen: Iterable[Endpoint],
        control_mtu: int,
        deliver: Callable[[str, Event], None],
    ) -> None:
        """Make the machine; nothing is opened before `open`.

        Args:
            listen: Addresses and ports.
            control_mtu: Largest datagram to send, bytes of UDP payload.
            deliver: Called with a tunnel's name and each event about it.
        """
        self.machine = Machine(random=os.urandom, mtu=control_mtu, remote_of=remote_of)
        self.sockets = ControlSockets(listen, self._receive, self.flush)
        self.strangers = UnknownPeers()
        self._deliver = deliver
        self._logged = 0
        self._dispatching = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._loop: asyncio.AbstractEventLoop

    def open(self, inherited: Iterable[int], let_go: Callable[[], None]) -> None:
        """Open the sockets, in the event loop that is to read them.

        Args:
            inherited: Descriptors that systemd kept for us.
            let_go: Asks it to close its copies of them.

        Raises:
            GatewayError: A port is taken.
        """
        # Asking for it again for each datagram costs a system call (CPython 3.11).
        self._loop = asyncio.get_running_loop()
        self.sockets.open(inherited, let_go=let_go)

    def start(self) -> None:
        """Begin to read, and send what is waiting."""
        self.sockets.start()
        self.flush()

    def stop(self) -> None:
        """Stop reading, and close the sockets."""
        if self._timer is not None:
            self._timer.cancel()
        self.sockets.close()

    def flush(self) -> None:
        """Hand on the machine's events, send its datagrams, set its timer.

        What an event leads to may come back here: then its datagrams go out, and the
        events wait for those before them.
        """
        if not self._dispatching:
            self._dispatching = True
            # The level may change with a reload.
            self.machine.tell_drops(wanted=is_said(DatagramRefused))
            try:
                while (event := self.machine.next_event()) is not None:
                    self._dispatch(event)
            finally:
                self._dispatching = False
        for data, path in self.machine.replies_to_strangers():
            if isinstance(path, Path):
                self.sockets.reply(data, path)
        for data, path in self.machine.datagrams_to_send():
            if isinstance(path, Path):
                self.sockets.send(data, path)
        self._set_timer()

    def forget_strangers(self) -> None:
        """Log strangers again, after a while in which they may have been many."""
        self._logged = 0

    def _receive(self, data: bytes, path: Path) -> None:
        self.machine.receive_datagram(data, path, now=self._loop.time())

    def _dispatch(self, event: Event) -> None:
        match event:
            case DatagramDropped(reason, address):
                publish(DatagramRefused(_host(address), reason))
            case UnknownPeer(fingerprint, address):
                peer = format_fingerprint(fingerprint)
                self._note_stranger(UnknownPeerHeard(peer, _host(address)))
            case InitiationRefused(known=False):
                peer = format_fingerprint(event.fingerprint)
                self._note_stranger(UnknownTunnelAsked(peer, event.tunnel))
            case _:
                self._deliver(event.tunnel, event)

    def _note_stranger(self, event: UnknownPeerHeard | UnknownTunnelAsked) -> None:
        self.strangers.note(text_of(event), now=self._loop.time())
        self._logged += 1
        if self._logged <= STRANGER_LOGS:
            publish(event)

    def _set_timer(self) -> None:
        when = self.machine.get_timer()
        if when == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = when
        if when is not None:
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = self._timer_at = None
        self.machine.handle_timer(now=self._loop.time())
        self.flush()


def _host(address: object) -> str:
    return address.host if isinstance(address, Path) else str(address)
