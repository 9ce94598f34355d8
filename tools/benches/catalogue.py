"""Every bench, in the order in which they run and are printed."""

from benches import (
    fence,
    flood,
    handshakes,
    hub,
    hub_sockets,
    memory,
    planner,
    relay,
    reload,
    restore,
    rotations,
    routing,
    setup,
    store,
    supply,
)

BENCHES = (
    handshakes.BENCH,
    hub.BENCH,
    hub_sockets.BENCH,
    memory.BENCH,
    *reload.BENCHES,
    restore.BENCH,
    store.BENCH,
    supply.BENCH,
    planner.BENCH,
    relay.BENCH,
    routing.BENCH,
    fence.BENCH,
    flood.BENCH,
    *setup.BENCHES,
    *rotations.BENCHES,
)
