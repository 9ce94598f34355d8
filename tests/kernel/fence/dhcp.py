"""A DHCP server on the outer link that gives what it likes, and who takes it."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lab.netns import run

from tests.kernel.fence.place import Place

APPLETS: Final = ("udhcpd", "udhcpc")
ENDLESS: Final = (1 << 32) - 1
"""Seconds of a lease without an end (RFC 2131, 3.3)."""

PATIENCE: Final = 15.0

SERVER: Final = """
start {address}
end {address}
max_leases 1
interface eth0
lease_file {folder}/leases
opt subnet 255.255.255.0
opt lease {lease}
"""

CLIENT: Final = """#!/bin/sh
# The part of Debian's default.script that sets an address.
[ "$1" = bound ] && ip -4 addr add "$ip/$mask" dev "$interface"
exit 0
"""


def missing_dhcp() -> str:
    """Say what is missing to run this, empty if nothing is."""
    busybox = shutil.which("busybox")
    if busybox is None:
        return "needs busybox: apt-get install busybox"
    listed = run(busybox, "--list").split()
    gone = [applet for applet in APPLETS if applet not in listed]
    return f"this busybox has no {' and no '.join(gone)}" if gone else ""


@contextlib.contextmanager
def server(place: Place, folder: Path, address: str, lease: int) -> Iterator[None]:
    """Offer one address on the outer link."""
    (folder / "leases").touch()
    configuration = folder / "udhcpd.conf"
    text = SERVER.format(address=address, folder=folder, lease=lease)
    configuration.write_text(text)
    inside = ("ip", "netns", "exec", place.name("wan"))
    with subprocess.Popen(  # noqa: S603  # our own, in a namespace
        [*inside, "busybox", "udhcpd", "-f", configuration]
    ) as made:
        try:
            yield
        finally:
            made.terminate()


def take_lease(place: Place, folder: Path) -> None:
    """Have the gateway ask on its outer link, and set what it is given."""
    script = folder / "set-address"
    script.write_text(CLIENT)
    script.chmod(0o755)
    place.run(
        "gateway",
        "busybox",
        "udhcpc",
        *("-i", "wan0", "-s", str(script), "-q", "-n", "-f", "-t", "10", "-T", "1"),
        timeout=PATIENCE,
    )
