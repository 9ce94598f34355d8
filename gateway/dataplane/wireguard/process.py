"""Processes of wireguard-go: started so that they outlive us, seen when they die."""

import contextlib
import errno
import os
import shutil
import socket
import time
from pathlib import Path

from gateway.dataplane.refusals import PERMISSION_HINT
from gateway.errors import (
    DataPlaneError,
    PlanePermissionError,
    PlaneUnsupportedError,
)

PROGRAM = "wireguard-go"

START_TIMEOUT = 10.0
"""Seconds until the process must answer; it takes 20 ms on an idle machine."""

_START_STEP = 0.01
"""Seconds between looks; a start delays an epoch, never traffic."""

_CONNECT_TIMEOUT = 1.0
"""Seconds; a Unix socket that is listened to takes a connection at once."""

_CAP_NET_ADMIN = 12
"""Bit in the capability masks of /proc/self/status (linux/capability.h)."""


def find_program() -> str:
    """Return the path of wireguard-go, once it can run here.

    Raises:
        PlaneUnsupportedError: It is not installed, or this kernel has no TUN.
        PlanePermissionError: CAP_NET_ADMIN is missing.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise PlaneUnsupportedError(
            "wireguard-go is not installed", "run: apt-get install wireguard-go"
        )
    if not Path("/dev/net/tun").exists():
        raise PlaneUnsupportedError(
            "this kernel has no /dev/net/tun", "run: modprobe tun"
        )
    if not has_net_admin():
        raise PlanePermissionError(
            "wireguard-go needs CAP_NET_ADMIN to make its interface", PERMISSION_HINT
        )
    return program


def has_net_admin() -> bool:
    """Return whether this process may configure the network."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return False


class ProcessTable:
    """The wireguard-go processes that this daemon started.

    Each leads a session of its own and has no open file of ours, so that it goes on
    when we end; the service says KillMode=process for the same reason. The
    ``subprocess`` module ties a child to its parent's life too closely for this.
    """

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}

    def start(self, program: str, device: str) -> None:
        """Start a process for a device; it makes the interface and the socket."""
        null = "/dev/null"
        self._pids[device] = os.posix_spawn(
            program,
            [program, "-f", device],
            {"PATH": os.environ.get("PATH", ""), "LOG_LEVEL": "silent"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, null, os.O_WRONLY, 0),
                *((os.POSIX_SPAWN_CLOSE, number) for number in _inherited()),
            ],
            setsid=True,
        )

    def wait_for(self, device: str, path: Path) -> None:
        """Wait until the process takes connections on its socket.

        Raises:
            DataPlaneError: It ended, or took longer than `START_TIMEOUT`.
        """
        end = time.monotonic() + START_TIMEOUT
        while not _listens(path):
            if not self.is_running(device):
                raise DataPlaneError(
                    f"wireguard-go for {device} ended at once",
                    f"run it by hand to see why: wireguard-go -f {device}; "
                    "its socket folder /var/run/wireguard must be writable",
                )
            if time.monotonic() > end:
                raise DataPlaneError(
                    f"wireguard-go for {device} does not start", retryable=True
                )
            time.sleep(_START_STEP)

    def is_running(self, device: str) -> bool:
        """Return whether the process we started runs; reap it if it ended."""
        pid = self._pids.get(device)
        if pid is None:
            return False
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except OSError as error:
            if error.errno != errno.ECHILD:
                raise
            ended = pid
        if ended:
            del self._pids[device]
        return not ended


def _listens(path: Path) -> bool:
    """Whether somebody takes connections there: a socket is a file before that."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_TIMEOUT)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _inherited() -> list[int]:
    """Return the open files that whoever started us left to our children, too."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        number = int(entry.name)
        # The listing's own descriptor is among them, and may be closed by now.
        with contextlib.suppress(OSError):
            if number > _STANDARD_ERROR and os.get_inheritable(number):
                found.append(number)
    return found


_STANDARD_ERROR = 2
