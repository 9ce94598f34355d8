"""Every bench, in the order in which they run and are printed."""

from benches import handshakes, hub, hub_sockets, rotations, setup

BENCHES = (handshakes.BENCH, hub.BENCH, hub_sockets.BENCH, setup.BENCH, rotations.BENCH)
