"""This gateway's part in a network of trusted nodes.

Puts together the relay's node, its transport, the pads of each hop and what is known of
the network. Without a table ``[relay]`` there is nothing of that.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

from gateway.config.model import GatewayConfig, LinkConfig, RelayConfig
from gateway.errors import GatewayError, KeyStoreError, RelayError, RelayFault
from gateway.events.bus import publish
from gateway.events.faults import InternalFault
from gateway.events.relay import (
    BundleRefused,
    KeysForwarded,
    KeysShared,
    NeighbourConnected,
    NeighbourLost,
    PadsUnsuspected,
    RelayedKeysRefused,
    RelayMessageRefused,
    RelayReady,
    RelayStartFailed,
)
from gateway.host.workers import Worker
from gateway.keystore.base import KeyStore
from gateway.relay.client import RelayClient, Routes
from gateway.relay.driver import RelayDriver
from gateway.relay.events import (
    BatchForwarded,
    BundleArrived,
    BundleDelivered,
    BundleFailed,
    HopOutOfStep,
    MessageRefused,
    RelayedKeys,
    RelayEvent,
)
from gateway.relay.node import RelayNode
from gateway.relay.states import Passing
from gateway.relay.stocks import Destination, pad_stocks
from gateway.relay.transport import RelayTransport
from gateway.relay.view import STATE_INTERVAL, NetworkView
from gateway.sources.base import KeyClient
from gateway.supply.links import Links, LinkUser
from gateway.wire.network import NetworkMessage, NodeState, PadDirection, PadStock
from gateway.wire.stock import StockAnswer

TICK: Final = 1.0
"""Seconds between looks at stocks and connections."""

RETRY: Final = 10.0
"""Seconds until an address that could not be listened on is tried again."""

SWEEP: Final = 60.0
"""Seconds between looks for keys that were never announced."""

Send = Callable[[str, NetworkMessage], bool]
"""Sends a message over the tunnel named; False if it has no session."""


class Relaying:
    """Relay node, transport, pads and routes of one daemon.

    Args:
        store: The key store; called only through `worker`.
        worker: Its thread.
        send: Speaks to neighbours.
        initiates: Whether this end starts the handshakes of the tunnel named; None if
            there is no such tunnel.
        clock: Monotonic seconds.

    Attributes:
        config: The network, None without one.
        view: What is known of it.
        driver: Runs the node, None while it cannot.
        transport: Its connections.
        clients: Sources of relayed keys, by link.
        trouble: Why it cannot run; empty if it does.
    """

    def __init__(
        self,
        store: KeyStore,
        worker: Worker,
        *,
        send: Send,
        initiates: Callable[[str], bool | None],
        clock: Callable[[], float],
    ) -> None:
        self.config: RelayConfig | None = None
        self.view: NetworkView | None = None
        self.driver: RelayDriver | None = None
        self.transport: RelayTransport | None = None
        self.clients: dict[str, RelayClient] = {}
        self.trouble = ""
        self._links: Links
        self._store = store
        self._worker = worker
        self._send = send
        self._initiates = initiates
        self._clock = clock
        self._destination = Destination({}, store)
        self._task: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._suspected: set[str] = set()
        self._suspecting: dict[str, asyncio.Task[None]] = {}
        self._passing = Passing(0, STATE_INTERVAL)
        self._retry_at = self._sweep_at = float("-inf")
        self._by_tunnel: dict[str, str] = {}
        self._told_at = float("-inf")
        self._told: dict[str, int] = {}

    # -- What the daemon calls

    def configure(self, config: GatewayConfig, links: Links) -> None:
        """Use this network from now on; `settle` starts and stops what that takes."""
        self._links = links
        if config.relay != self.config:
            self.config = config.relay
            self.view = _make_view(config.relay, self.view) if config.relay else None
            self._passing = Passing(len(_nodes(config.relay)), STATE_INTERVAL)
            self.trouble = ""
            for client in self.clients.values():
                if self.view is not None:
                    client.use(self.view)
        for name in tuple(self.clients):
            if name not in config.links or config.links[name].route is None:
                del self.clients[name]
        relay = self.config
        neighbours = relay.neighbours.values() if relay else ()
        self._by_tunnel = {one.tunnel: one.name for one in neighbours}
        self._destination.use(config.links)

    def make_client(self, link: LinkConfig) -> KeyClient | None:
        """Return the source of a relayed link's keys."""
        if self.view is None or link.route is None:
            return None
        client = RelayClient(link, link.route, self.view, self._request, self._clock)
        self.clients[link.name] = client
        return client

    def disown(self, link: str, key_ids: Sequence[UUID]) -> None:
        """Note, in the store's thread, keys that were relayed here and are not held.

        Raises:
            KeyStoreError: The store failed.
        """
        self._destination.disown(link, key_ids)

    def pad_users(self) -> dict[str, tuple[LinkUser, ...]]:
        """Say over which tunnel each stock of pads is kept in step."""
        users: dict[str, tuple[LinkUser, ...]] = {}
        if self.config is None:
            return users
        for neighbour in self.config.neighbours.values():
            initiates = self._initiates(neighbour.tunnel)
            if initiates is None:
                continue
            ours, theirs = _directions(initiates=initiates)
            out, into = pad_stocks(self.config.node, neighbour.name)
            users[out] = (LinkUser(neighbour.tunnel, initiator=True, pads=ours),)
            users[into] = (LinkUser(neighbour.tunnel, initiator=False, pads=theirs),)
        return users

    @property
    def now(self) -> float:
        """Monotonic seconds, as everything here counts them."""
        return self._clock()

    async def start(self) -> None:
        """Begin, in the running event loop."""
        self._destination.clock = asyncio.get_running_loop().time
        now = self._clock()
        self._retry_at, self._sweep_at = now + RETRY, now + SWEEP
        await self.settle()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Let go of everything; what is under way is lost."""
        async with self._changing:  # never half-way through a beginning
            tasks = [*self._suspecting.values(), *([self._task] if self._task else ())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._task = None
            await self._end()

    async def settle(self) -> None:
        """Make node and transport anew, as `configure` has changed them."""
        async with self._changing:
            await self._end()
            if self.config is not None:
                await self._begin(self.config)

    def connected(self, tunnel: str) -> None:
        """Note that a tunnel came up: its peer may be told how this node stands."""
        if tunnel in self._by_tunnel:
            self._told_at = float("-inf")

    def receive(self, tunnel: str, message: NetworkMessage) -> None:
        """Take what a neighbour says over its tunnel."""
        neighbour = self._by_tunnel.get(tunnel)
        if neighbour is None or self.config is None:
            return
        if isinstance(message, PadStock):
            initiates = self._initiates(tunnel)
            ours, _ = _directions(initiates=bool(initiates))
            out, into = pad_stocks(self.config.node, neighbour)
            is_ours = message.direction is ours
            # Who sends under pads draws them, announces and pages; the other answers. A
            # neighbour that announced pads of ours could have us send under its own.
            if is_ours is isinstance(message.message, StockAnswer):
                self._links.receive(out if is_ours else into, tunnel, message.message)
        else:
            self._take_state(neighbour, message)

    # -- Inside

    async def _begin(self, relay: RelayConfig) -> None:
        """Start node and transport; what keeps them from it is in `trouble`."""
        endpoints = {one.name: one.endpoint for one in relay.neighbours.values()}
        node = RelayNode(
            relay.node,
            relay.neighbours,
            self._store,
            self._destination,
            forward=relay.forward,
        )
        transport = RelayTransport(
            relay.node,
            endpoints,
            relay.listen,
            receive=self._receive,
            changed=self._note_connection,
        )
        driver = RelayDriver(
            node,
            transport.send,
            self._worker.run,
            clock=asyncio.get_running_loop().time,  # which its thread may call
            publish=self._publish,
        )
        try:
            await self._suspect_new(relay)
            await driver.start()
            self.driver = driver
            await transport.start()
        except GatewayError as error:
            if error.message != self.trouble:
                publish(RelayStartFailed(error.advice))
            self.trouble = error.message
            await self._end()
            return
        self.trouble = ""
        self.transport = transport
        publish(RelayReady(relay.node))

    async def _suspect_new(self, relay: RelayConfig) -> None:
        """Have pads compared that this run has not used yet: stores can be old copies.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        stocks = {pad_stocks(relay.node, name)[0] for name in relay.neighbours}
        # One that comes back later was not kept in step meanwhile.
        self._suspected &= stocks
        for name in relay.neighbours:
            out, _ = pad_stocks(relay.node, name)
            if out not in self._suspected:
                await self._links.suspect(out)
                self._suspected.add(out)

    async def _end(self) -> None:
        driver, transport = self.driver, self.transport
        self.driver = self.transport = None
        if transport is not None:
            await transport.stop()
        if driver is not None:
            await driver.stop()

    def _receive(self, neighbour: str, data: bytes) -> None:
        if self.driver is not None:
            self.driver.receive(neighbour, data)

    async def _request(self, routes: Routes, count: int) -> RelayedKeys:
        if self.driver is None:
            raise RelayError(
                self.trouble or "the relay is not running",
                "see: qgw network",
                fault=RelayFault.BUSY,
            )
        return await self.driver.request(routes, count)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                await self._turn(self._clock())
            except Exception as error:  # noqa: BLE001
                # A fault of ours must not end relaying for ever.
                publish(InternalFault("in the relay", error))

    async def _turn(self, now: float) -> None:
        """Do what is due about once a second."""
        if self.config is None or self.view is None:
            return
        if self._is_down() and now >= self._retry_at:
            self._retry_at = now + RETRY
            async with self._changing:
                if self._is_down():  # nobody else has begun meanwhile
                    await self._end()
                    await self._begin(self.config)
        self._tell(self.view, self.config, now)
        self._pass_on(now)
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            await self._sweep(now)

    def _is_down(self) -> bool:
        return self.driver is None or not self.driver.is_running

    def _tell(self, view: NetworkView, relay: RelayConfig, now: float) -> None:
        """Tell neighbours how this node stands: from time to time, or at a change."""
        pads = {name: self._usable(relay.node, name) for name in relay.neighbours}
        view.set_own(pads)
        reached = {name for name, count in pads.items() if count}
        before = {name for name, count in self._told.items() if count}
        if now - self._told_at < STATE_INTERVAL and reached == before:
            return
        self._told_at, self._told = now, pads
        state = view.own_state()
        for tunnel in self._by_tunnel:
            self._send(tunnel, state)

    def _usable(self, node: str, neighbour: str) -> int:
        """Pads towards a neighbour that both ends hold; 0 if nothing can be sent."""
        if self.transport is None or not self.transport.is_connected(neighbour):
            return 0
        status = self._links.statuses.get(pad_stocks(node, neighbour)[0])
        return max(0, status.available - status.unconfirmed) if status else 0

    def _take_state(self, neighbour: str, state: NodeState) -> None:
        first_hand = state.node == neighbour
        if self.view is None or not self.view.receive(
            state, now=self._clock(), first_hand=first_hand
        ):
            return
        self._passing.offer(state, neighbour)
        self._pass_on(self._clock())

    def _pass_on(self, now: float) -> None:
        for state, came_from in self._passing.due(now=now):
            for tunnel, name in self._by_tunnel.items():
                if name not in (came_from, state.node):
                    self._send(tunnel, state)

    async def _sweep(self, now: float) -> None:
        try:
            await self._worker.run(
                self._destination.forget_unclaimed, self._links.draws, now
            )
        except KeyStoreError as error:
            publish(RelayedKeysRefused(error.message))

    def _note_connection(self, neighbour: str, connected: bool) -> None:  # noqa: FBT001  # the transport's callback
        publish(
            NeighbourConnected(neighbour) if connected else NeighbourLost(neighbour)
        )

    def _publish(self, event: RelayEvent) -> None:
        match event:
            case BundleDelivered(bundle, peer, count) | BundleArrived(
                bundle, peer, count
            ):
                publish(KeysShared(str(bundle), peer, count))
            case BundleFailed(bundle, error):
                if self.view is not None:
                    self.view.note_failure(error.node, now=self._clock())
                publish(BundleRefused(str(bundle), str(error.fault), error.message))
            case BatchForwarded(bundle, _, came_from, went_to):
                publish(KeysForwarded(str(bundle), came_from, went_to))
            case MessageRefused(peer, error):
                self._note_refused(peer, error)
            case HopOutOfStep(peer):
                self._suspect(peer)

    def _note_refused(self, peer: str, error: RelayError) -> None:
        publish(RelayMessageRefused(peer, str(error.fault), error.message))
        if error.fault in (RelayFault.OUT_OF_STEP, RelayFault.REPLAYED) and self.config:
            # The end that draws asks once a minute, and compares what has changed.
            self._links.changed_by_hand(pad_stocks(self.config.node, peer)[1])

    def _suspect(self, peer: str) -> None:
        """Use no pad towards a neighbour until the stocks were compared."""
        if self.config is None or peer in self._suspecting:
            return
        work = self._links.suspect(pad_stocks(self.config.node, peer)[0])
        task = asyncio.get_running_loop().create_task(work)
        self._suspecting[peer] = task
        task.add_done_callback(partial(self._suspected_now, peer))

    def _suspected_now(self, peer: str, task: asyncio.Task[None]) -> None:
        del self._suspecting[peer]
        if not task.cancelled() and (error := task.exception()) is not None:
            publish(PadsUnsuspected(peer, str(error)))


def _directions(*, initiates: bool) -> tuple[PadDirection, PadDirection]:
    """Return the direction in which this end sends, and the other one."""
    both = PadDirection.FROM_INITIATOR, PadDirection.FROM_RESPONDER
    return both if initiates else (both[1], both[0])


def _nodes(relay: RelayConfig | None) -> set[str]:
    return {name for pair in relay.links for name in pair} if relay else set()


def _make_view(relay: RelayConfig, before: NetworkView | None) -> NetworkView:
    # Milliseconds: a node that restarts goes on above all it has sent, one a second.
    serial = int(datetime.now(UTC).timestamp() * 1000)
    if before is not None:  # whatever the clock says now
        serial = max(serial, before.serial)
    return NetworkView(relay.node, relay.links, serial)
