"""Every bench, in the order in which they run and are printed."""

from benches import handshakes, hub, hub_sockets, memory, rotations, setup, supply

BENCHES = (
    handshakes.BENCH,
    hub.BENCH,
    hub_sockets.BENCH,
    memory.BENCH,
    supply.BENCH,
    *setup.BENCHES,
    *rotations.BENCHES,
)
