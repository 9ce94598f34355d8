"""What this machine's kernel can do, and where to find one that can do more."""

import functools
import os
import re
import subprocess
from pathlib import Path

from lanes.lane import ROOT, CannotRunError

CAP_SYS_RESOURCE = 24
"""Number of the capability, capability.h of Linux."""

LIMITED = ("--timeout", "1500")
"""Seconds after which a kernel is ended, so that its output is still told: less than a
lane has, and several times what any needs, since a busy machine is slow."""

IN_UML = ("scripts/in-uml", *LIMITED, "--")

IN_VM = ("scripts/in-vm", *LIMITED, "--")

IN_VM_WITHOUT_INTERFACES = (*IN_VM[:-1], "--without", "xfrm_interface", "--")
"""The other kernel in which ESP is carried by its policies alone."""


def need_root() -> None:
    """Refuse, with the way out, when this is not root."""
    if os.geteuid():
        raise CannotRunError("needs root: run scripts/test as root")


def may_raise_limits() -> bool:
    """Say whether root may raise resource limits here: some hosts forbid it."""
    status = Path("/proc/self/status").read_text()
    (effective,) = re.findall(r"^CapEff:\s+(\w+)$", status, re.MULTILINE)
    return bool(int(effective, 16) >> CAP_SYS_RESOURCE & 1)


def kernel_takes(*command: str) -> bool:
    """Say whether a command works in a network namespace made for it."""
    done = subprocess.run(
        ("unshare", "--net", *command), capture_output=True, check=False
    )
    return done.returncode == 0


def kernel_has_esp() -> bool:
    """Say whether this kernel installs an AES-GCM SA."""
    state = "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x101 mode tunnel"
    key = "0x" + "00" * 36
    aead = ("aead", "rfc4106(gcm(aes))", key, "128")
    return kernel_takes("ip", "xfrm", "state", "add", *state.split(), *aead)


def kernel_has_wireguard() -> bool:
    """Say whether this kernel makes WireGuard devices."""
    return kernel_takes("ip", "link", "add", "probe", "type", "wireguard")


def kernel_has_xfrm_interface() -> bool:
    """Say whether this kernel makes xfrm interfaces and installs AES-GCM SAs."""
    probe = ("ip", "link", "add", "probe", "type", "xfrm", "dev", "lo", "if_id", "1")
    return kernel_has_esp() and kernel_takes(*probe)


@functools.cache
def uml_refusal() -> str:
    """Say why User-mode Linux does not start on this machine, or nothing."""
    done = subprocess.run(
        ("scripts/in-uml", "--timeout", "120", "--", "true"),
        cwd=ROOT,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    said = done.stderr.strip().splitlines() or ["no reason given"]
    return said[-1] if done.returncode else ""


def in_uml() -> tuple[str, ...]:
    """Begin a command that runs in User-mode Linux or nowhere.

    Raises:
        CannotRunError: It does not start here.
    """
    if refusal := uml_refusal():
        raise CannotRunError(refusal)
    return IN_UML
