"""The context of every tunnel's driver: made once by the service."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.dataplane.fence.enforcement import Fencing
from gateway.handshake.machine import Machine
from gateway.host.resolver import Resolver
from gateway.host.sockets import ControlSockets
from gateway.host.workers import Worker
from gateway.keystore.base import KeyStore
from gateway.relay.service import Relaying
from gateway.rotation.events import TunnelEvent
from gateway.supply.links import Links
from gateway.tunnels.records import StateDirectory


@dataclass(frozen=True, slots=True)
class Context:
    """Shared parts of one daemon.

    Attributes:
        machine: The protocol machine.
        sockets: Where its datagrams go.
        store: The key store; call it only through `store_worker`.
        store_worker: Its thread.
        plane_worker: The data planes' thread.
        fence: Grants and revokes what may pass.
        resolver: Finds peers.
        state: What survives a restart.
        links: The QKD links.
        relaying: The network of trusted nodes.
        publish: Takes every event of a tunnel's rotation.
        flush: Sends what the machine has queued and handles its events.
        clock: Monotonic seconds, the same for all.
    """

    machine: Machine
    sockets: ControlSockets
    store: KeyStore
    store_worker: Worker
    plane_worker: Worker
    fence: Fencing
    resolver: Resolver
    state: StateDirectory
    links: Links
    relaying: Relaying
    publish: Callable[[TunnelEvent], None]
    flush: Callable[[], None]
    clock: Callable[[], float]
