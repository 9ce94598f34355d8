"""`RelayTransport`: relay messages between neighbours, over TCP.

Each node connects to every neighbour and sends on that connection alone; it receives
on those that others have opened to it. So between two nodes there are two connections,
and who connects to a node, whoever that is, is never sent a byte.

Messages bear one-time authenticators of their own, and their keys are encrypted with
one-time pads; the transport adds no protection and holds no key. It only keeps away
who is not a neighbour by address. Who can take a neighbour's address (on the path, or
on its network) can connect, close, and inject; what it injects is refused by the node,
costs no pad, and can at most keep true messages out, as cutting the line would
(docs/adr/0175). Endpoints inside the tunnel between two neighbours, if there is one,
leave nobody on the path.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from gateway.config.model import Endpoint
from gateway.relay.acceptor import Acceptor
from gateway.relay.addresses import AddressBook, SocketAddress
from gateway.relay.connector import Connector
from gateway.relay.sockets import address_of, listen_on


def _ignore(_peer: str, _connected: bool) -> None:  # noqa: FBT001  # a callback
    """Take no notice."""


class RelayTransport:
    """Carries messages to and from neighbours; loses those it cannot send.

    Args:
        name: This node.
        neighbours: Where each is; hosts may be DNS names.
        listen: Literal addresses and ports; port 0 for any.
        receive: Called with each message and the neighbour that sent it, or that
            somebody at its address claims to be. It must not block.
        changed: Called when our connection to a neighbour has come to stand (True) or
            was lost (False).
    """

    def __init__(
        self,
        name: str,
        neighbours: Mapping[str, Endpoint],
        listen: Sequence[Endpoint],
        *,
        receive: Callable[[str, bytes], None],
        changed: Callable[[str, bool], None] = _ignore,
    ) -> None:
        self._name = name
        self._neighbours = dict(neighbours)
        self._listen = tuple(listen)
        self._receive = receive
        self._changed = changed
        self._counters: Counter[str] = Counter()
        self._connectors: dict[str, Connector] = {}
        self._acceptor: Acceptor | None = None
        self._addresses: list[SocketAddress] = []

    async def start(self) -> None:
        """Listen, and begin to connect.

        Raises:
            GatewayError: An address cannot be listened on; nothing is left open.
        """
        clock = asyncio.get_running_loop().time
        book = AddressBook(self._neighbours, clock)
        sockets = []
        try:
            for endpoint in self._listen:
                sockets.append(listen_on(endpoint))  # noqa: PERF401  # closed if one fails
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        self._addresses = [address_of(sock) for sock in sockets]
        self._acceptor = Acceptor(
            book,
            receive=self._receive,
            appeared=self._nudge,
            counters=self._counters,
        )
        for peer in self._neighbours:
            self._connectors[peer] = Connector(
                self._name,
                peer,
                book,
                self._listen,
                changed=self._changed,
                counters=self._counters,
                clock=clock,
            )
        await self._acceptor.start(sockets)
        for connector in self._connectors.values():
            connector.start()

    async def stop(self) -> None:
        """Close everything; what was not sent yet is lost."""
        if self._acceptor is not None:
            await self._acceptor.stop()
            self._acceptor = None
        for connector in self._connectors.values():
            await connector.stop()
        self._connectors.clear()
        self._addresses = []

    def send(self, peer: str, data: bytes) -> bool:
        """Send a message to a neighbour.

        Args:
            peer: The neighbour.
            data: 2 to `MAX_KEYS_SIZE` bytes.

        Returns:
            Whether it is on its way; False when there is no connection or too much
            waits already. It may be lost either way: its answer will not come.
        """
        connector = self._connectors.get(peer)
        return connector is not None and connector.send(data)

    def is_connected(self, peer: str) -> bool:
        """Whether our own connection to a neighbour stands."""
        connector = self._connectors.get(peer)
        return connector is not None and connector.connected

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where this node listens, in the order given, with the ports it was given."""
        return list(self._addresses)

    def counters(self) -> Mapping[str, int]:
        """Return what was refused or dropped since the start, by reason.

        ``stranger``, ``unidentified``, ``hello-late``, ``wrong-source``, ``malformed``,
        ``replaced``: connections closed. ``connect-failed``, ``answered-back``: ours to
        neighbours. ``not-connected``, ``queue-full``: messages dropped.
        """
        return dict(self._counters)

    def _nudge(self, peer: str) -> None:
        self._connectors[peer].nudge()
