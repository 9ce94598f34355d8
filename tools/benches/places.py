"""Where a plane can be measured: in this kernel, or in one that is started for it."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.netns import COMMAND_TIMEOUT, run

from gateway.dataplane.choose import available_planes

TOOLS = Path(__file__).resolve().parent.parent
ROOT = TOOLS.parent
START_TIMEOUT = 120
"""Seconds a guest may take to start and to end, beside its work."""


class PlaceError(Exception):
    """Raised when nothing here can run what is to be measured; says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """A kernel.

    Attributes:
        name: ``here``, ``uml`` or ``vm``.
        text: For the notes.
        slowness: How much longer programs take here than on the host, roughly.
    """

    name: str
    text: str
    slowness: int = 1


HERE = Place("here", "in this host's own kernel")
UML = Place("uml", "in User-mode Linux, one processor")
VM = Place("vm", "in Debian's kernel under qemu without KVM, about 25 times slower", 25)
VM_KVM = Place("vm", "in Debian's kernel under qemu with KVM")


def place_for(plane: str) -> Place:
    """Return where a plane runs: here if it does, else in the guest that has it.

    Raises:
        PlaceError: Nowhere.
    """
    if os.geteuid():
        raise PlaceError("only root can make network namespaces: run it as root")
    options = {option.name: option for option in available_planes()}
    option = options[plane]
    if option.works:
        return HERE
    if plane == "esp" and shutil.which("linux.uml"):
        return UML
    if plane in ("esp", "wireguard") and shutil.which("qemu-system-x86_64"):
        return virtual_machine()
    raise PlaceError(f"{option.reason}; {option.hint}")


def virtual_machine() -> Place:
    """Return the virtual machine: slow unless scripts/in-vm has found KVM to work."""
    found = ROOT / ".cache" / "vm" / "accelerator"
    return VM_KVM if found.exists() and found.read_text().strip() == "kvm" else VM


def place_for_netem(plane: str) -> Place:
    """Return where a plane runs and links can be impaired.

    Raises:
        PlaceError: Nowhere.
    """
    place = place_for(plane)
    if place is HERE and not has_netem():
        if shutil.which("linux.uml"):
            return UML
        raise PlaceError("this kernel lacks sch_netem, and there is no linux.uml")
    return place


def has_netem() -> bool:
    """Whether this kernel can delay and lose packets, tried in a namespace."""
    name = f"qgwt{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("tc", "-n", name, "qdisc", "add", "dev", "lo", "root", "netem")
    except RuntimeError:
        return False
    finally:
        run("ip", "netns", "del", name, check=False)
    return True


def run_module(
    place: Place,
    folder: Path,
    module: str,
    arguments: Sequence[str],
    *,
    timeout: float,
    on_line: Callable[[str, int], None] = lambda _line, _pid: None,
) -> None:
    """Run one of our modules in a place, and hand on each line as it is printed.

    Args:
        place: Where.
        folder: What the module may write to, in any place.
        module: Its name.
        arguments: What it is given.
        timeout: Seconds it may take.
        on_line: Called with each line and the process that was started.

    Raises:
        RuntimeError: It failed; the message has the end of what it printed.
    """
    command = [
        "env",
        f"PYTHONPATH={TOOLS}",
        "PYTHONUNBUFFERED=1",
        sys.executable,
        "-m",
        module,
        *arguments,
    ]
    limit = str(int(timeout))
    if place.name == "uml":
        command = [str(ROOT / "scripts" / "in-uml"), "--timeout", limit, "--", *command]
    elif place.name == "vm":
        share = ["--share", str(folder)]
        command = [
            str(ROOT / "scripts" / "in-vm"),
            "--timeout",
            limit,
            *share,
            "--",
            *command,
        ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    # The guests' runners end them in time; here nobody else would.
    watchdog = threading.Timer(timeout + START_TIMEOUT, process.kill)
    watchdog.start()
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            on_line(lines[-1], process.pid)
        status = process.wait(timeout=COMMAND_TIMEOUT)
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
    if status:
        raise RuntimeError(f"{module} failed {place.text}:\n" + "\n".join(lines[-30:]))
