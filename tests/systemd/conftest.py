"""Two booted machines on which README.md's set-up was followed to the letter."""

import base64
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from lab.clear_text import ClearText, Place
from lab.netns import Namespace, linked_pair, run

from tests.systemd import readme
from tests.systemd.behind import networks_behind
from tests.systemd.machine import ROOT, Machine, booted, wait_until

CLONE = "/srv/qkd-gateway"
INSTALLED = bool(os.environ.get("QGW_SYSTEMD_INSTALLED"))
"""Whether the machines boot from a root in which step 1 has been run: installing takes
User-mode Linux two minutes, and is the same there."""

KEYS = 400
"""More than all tests here use up, at one for each epoch."""

PATIENCE = 120.0
"""Seconds for what takes three on the host, where nothing else runs."""

MARKER = bytes.fromhex("4d4152") * 4
"""What `ping -p` fills its echoes with, again and again."""


@dataclass
class Site:
    """The two gateways, and what they said while they were set up.

    Attributes:
        a: The initiator or the responder, as their fingerprints decide.
        b: The other.
        pcs: The hosts behind them, by the machine's name.
        said: What each step of README.md printed at `a`, by the step.
    """

    a: Machine
    b: Machine
    pcs: dict[str, Namespace] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    @property
    def both(self) -> tuple[Machine, Machine]:
        """Both."""
        return self.a, self.b


def etsi_container(count: int) -> str:
    """Return a key container of ETSI GS QKD 014 V1.1.1, clause 6.3, with new keys."""
    keys = [
        {
            "key_ID": str(uuid.uuid4()),
            "key": base64.b64encode(os.urandom(32)).decode(),
        }
        for _ in range(count)
    ]
    return json.dumps({"keys": keys})


def tunnel(machine: Machine) -> dict[str, object]:
    """Return what `qgw status` says of the one tunnel."""
    status = json.loads(machine.run("qgw", "status", "--json").stdout)
    (found,) = status["tunnels"]
    assert isinstance(found, dict)
    return found


def is_up(machine: Machine) -> bool:
    """Say whether the daemon answers and its tunnel is up, in force at both ends."""
    done = machine.run("qgw", "status", "--json", check=False)
    if done.returncode:
        return False
    (found,) = json.loads(done.stdout)["tunnels"]
    return bool(found["state"] == "up" and found["in_force"])


def wait_up(*machines: Machine) -> None:
    """Wait until every tunnel is up."""
    for machine in machines:
        wait_until(
            lambda machine=machine: is_up(machine),  # type: ignore[misc]  # bound now
            PATIENCE,
            lambda machine=machine: (  # type: ignore[misc]
                machine.run("journalctl", "-u", "qgwd", "-n", "30").stdout
            ),
        )


def leave_as_found(site: Site) -> None:
    """Wait until both are up, by an epoch that the daemons that run now agreed on."""
    wait_up(*site.both)
    site.a.run("qgw", "tunnel", "rotate", "a-b")
    for machine in site.both:
        wait_until(
            lambda machine=machine: (  # type: ignore[misc]  # bound now
                bool(tunnel(machine)["sources"])
            ),
            PATIENCE,
            "no epoch of its own",
        )
    wait_up(*site.both)


@pytest.fixture(scope="session")
def machines() -> Iterator[Site]:
    """Two machines that reach each other as README.md assumes."""
    if os.geteuid():
        pytest.skip("needs root: run scripts/test systemd as root")
    if not shutil.which("debootstrap"):
        pytest.skip("no debootstrap: run scripts/setup test")
    made = (str(ROOT / "tools/machines/systemd-root"), *["--installed"] * INSTALLED)
    subprocess.run(made, check=True)  # noqa: S603  # a script of ours
    with linked_pair("s") as ends:
        for end, address in zip(ends, ("203.0.113.1", "203.0.113.2"), strict=True):
            run("ip", "-n", end.name, "addr", "add", f"{address}/24",
                "dev", end.device)  # fmt: skip
        site = Site(Machine("a", ends[0]), Machine("b", ends[1]))
        with networks_behind(site.both) as site.pcs, booted(*site.both):
            yield site


@pytest.fixture(scope="session")
def site(machines: Site) -> Site:
    """Follow README.md, step by step, at both."""
    if not INSTALLED:
        install(machines)
    note_running(machines)
    make_identities(machines)
    configure(machines)
    let_through(machines)
    fill(machines)
    wait_up(*machines.both)
    look(machines)
    return machines


@pytest.fixture
def wire(site: Site) -> Iterator[ClearText]:
    """Everything between the two gateways."""
    ends = [machine.namespace for machine in site.both]
    watching = ClearText([Place(end.wire, end.leg, MARKER) for end in ends])
    yield watching
    watching.close()


def install(site: Site) -> None:
    """Step 1."""
    command = readme.block("scripts/install")
    cloning = "git clone URL qkd-gateway && cd qkd-gateway\n"
    assert cloning in command
    typed = command.replace(cloning, f"cd {CLONE}\n")
    started = time.monotonic()
    running = [machine.spawn("bash", "-ec", typed) for machine in site.both]
    for process in running:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
        site.said.setdefault("install", output)
    site.said["install seconds"] = f"{time.monotonic() - started:.0f}"


def note_running(site: Site) -> None:
    """Note whether the daemon runs before anyone has started it."""
    for machine in site.both:
        site.said[f"{machine.name} after install"] = machine.run(
            "systemctl", "is-active", "qgwd", check=False
        ).stdout.strip()


def make_identities(site: Site) -> None:
    """Step 2."""
    command = readme.block("qgw identity new")
    site.said["identity"] = site.a.shell(command)
    site.b.shell(command.replace("a.pub", "b.pub"))
    for machine, other in ((site.a, site.b), (site.b, site.a)):
        public = machine.read(f"/etc/qgw/{machine.name}.pub")
        other.write(f"/etc/qgw/peers/{machine.name}.pub", public)
    own = readme.said_inline("qgw identity show /etc/qgw/identity.key")
    theirs = readme.said_inline("qgw identity show /etc/qgw/peers/a.pub")
    site.said["own"] = site.a.shell(own)
    site.said["theirs"] = site.b.shell(theirs)


def configure(site: Site) -> None:
    """Step 3."""
    written = readme.block("[gateway]")
    site.a.write("/etc/qgw/gateway.toml", written)
    site.b.write("/etc/qgw/gateway.toml", readme.swapped(written))


def let_through(site: Site) -> None:
    """Step 4."""
    for machine in site.both:
        machine.shell(readme.block("sysctl.d"))


def fill(site: Site) -> None:
    """Step 5."""
    container = etsi_container(KEYS)
    command = readme.block("qgw keystore import --link")
    for machine in site.both:
        machine.write("/root/keys.json", container)
        site.said["fill"] = machine.shell(command)


def look(site: Site) -> None:
    """Step 6."""
    for command in readme.block("qgw tunnel show").splitlines():
        # ping goes on until it is interrupted.
        bounded = command.replace("ping ", "ping -c 5 -i 0.2 ")
        site.said[command.split(" ")[0] + " " + command.split(" ")[1]] = site.a.shell(
            bounded
        )
