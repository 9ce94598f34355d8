"""Whole daemons over ESP: another control port by a reload, under traffic.

ESP in UDP comes to the control socket, so a port that changes takes its packets along:
those of the epoch before to the old socket, those of the next one to the new.
"""

import pytest
from lab.gateway import PORT
from lab.netns import Namespace

from tests.kernel.pace import TEST_LIMIT
from tests.netns.labs import edit, hosts, make_lab, qgw, state, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * TEST_LIMIT)]

SECONDS = 6.0
"""Of a packet each 2 ms both ways, with the reload and its epoch within."""

OTHER = PORT + 1000


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("encap", [False, True])
def test_a_reload_to_another_port_loses_nothing(*, encap: bool, which: int) -> None:
    with (
        hosts("ports") as pair,
        make_lab(pair, plane="esp", encap=encap, interval=60.0, lifetime=180.0) as lab,
    ):
        lab.start()
        until(lambda: state(lab.a) == state(lab.b) == "up", "the tunnel")
        end, epoch = lab.ends[which], lab.newest()
        with lab.traffic(SECONDS) as result:
            edit(end, rf'^(listen = ."[^"]*:){PORT}"', rf'\g<1>{OTHER}"')
            done = qgw(end, "reload", "--json")
            assert done.returncode == 0, done.stderr
            lab.in_force(epoch)
            assert carried_by(end.namespace) == ({OTHER, PORT} if encap else set())
        assert result["lost"] == 0, result


def carried_by(host: Namespace) -> set[int]:
    """Return our own ports in the SAs of the newest epoch and the one before."""
    lines = host.run("ip", "xfrm", "state").splitlines()
    ports = (line.split() for line in lines if "espinudp" in line)
    # encap type espinudp sport NUMBER dport NUMBER addr 0.0.0.0
    return {int(words[at]) for words in ports for at in (4, 6)}
