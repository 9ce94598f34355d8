"""How often the peers of both WireGuard devices are read unasked."""

from gateway.dataplane.wireguard.backend import PeerReading
from gateway.dataplane.wireguard.devices import LOOKING_SHARE, DevicePair
from gateway.dataplane.wireguard.kernel import KernelBackend


class Slow(KernelBackend):
    """A backend whose readings take a while; it has no devices."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.takes = 0.001

    def read_peers(
        self, device: str, *, with_details: bool = False
    ) -> dict[bytes, PeerReading]:
        assert with_details, device
        self.now += self.takes
        return {}


def test_one_slow_reading_does_not_put_off_the_next() -> None:
    backend = Slow()
    pair = DevicePair(backend, ("wg0", "wg1"), (1, 2), lambda: backend.now)
    assert pair.look() == ({}, {})
    assert pair.look() is None, "too soon for what a reading costs"
    backend.now += 2 * LOOKING_SHARE * backend.takes
    usual, backend.takes = backend.takes, 1.0
    assert pair.look() == ({}, {})
    backend.now += 2 * LOOKING_SHARE * usual
    assert pair.look() == ({}, {}), "the machine had other work, once"
    backend.now += 1000.0
    for _ in range(2):
        assert pair.look() == ({}, {})
        backend.now += 1000.0
    backend.now -= 1000.0 - LOOKING_SHARE
    assert pair.look() is None, "readings do cost that much"
