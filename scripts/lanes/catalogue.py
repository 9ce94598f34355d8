"""Every lane: its tests, the kernel that they need, and its share of processors."""

import os
import re
import shutil
from pathlib import Path

from lanes.kernels import (
    IN_UML,
    IN_VM,
    IN_VM_WITHOUT_INTERFACES,
    in_uml,
    kernel_has_esp,
    kernel_has_wireguard,
    kernel_has_xfrm_interface,
    may_raise_limits,
    need_root,
    uml_refusal,
)
from lanes.lane import BIN, ROOT, CannotRunError, Lane

SLOWEST = ("--durations=8", "--durations-min=5")
"""Where a lane's time goes stands at the end of its log."""

PYTEST = (
    *(str(BIN / "python"), "-m", "pytest"),
    # A kernel's console counts as a terminal; colours would hide the closing line.
    *("-p", "no:cacheprovider", "--color=no", *SLOWEST),
)

OWN_KERNEL = ("tests/kernel", "tests/faults", "tests/systemd")

NETNS = "tests/netns"
FENCE = "tests/kernel/fence"

STRICT = "QGW_LANE_STRICT"
"""The variable under which tests/conftest.py forgives no skip."""

INSTALLED = "QGW_SYSTEMD_INSTALLED"
"""The variable under which tests/systemd boots from a root with the gateway in it."""

KILLING = "tests/kill"

ESP = "tests/kernel/esp"

UML_INTERVAL = 10
"""Seconds between epochs under faults in User-mode Linux, where a daemon takes some
three seconds to start, and six on a busy machine: within one interval, it must have
started and recovered."""


VM_COST = "three times as long without KVM"
"""What the ESP lane costs there, measured."""


def lint() -> list[tuple[str, ...]]:
    """Style, types, layers, shell scripts."""
    if not shutil.which("shellcheck"):
        raise CannotRunError("shellcheck is not installed: run scripts/setup test")
    folders = ("scripts", ".ci", "findings")
    files = (path for folder in folders for path in (ROOT / folder).iterdir())
    shell = re.compile(rb"#!/[^\n]*\b(?:ba)?sh\n")
    scripts = sorted(
        str(path.relative_to(ROOT))
        for path in files
        if path.is_file() and shell.match(path.read_bytes())
    )
    return [
        (str(BIN / "ruff"), "check", "."),
        (str(BIN / "ruff"), "format", "--check", "."),
        (str(BIN / "mypy"),),
        (str(BIN / "lint-imports"),),
        ("shellcheck", "-x", *scripts),
    ]


def unit() -> list[tuple[str, ...]]:
    """All tests that need neither root nor a kernel of their own."""
    ignored = [f"--ignore={path}" for path in (*OWN_KERNEL, NETNS, KILLING)]
    coverage = (str(BIN / "coverage"), "run", "-m", *PYTEST[2:])
    return [(*coverage, "-n", "2", *ignored, "tests")]


def kill() -> list[tuple[str, ...]]:
    """Tests that race a child against a kill: measuring coverage would slow it."""
    return [(*PYTEST, KILLING)]


def netns() -> list[tuple[str, ...]]:
    """Tests between network namespaces of this host's kernel."""
    need_root()
    # Most of these wait; those that count lost packets need the processors.
    beside = ("-n", "3", "--dist", "loadfile", "-m", "not lossless")
    return [
        (*PYTEST, *beside, NETNS, FENCE),
        (*PYTEST, "-m", "lossless", NETNS, FENCE),
    ]


def wireguard_go() -> list[tuple[str, ...]]:
    """WireGuard in user space; needs a TUN device."""
    need_root()
    if not Path("/dev/net/tun").exists():
        raise CannotRunError("/dev/net/tun is missing: modprobe tun")
    return [(*PYTEST, "tests/kernel/wireguard_go")]


def esp() -> list[tuple[str, ...]]:
    """ESP by policies alone, here or in User-mode Linux.

    Where that does not start, it takes the virtual machine, and the table says so.
    """
    need_root()
    if kernel_has_esp():
        return esp_halves((), "not esp_interface")
    return esp_halves(
        IN_VM_WITHOUT_INTERFACES if uml_refusal() else IN_UML, "not esp_interface"
    )


def esp_interface() -> list[tuple[str, ...]]:
    """The same tests over xfrm interfaces, here or in the virtual machine."""
    need_root()
    here = kernel_has_xfrm_interface()
    return esp_halves(() if here else IN_VM, "esp_interface")


def esp_halves(inside: tuple[str, ...], chosen: str) -> list[tuple[str, ...]]:
    """Divide the tests of ESP: a kernel elsewhere keeps one processor busy."""
    folder = ROOT / ESP
    files = sorted(str(path.relative_to(ROOT)) for path in folder.glob("test_*.py"))
    if not inside:
        return [(*PYTEST, "-m", chosen, *files)]
    begin = (*inside, *passed_on(), *PYTEST, "-m", chosen)
    return [(*begin, *files[::2]), (*begin, *files[1::2])]


def esp_aside() -> str:
    """Say that it ran in the virtual machine, why, and what that costs."""
    if kernel_has_esp() or not uml_refusal():
        return ""
    return f"in the virtual machine, {VM_COST}: {uml_refusal()}"


def places() -> list[tuple[str, ...]]:
    """The other kernels themselves: that they start, and have what they should."""
    need_root()
    return [(*PYTEST, "-n", "2", "tests/kernel/places")]


def wireguard() -> list[tuple[str, ...]]:
    """The kernel's WireGuard, here or in two virtual machines.

    Without KVM one machine keeps one processor busy.
    """
    need_root()
    tests = (*PYTEST, "tests/kernel/wireguard")
    if kernel_has_wireguard():
        return [tests]
    inside = (*IN_VM, *passed_on(), *tests, "-k")
    return [(*inside, "TestRotation"), (*inside, "not TestRotation")]


def faults() -> list[tuple[str, ...]]:
    """A hundred kills, restarts and cuts, and some of them on ESP wherever it is.

    They wait most of the time, for daemons to start and epochs to be due.
    """
    need_root()
    commands: list[tuple[str, ...]] = [(*PYTEST, "tests/faults")]
    if not kernel_has_esp():
        fewer = ("env", "QGW_FAULT_COUNT=20", f"QGW_FAULT_INTERVAL={UML_INTERVAL:g}")
        commands.append(
            (
                *(*in_uml(), *passed_on(), *fewer, *PYTEST),
                "tests/faults/test_hundred_faults.py",
            )
        )
    return commands


def systemd() -> list[tuple[str, ...]]:
    """The unit and README.md's set-up under systemd, on two booted machines."""
    need_root()
    if not shutil.which("debootstrap"):
        raise CannotRunError("debootstrap is not installed: run scripts/setup test")
    return [("scripts/systemd-root",), (*PYTEST, "tests/systemd")]


def systemd_esp() -> list[tuple[str, ...]]:
    """The same set-up with ESP, and what only a root without limits may do."""
    need_root()
    root, tests = systemd()
    chosen = (*tests, "-k", "readme or memory")
    if kernel_has_esp() and may_raise_limits():
        return [root, chosen]
    # pip is slow in there, and the lane above has followed README.md to the letter.
    inside = (*in_uml(), *passed_on(), "env", f"{INSTALLED}=1", *chosen)
    return [(*root, "--installed"), inside]


def passed_on() -> tuple[str, ...]:
    """Begin a command that runs in another kernel, which inherits no environment."""
    return ("env", f"{STRICT}=1") if os.environ.get("CI") == "true" else ()


LANES = (
    Lane("unit", "no root, no kernel of its own", "tests", unit, 1.6),
    Lane("systemd", "root, namespaces, debootstrap", "tests/systemd", systemd, 0.4),
    Lane("netns", "root, network namespaces", NETNS, netns, 0.8),
    Lane(
        "faults",
        "root, network namespaces",
        "tests/faults",
        faults,
        0.5,
        together=True,
    ),
    Lane("kill", "processes that are killed", KILLING, kill, 0.4),
    Lane("wireguard-go", "root, TUN", "tests/kernel/wireguard_go", wireguard_go, 0.3),
    Lane(
        "systemd-esp", "User-mode Linux, debootstrap", "tests/systemd", systemd_esp, 0.7
    ),
    Lane("lint", "ruff, mypy, import-linter, shellcheck", "gateway", lint, 1.0),
    Lane(
        "wireguard",
        "a kernel with WireGuard",
        "tests/kernel/wireguard",
        wireguard,
        2.0,
        together=True,
    ),
    Lane(
        "esp",
        "a kernel with ESP and AES-GCM",
        ESP,
        esp,
        2.0,
        together=True,
        aside=esp_aside,
    ),
    Lane(
        "esp-interface",
        "a kernel with ESP and xfrm interfaces",
        ESP,
        esp_interface,
        2.0,
        together=True,
    ),
    Lane(
        "places",
        "User-mode Linux, a virtual machine",
        "tests/kernel/places",
        places,
        1.6,
    ),
)
"""In the order in which they begin as processors become free."""
