"""Starts the lab's programs inside namespaces and reads what they report."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.gateway import INNER
from lab.netns import Namespace

_TOOLS = Path(__file__).parent.parent

FINISH_TIMEOUT = 30.0
"""Seconds a program may take to report after its work is done."""


def spawn_tool(
    namespace: Namespace, module: str, *arguments: str
) -> "subprocess.Popen[str]":
    """Start a program and wait until it says that it is ready.

    Raises:
        RuntimeError: It ended instead.
    """
    process = namespace.spawn(
        ["env", f"PYTHONPATH={_TOOLS}", sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    if not process.stdout.readline():
        raise RuntimeError(f"{module} did not start")
    return process


def start_capture(end: Namespace, *arguments: str) -> "subprocess.Popen[str]":
    """Read all that passes between one host and the network."""
    wire = dataclasses.replace(end, name=end.wire)
    return spawn_tool(wire, "lab.capture", end.leg, *arguments)


def start_traffic(
    namespaces: tuple[Namespace, Namespace],
    seconds: float,
    *,
    inner: dict[str, str] = INNER,
    interval: float = 0.001,
) -> "list[subprocess.Popen[str]]":
    """Send both ways for some seconds, once both ends can receive."""
    addresses = (inner["a"], inner["b"])
    senders = [
        spawn_tool(namespace, "lab.traffic", local, peer, str(seconds), str(interval))
        for namespace, local, peer in zip(
            namespaces, addresses, reversed(addresses), strict=True
        )
    ]
    for sender in senders:
        sender.send_signal(signal.SIGUSR1)
    return senders


def finish_tool(
    process: "subprocess.Popen[str]", timeout: float = FINISH_TIMEOUT
) -> dict[str, Any]:
    """Wait for a program and return the JSON object it prints at its end.

    Raises:
        RuntimeError: It failed.
    """
    output, _ = process.communicate(timeout=timeout)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    report: dict[str, Any] = json.loads(output.splitlines()[-1])
    return report
