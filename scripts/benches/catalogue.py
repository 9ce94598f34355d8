"""Every bench, in the order in which they run and are printed."""

from benches import handshakes

BENCHES = (
    handshakes.BENCH,
)
