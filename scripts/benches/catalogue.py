"""Every bench, in the order in which they run and are printed."""

from benches import (
    handshakes,
    hub,
    hub_sockets,
    memory,
    planner,
    rotations,
    setup,
    store,
    supply,
)

BENCHES = (
    handshakes.BENCH,
    hub.BENCH,
    hub_sockets.BENCH,
    memory.BENCH,
    store.BENCH,
    supply.BENCH,
    planner.BENCH,
    *setup.BENCHES,
    *rotations.BENCHES,
)
