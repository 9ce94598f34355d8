"""Two sites under traffic, with everything that looks on from outside."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab.clear_text import ClearText, Place
from lab.flows import FORGED, Flow, Flows
from lab.forger import Forger
from lab.gateway import Gateway, Settings, make_pair
from lab.netns import run
from lab.traffic import MARKER
from lab.two_sites import Side, TwoSites, two_sites

from gateway.dataplane.choose import available_planes
from tests.meddle.configuration import Configuration, Value
from tests.meddle.judge import INTERVAL, LIFETIME, wait_for
from tests.meddle.restore import restore_host, restore_router
from tests.meddle.slowness import SLOW
from tests.meddle.witness import Witness
from tests.netns.labs import end_processes

STARTS = 40.0 * SLOW
"""Seconds until both are up, on a busy machine."""

TUNNEL_KINDS = ("tun", "wireguard", "xfrm", "dummy")
"""Kinds of link that a data plane makes."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast things go on this kernel.

    Attributes:
        packets: Seconds between two packets of a flow.
    """

    packets: float = 0.01

    @property
    def forged(self) -> float:
        """Seconds between two rounds of the meddler: three packets for each flow."""
        return 5 * self.packets


@dataclass
class Laboratory:
    """Everything that runs.

    Attributes:
        sites: The hosts.
        plane: Data plane of both ends.
        ends: Gateways by letter.
        files: Their configurations by letter.
        pace: How fast things go.
    """

    sites: TwoSites
    plane: str
    ends: dict[str, Gateway]
    files: dict[str, Configuration]
    pace: Pace = field(default_factory=Pace)
    witnesses: dict[str, Witness] = field(default_factory=dict)
    _flows: Flows | None = None
    _clear: ClearText | None = None
    _forger: Forger | None = None

    # -- What runs

    def start(self) -> None:
        """Start both daemons, and traffic once they are up."""
        self.start_daemons()
        self.start_traffic()

    def start_daemons(self) -> None:
        """Start both daemons and wait until both are up."""
        for letter in "ba":
            self.ends[letter].start()
        for end in self.ends.values():
            end.wait_ready()
        if not self.witnesses:
            self.witnesses = {letter: Witness(end) for letter, end in self.ends.items()}
        if not wait_for(self.all_up, STARTS):
            said = [str(witness.newest) for witness in self.witnesses.values()]
            logs = [end.tail() for end in self.ends.values()]
            raise RuntimeError("\n".join(["not up at the start:", *said, *logs]))

    def start_traffic(self) -> None:
        """Start the captures, the flows and the meddler."""
        routers = [
            Place(self.sites.router, leg, MARKER) for leg in ("leg-a", "leg-b", "leg-m")
        ]
        # The router answers what it cannot deliver, to whom the meddler claimed to be.
        hosts = [
            Place(side.pc.name, "eth0", FORGED, quoting=False)
            for side in self.sites.sides
        ]
        self._clear = ClearText([*routers, *hosts])
        self._flows = Flows(self.sites, self.pace.packets)
        self._forger = Forger(self.sites, self._flows.flows, self.pace.forged)

    def close(self) -> None:
        """End everything."""
        if self._forger:
            self._forger.close()
        if self._flows:
            self._flows.close()
        for witness in self.witnesses.values():
            witness.close()
        for end in self.ends.values():
            if end.process is not None:
                end.process.send_signal(signal.SIGCONT)
            end.stop()
            end.end_children()
        if self._clear:
            self._clear.close()
        for side in self.sites.sides:
            end_processes(side.gateway)

    # -- What is seen

    @property
    def flows(self) -> Flows:
        """The streams."""
        assert self._flows
        return self._flows

    @property
    def clear(self) -> ClearText:
        """What was seen in clear."""
        assert self._clear
        return self._clear

    @property
    def forger(self) -> Forger:
        """The meddler's packets."""
        assert self._forger
        return self._forger

    def all_up(self) -> bool:
        """Say whether both ends say up."""
        return all(one.newest.state == "up" for one in self.witnesses.values())

    def came_in(self, letter: str) -> list[Flow]:
        """Return the flows that arrive at one side."""
        return [flow for flow in self.flows.flows if flow.name.endswith(letter)]

    # -- What is known of a gateway's kernel

    @property
    def qgw(self) -> str:
        """The command line's program."""
        return str(Path(sys.executable).with_name("qgw"))

    @property
    def missing_plane(self) -> str:
        """A plane that this kernel lacks, or else one that there is not."""
        lacks = [option.name for option in available_planes() if not option.works]
        return lacks[0] if lacks else "none"

    def side(self, letter: str) -> Side:
        """Return one side."""
        return self.sites.side(letter)

    def devices(self, letter: str) -> list[str]:
        """Return the devices that carry tunnels at one end, whatever their names."""
        name = self.side(letter).gateway.name
        listed = run("ip", "-n", name, "-d", "-o", "link")
        found = []
        for line in listed.splitlines():
            words = line.replace("\\", " ").split()
            if any(kind in words for kind in TUNNEL_KINDS):
                found.append(words[1].rstrip(":").split("@")[0])
        return [device for device in found if device not in ("tunl0", "sit0")]

    # -- From scratch

    def renew(self) -> None:
        """Put everything back as it was at the start, after something went wrong."""
        self.flows.pause()
        self.forger.pause()
        for end in self.ends.values():
            if end.process is not None:
                end.process.send_signal(signal.SIGCONT)
            end.kill()
        restore_router(self.sites)
        for letter, end in self.ends.items():
            end_processes(end.namespace)
            self.clean(letter)
            restore_host(self.side(letter))
            self.files[letter].restore_files()
            self.files[letter].reset()
        self.start_daemons()
        self.flows.resume()
        self.forger.resume()

    def clean(self, letter: str) -> None:
        """Remove what a tunnel leaves in one end's kernel, as a reboot would."""
        host = self.side(letter).gateway
        for device in self.devices(letter):
            run("ip", "-n", host.name, "link", "del", device, check=False)
        for what in ("state", "policy"):
            run("ip", "-n", host.name, "xfrm", what, "flush", check=False)
        for family in ("-4", "-6"):
            run("ip", "-n", host.name, family, "route", "flush", "table", "5157",
                check=False)  # fmt: skip
        host.run("nft", "flush", "ruleset", check=False)


@contextlib.contextmanager
def laboratory(
    plane: str,
    tag: str = "",
    *,
    ipv6: bool = False,
    pace: Pace | None = None,
    **settings: Value,
) -> Iterator[Laboratory]:
    """Make two sites and write their gateways' files; nothing is started.

    Args:
        plane: Data plane of both.
        tag: Tells several of one process apart.
        ipv6: Whether the gateways call each other over IPv6.
        pace: How fast things go.
        settings: Further keys of the tunnel, at both ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="qgw-m-"))
    values: dict[str, Value] = {
        "plane": plane,
        "rotation_interval": INTERVAL,
        "max_epoch_lifetime": LIFETIME,
        **settings,
    }
    with two_sites(tag, ipv6=ipv6) as sites:
        gateways = (sites.a.gateway, sites.b.gateway)
        first, second = make_pair(folder / "g", gateways, Settings(plane, INTERVAL))
        files = {
            "a": Configuration(first, second, values),
            "b": Configuration(second, first, values),
        }
        for file in files.values():
            file.write()
        made = Laboratory(sites, plane, {"a": first, "b": second}, files)
        if pace:
            made.pace = pace
        try:
            yield made
        finally:
            made.close()
            keep = os.environ.get("QGW_MEDDLE_KEEP")
            for end in made.ends.values():
                if keep and end.log.exists():
                    Path(keep).mkdir(parents=True, exist_ok=True)
                    shutil.copy(end.log, Path(keep) / f"{end.letter}.log")
            shutil.rmtree(folder, ignore_errors=True)
