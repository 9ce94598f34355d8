"""The contract of all planes, over ESP in a real kernel."""

import socket
from collections.abc import Iterator

import pytest

from tests.dataplane_contract import DataPlaneContract, End
from tests.kernel.esp.sites import MARKER, Pair, Site, make_pair

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(60)]


class JoinedSites(Pair):
    """A pair whose packets can be followed."""

    def reaches(self, sender: End, receiver: End) -> bool:
        assert isinstance(sender, Site)
        assert isinstance(receiver, Site)
        return packet_arrives(sender, receiver)


def packet_arrives(sender: Site, receiver: Site, source: str = "") -> bool:
    """Send one marked packet to the other end; return whether it came through."""

    def listen() -> socket.socket:
        family = socket.AF_INET6 if ":" in receiver.inner else socket.AF_INET
        one = socket.socket(family, socket.SOCK_DGRAM)
        one.bind((receiver.inner, 4000))
        one.settimeout(0.2)
        return one

    with receiver.call(listen) as listener:
        if not sender.send_once(receiver.inner, source):
            return False
        try:
            return listener.recv(2048) == MARKER
        except TimeoutError:
            return False


class TestContract(DataPlaneContract):
    in_force_limit = 2.0

    @pytest.fixture
    def ends(self) -> Iterator[JoinedSites]:
        with make_pair() as pair:
            yield JoinedSites(pair.near, pair.far)
