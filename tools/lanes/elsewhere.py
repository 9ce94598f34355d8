"""Lanes that need another kernel where this machine's lacks something."""

import shutil

from lanes.command import PYTEST, passed_on
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
from lanes.lane import ROOT, CannotRunError

INSTALLED = "QGW_SYSTEMD_INSTALLED"
"""The variable under which tests/systemd boots from a root with the gateway in it."""

UML_INTERVAL = 10
"""Seconds between epochs under faults in User-mode Linux, where a daemon takes some
three seconds to start, and six on a busy machine: within one interval, it must have
started and recovered."""


ESP = "tests/kernel/esp"

FENCE = "tests/kernel/fence"

FILTERED = "tests/netns/test_filtered.py"
"""Whole daemons whose ESP a firewall drops, in real time: too slow for the virtual
machine, where a daemon takes a minute to start."""

MEDDLING = "tests/meddle"

WITHOUT_NFTABLES = (
    "tests/kernel/fence/test_fence_of_policies.py"
    "::test_nothing_leaves_or_enters_until_it_is_granted"
)
"""The others of that file run in the lane of namespaces: the kernel's answer is the
same, and User-mode Linux is slow to start programs."""

LONG_STEPS = 300
"""Steps of the long form: every kind twice and more, in a quarter of an hour."""

MEDDLED_SLOWLY = ("QGW_MEDDLE_STEPS=3", "QGW_MEDDLE_PACE=0.3")
"""Steps, and seconds between packets, where a daemon takes ten seconds to start."""

VM_COST = "some two minutes more without KVM"
"""What the ESP lane costs there: 320 s of processors where User-mode Linux needs 70."""


def esp() -> list[tuple[str, ...]]:
    """ESP by policies alone, here or in User-mode Linux.

    Where that does not start, it takes the virtual machine, and the table says so.
    """
    need_root()
    if kernel_has_esp():
        return esp_halves((), "not esp_interface")
    if uml_refusal():
        return esp_halves(IN_VM_WITHOUT_INTERFACES, "not esp_interface")
    # Where this kernel has ESP, the lane of namespaces runs that with it.
    begin = (*IN_UML, *passed_on())
    chosen = (*PYTEST, "-m", "not esp_interface")
    halves = esp_halves(IN_UML, "not esp_interface")
    return [*halves, (*begin, *chosen, FILTERED, WITHOUT_NFTABLES)]


def esp_interface() -> list[tuple[str, ...]]:
    """The same tests over xfrm interfaces, here or in the virtual machine.

    There, without those marked ``long``; `scripts/in-vm` runs all of them by name.
    """
    need_root()
    if kernel_has_xfrm_interface():
        return esp_halves((), "esp_interface")
    return esp_halves(IN_VM, "esp_interface and not long")


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


def fence() -> list[tuple[str, ...]]:
    """Changes of the fence in the kernel that most hosts have, whatever is here.

    Kernels differ in what a packet sees of a set that changes (docs/adr/0313).
    """
    need_root()
    return [(*IN_VM, *passed_on(), *PYTEST, "-m", "older", FENCE)]


def meddle() -> list[tuple[str, ...]]:
    """A hostile or clumsy host, in short, against WireGuard in user space.

    The long form is run by name: `meddle_long`.
    """
    need_root()
    return [("env", "QGW_MEDDLE_PLANE=wireguard-go", *PYTEST, MEDDLING)]


def meddle_long() -> list[tuple[str, ...]]:
    """Hundreds of steps of every kind, the gateways calling over IPv4 and over IPv6.

    ``QGW_MEDDLE_SEED`` draws other orders of them.
    """
    need_root()
    begin = ("env", "QGW_MEDDLE_PLANE=wireguard-go", f"QGW_MEDDLE_STEPS={LONG_STEPS}")
    test = f"{MEDDLING}/test_meddle.py"
    return [(*begin, f"QGW_MEDDLE_IPV6={ipv6}", *PYTEST, "-s", test) for ipv6 in (0, 1)]


def meddle_kernels() -> list[tuple[str, ...]]:
    """The same against the planes of kernels: ESP both ways, and WireGuard.

    Not in User-mode Linux: the fence needs nftables.
    """
    need_root()

    def short(inside: tuple[str, ...], plane: str) -> tuple[str, ...]:
        begin = (*inside, *passed_on(), "env", *MEDDLED_SLOWLY) if inside else ("env",)
        test = f"{MEDDLING}/test_meddle.py"
        return (*begin, f"QGW_MEDDLE_PLANE={plane}", *PYTEST, test)

    commands = [
        short(() if kernel_has_xfrm_interface() else IN_VM, "esp"),
        short(() if kernel_has_wireguard() else IN_VM, "wireguard"),
    ]
    if not kernel_has_esp():
        commands.append(short(IN_VM_WITHOUT_INTERFACES, "esp"))
    return commands


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
    return [("tools/machines/systemd-root",), (*PYTEST, "tests/systemd")]


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
