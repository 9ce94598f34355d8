"""A hub with real sockets, as a process of its own: machine, sockets, event loop.

``python -m benches.hub_server IDENTITIES``: a file with the branches' public
identities, one after another. Prints its port and its own public identity, then one
JSON object for each line read: CPU seconds so far, and epochs committed.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from benches.answers import Driver, make_parameters
from benches.hub import UNPACED, tunnel_name
from gateway.config.model import Endpoint
from gateway.crypto.identity import PublicIdentity, generate_identity
from gateway.crypto.kem import ML_KEM_768
from gateway.handshake.machine import Machine
from gateway.host.path import Path as PeerPath
from gateway.host.path import remote_of
from gateway.host.sockets import ControlSockets

ECDH_SIZE = 32
RECORD_SIZE = ECDH_SIZE + ML_KEM_768.public_size


class HubServer:
    """Joins machine and sockets as the daemon does, with no disk and no kernel."""

    def __init__(self) -> None:
        self.driver = Driver(
            Machine(random=os.urandom, remote_of=remote_of, peer_rate=UNPACED)
        )
        self.sockets = ControlSockets(
            [Endpoint("127.0.0.1", 0)], self._receive, self._flush
        )
        self.commits = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None

    def _receive(self, data: bytes, path: PeerPath) -> None:
        now = asyncio.get_running_loop().time()
        self.driver.machine.receive_datagram(data, path, now=now)

    def _flush(self) -> None:
        machine, loop = self.driver.machine, asyncio.get_running_loop()
        self.driver.work(now=loop.time())
        self.commits += len(self.driver.committed)
        self.driver.committed.clear()
        for data, path in machine.datagrams_to_send():
            assert isinstance(path, PeerPath)  # noqa: S101  # as `_receive` gave it
            self.sockets.send(data, path)
        when = machine.get_timer()
        if when == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = None if when is None else loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer_at = None
        now = asyncio.get_running_loop().time()
        self.driver.machine.handle_timer(now=now)
        self._flush()

    def report(self) -> None:
        """Answer a line: what was spent so far."""
        if not sys.stdin.readline():
            asyncio.get_running_loop().stop()
            return
        self._say({"cpu": time.process_time(), "commits": self.commits})

    @staticmethod
    def _say(value: dict[str, object]) -> None:
        print(json.dumps(value), flush=True)

    async def serve(self, identities: bytes) -> None:
        """Know every branch, and say where we are."""
        own = generate_identity(1)
        for index in range(len(identities) // RECORD_SIZE):
            record = identities[index * RECORD_SIZE : (index + 1) * RECORD_SIZE]
            branch = PublicIdentity(1, record[:ECDH_SIZE], record[ECDH_SIZE:])
            self.driver.machine.add_tunnel(
                make_parameters(tunnel_name(index), own, branch, initiator=False)
            )
        self.sockets.open()
        self.sockets.start()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, self.report)
        port = self.sockets.sockets[0].getsockname()[1]
        public = own.public.ecdh + own.public.kem
        self._say({"port": port, "identity": public.hex()})


def main() -> None:
    """Run as a program, until standard input ends."""
    server = HubServer()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.serve(Path(sys.argv[1]).read_bytes()))
    loop.run_forever()


if __name__ == "__main__":
    main()
