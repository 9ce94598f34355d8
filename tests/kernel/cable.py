"""Two namespaces and the cable between them."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.kernel.batch import run_ip


def run(*command: str) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(  # noqa: S603  # commands of the tests
        command, check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def ping(namespace: str, target: str, size: int = 56) -> bool:
    """Ping with so many bytes, unfragmented; return whether an answer came."""
    options = ("-c1", "-W1", "-Mdo", f"-s{size}")
    done = subprocess.run(  # noqa: S603  # commands of the tests
        ("/bin/ip", "netns", "exec", namespace, "ping", *options, target),
        check=False,
        capture_output=True,
        timeout=10,
    )
    return done.returncode == 0


@contextmanager
def joined(
    names: Sequence[str], outer: Sequence[str], inner: Sequence[str], mtu: int
) -> Iterator[None]:
    """Make two namespaces; outer addresses are on the cable, inner ones on lo."""
    run_ip(
        *(f"netns add {name}" for name in names),
        f"link add cable netns {names[0]} type veth peer name cable netns {names[1]}",
    )
    try:
        for side, name in enumerate(names):
            run_ip(
                f"address add {on_link(outer[side], 64, 24)} dev cable"
                f" {without_waiting(outer[side])}",
                f"link set cable mtu {mtu} up",
                "link set lo up",
                f"address add {inner[side]} dev lo {without_waiting(inner[side])}",
                namespace=name,
            )
        yield
    finally:
        run_ip(*(f"netns delete {name}" for name in names))


def on_link(address: str, length6: int, length4: int) -> str:
    """Return the address with the length of its network."""
    return f"{address}/{length6 if ':' in address else length4}"


def without_waiting(address: str) -> str:
    """Return what makes an IPv6 address usable at once."""
    return "nodad" if ":" in address else ""
