"""Notices to systemd of how the daemon stands, and sockets left with it.

The protocol is sd_notify(3)'s: datagrams of ``NAME=value`` lines to the Unix socket
named by ``NOTIFY_SOCKET``. Outside of systemd there is none, and every call here
does nothing. A notification that cannot be sent never stops the daemon.
"""

import array
import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence

from gateway.events.bus import publish
from gateway.events.host import (
    DescriptorRefused,
    DescriptorsRefused,
    NotifyFailed,
    NotifySocketUnknown,
)

FIRST_LISTEN_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""

MAX_LISTEN_FDS = 1024
"""More than this manager would ever hand over; bounds a broken environment."""

MAX_STATUS = 200
"""Characters of the status line, of which systemctl status shows one row."""

_SEND_TIMEOUT = 1.0
"""Seconds; systemd reads at once, and the event loop must not wait for it longer."""


class Notifier:
    """Sends notifications to the service manager, if there is one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``."""
        self._address = _address_of(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_usec = _watchdog_of(environ)
        self._last_status = ""

    @property
    def active(self) -> bool:
        """Whether there is a service manager that listens."""
        return self._address is not None

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two calls of `watchdog`, or None when none is expected.

        Half of what the manager allows, as sd_watchdog_enabled(3) recommends.
        """
        if self._address is None or self._watchdog_usec is None:
            return None
        return self._watchdog_usec / 2_000_000

    def ready(self, status: str = "") -> None:
        """Say that start-up, or a reload, is complete."""
        self._send("READY=1", *self._status_lines(status))

    def status(self, text: str) -> None:
        """Set the line of ``systemctl status``; an unchanged one is not sent again."""
        lines = self._status_lines(text)
        if lines and text != self._last_status:
            self._last_status = text
            self._send(*lines)

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it (Type=notify-reload)."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Say that the daemon is on its way down."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """Say that the daemon is alive; to be called from its event loop."""
        self._send("WATCHDOG=1")

    def store_fds(self, name: str, fds: Sequence[int]) -> None:
        """Leave descriptors with systemd, which hands them to the next start.

        Args:
            name: 1 to 255 printable ASCII characters without ``:``; the key under
                which `receive_fds` returns them.
            fds: Open descriptors; they stay open here.
        """
        # Without FDPOLL=0 systemd drops a socket as soon as it has an error to tell.
        self._send("FDSTORE=1", "FDPOLL=0", f"FDNAME={_fd_name(name)}", fds=fds)

    def remove_fds(self, name: str) -> None:
        """Make systemd close what was stored under this name."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={_fd_name(name)}")

    def _status_lines(self, text: str) -> list[str]:
        # A newline would start another assignment, and peers name tunnels' failures.
        line = " ".join(text.split())[:MAX_STATUS]
        return [f"STATUS={line}"] if line else []

    def _send(self, *lines: str, fds: Sequence[int] = ()) -> None:
        if self._address is None:
            return
        message = "\n".join(lines).encode()
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            if fds
            else []
        )
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_TIMEOUT)
                sender.sendmsg([message], rights, 0, self._address)
        except OSError as error:
            publish(NotifyFailed(lines[0], str(error)))


def receive_fds(environ: MutableMapping[str, str]) -> dict[str, list[int]]:
    """Take the descriptors that systemd hands over at start, by name.

    They are made close-on-exec, and the variables are removed, so that no child
    takes them for its own (sd_listen_fds(3)). Empty when there are none for us.
    """
    listen_pid = environ.pop("LISTEN_PID", "")
    count_text = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if listen_pid != str(os.getpid()) or not count_text.isdecimal():
        return {}
    count = int(count_text)
    if count > MAX_LISTEN_FDS:
        publish(DescriptorsRefused(count))
        return {}
    received: dict[str, list[int]] = {}
    for place in range(count):
        fd = FIRST_LISTEN_FD + place
        name = names[place] if place < len(names) else ""
        try:
            os.set_inheritable(fd, False)  # noqa: FBT003  # takes no keyword
        except OSError as error:
            publish(DescriptorRefused(fd, f"is unusable: {error}"))
            continue
        received.setdefault(name, []).append(fd)
    return received


def _address_of(value: str) -> str | None:
    if value.startswith("/"):
        return value
    if value.startswith("@"):
        return "\0" + value[1:]
    if value:
        publish(NotifySocketUnknown(value[:50]))
    return None


def _watchdog_of(environ: Mapping[str, str]) -> int | None:
    usec = environ.get("WATCHDOG_USEC", "")
    pid = environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(usec)


def _fd_name(name: str) -> str:
    printable = all(" " < character <= "~" and character != ":" for character in name)
    if not 0 < len(name) <= 255 or not printable:  # noqa: PLR2004  # sd_notify(3)
        raise ValueError(f"not a name for a stored descriptor: {name!r}")
    return name
