"""Every lane: its tests, the kernel that they need, and its share of processors."""

import re
import shutil
from pathlib import Path

from lanes.command import PYTEST
from lanes.elsewhere import (
    ESP,
    FENCE,
    MEDDLING,
    esp,
    esp_aside,
    esp_interface,
    faults,
    fence,
    meddle,
    meddle_kernels,
    meddle_long,
    places,
    systemd,
    systemd_esp,
    wireguard,
)
from lanes.kernels import need_root
from lanes.lane import BIN, ROOT, CannotRunError, Lane
from lanes.liboqs import liboqs

OWN_KERNEL = ("tests/kernel", "tests/faults", "tests/systemd")

NETNS = "tests/netns"
KILLING = "tests/kill"

FUZZ = "tests/fuzz"

MEASURED = (str(BIN / "coverage"), "run", "-m", *PYTEST[2:])
"""Tests whose coverage is measured: those that run our code in their own process."""


def lint() -> list[tuple[str, ...]]:
    """Style, types, layers, shell scripts."""
    if not shutil.which("shellcheck"):
        raise CannotRunError("shellcheck is not installed: run scripts/setup test")
    folders = ("scripts", "tools/machines", ".ci", "findings")
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
    ignored = [
        f"--ignore={path}" for path in (*OWN_KERNEL, NETNS, KILLING, MEDDLING, FUZZ)
    ]
    # Some wait for a clock: with a worker more than processors, those have work.
    beside = ("-n", "3", "--dist", "worksteal")
    return [(*MEASURED, *beside, *ignored, "tests")]


def kill() -> list[tuple[str, ...]]:
    """Tests that race a child against a kill: measuring coverage would slow it."""
    return [(*PYTEST, KILLING)]


def fuzz() -> list[tuple[str, ...]]:
    """Every fuzz target: what was found once, then some seconds of new inputs."""
    return [(*PYTEST, FUZZ)]


def netns() -> list[tuple[str, ...]]:
    """Tests between network namespaces of this host's kernel."""
    need_root()
    beside = ("-n", "3", "--dist", "loadfile", "-m", "not lossless")
    return [(*PYTEST, *beside, NETNS), (*MEASURED, *beside, FENCE)]


def lossless() -> list[tuple[str, ...]]:
    """Those of them that count lost packets: no more than two at once."""
    need_root()
    beside = ("-n", "2", "--dist", "loadfile", "-m", "lossless")
    return [(*PYTEST, *beside, NETNS, FENCE)]


def wireguard_go() -> list[tuple[str, ...]]:
    """WireGuard in user space; needs a TUN device."""
    need_root()
    if not Path("/dev/net/tun").exists():
        raise CannotRunError("/dev/net/tun is missing: modprobe tun")
    return [(*MEASURED, "tests/kernel/wireguard_go")]


LANES = (
    Lane("unit", "no root, no kernel of its own", "tests", unit, 1.7),
    Lane("kill", "processes that are killed", KILLING, kill, 0.3),
    Lane("wireguard-go", "root, TUN", "tests/kernel/wireguard_go", wireguard_go, 0.3),
    Lane(
        "esp-interface",
        "a kernel with ESP and xfrm interfaces",
        ESP,
        esp_interface,
        1.3,
        together=True,
    ),
    Lane(
        "systemd-esp", "User-mode Linux, debootstrap", "tests/systemd", systemd_esp, 0.6
    ),
    Lane(
        "wireguard",
        "a kernel with WireGuard",
        "tests/kernel/wireguard",
        wireguard,
        1.4,
        together=True,
    ),
    Lane(
        "esp",
        "a kernel with ESP and AES-GCM",
        ESP,
        esp,
        0.8,
        together=True,
        aside=esp_aside,
    ),
    Lane("lint", "ruff, mypy, import-linter, shellcheck", "gateway", lint, 1.0),
    Lane(
        "faults",
        "root, network namespaces",
        "tests/faults",
        faults,
        0.4,
        together=True,
    ),
    Lane("systemd", "root, namespaces, debootstrap", "tests/systemd", systemd, 0.3),
    Lane("netns", "root, network namespaces", NETNS, netns, 0.8),
    Lane("lossless", "root, network namespaces", NETNS, lossless, 0.9),
    Lane("fence", "Debian's kernel in a virtual machine", FENCE, fence, 1.0),
    Lane(
        "meddle", "root, network namespaces", f"{MEDDLING}/test_meddle.py", meddle, 0.8
    ),
    Lane(
        "meddle-long",
        "root, network namespaces",
        f"{MEDDLING}/test_meddle.py",
        meddle_long,
        1.0,
        by_name=True,
        seconds=7200,
    ),
    Lane(
        "meddle-kernel",
        "kernels with nftables, ESP and WireGuard",
        f"{MEDDLING}/test_meddle.py",
        meddle_kernels,
        1.0,
        by_name=True,
    ),
    Lane(
        "liboqs",
        "liboqs 0.16, or its source",
        "gateway/crypto/kem_liboqs.py",
        liboqs,
        1.0,
        by_name=True,
    ),
    Lane(
        "places",
        "User-mode Linux, a virtual machine",
        "tests/kernel/places",
        places,
        1.0,
    ),
    Lane("fuzz", "coverage-guided inputs", FUZZ, fuzz, 1.0),
)
"""In the order in which they begin as processors become free: an order in which both
are kept busy (docs/adr/0251)."""
