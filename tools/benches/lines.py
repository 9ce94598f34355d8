"""Talks with a program of ours: a line in, one JSON object out."""

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess


def read_line(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what a program says next.

    Raises:
        RuntimeError: It ended instead.
    """
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the hub ended; see its message above")
    value: dict[str, Any] = json.loads(line)
    return value


def ask(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Ask a program how it stands."""
    assert process.stdin is not None  # noqa: S101  # it is a pipe
    process.stdin.write("\n")
    process.stdin.flush()
    return read_line(process)


def free_port() -> int:
    """Return a UDP port of loopback that nobody has right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
