"""A machine with a systemd of its own: `tools/machines/systemd-boot` in a namespace."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab.netns import Namespace

ROOT = Path(__file__).parents[2]

BOOT_SECONDS = 180.0
"""Until systemd has started what Debian starts: two on an idle host."""

POWER_OFF_SECONDS = 60.0
"""The kernel counts the dead out of their control group a moment later."""

COMMAND_SECONDS = 300.0
"""Any one command; installing the project takes the longest."""

POLL_SECONDS = 0.1

ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
)
"""What root's login shell would have, and nothing of ours."""


class Machine:
    """One booted machine.

    Attributes:
        name: Its host name.
        namespace: Its place on the network.
    """

    def __init__(self, name: str, namespace: Namespace) -> None:
        self.name = name
        self.namespace = namespace
        self._process: subprocess.Popen[str] | None = None
        self._init = 0

    def boot(self) -> None:
        """Boot and wait until systemd says that it is up.

        Raises:
            RuntimeError: It is not up in time, or something failed on the way.
        """
        self._process = self.namespace.spawn(
            [str(ROOT / "tools/machines/systemd-boot"), f"{self.namespace.name}"],
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            state = self._state()
            if state == "running":
                return
            if self._process.poll() is not None:
                assert self._process.stderr
                raise RuntimeError(f"{self.name}: {self._process.stderr.read()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} is not up: {state}")
            time.sleep(POLL_SECONDS)

    def power_off(self) -> None:
        """End it, and everything in it."""
        if self._process is None:
            return
        # All its processes die with its first one; the script ends when they have.
        child = only_child(self._process.pid)
        if child:
            os.kill(child, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.communicate(timeout=COMMAND_SECONDS)
        self._process = None
        wait_until(
            lambda: remove_group(f"qgw-test-{self.namespace.name}"),
            POWER_OFF_SECONDS,
            "its control group is still in use",
        )

    def run(
        self,
        *command: str,
        check: bool = True,
        text: str = "",
        user: str | None = None,
        seconds: float = COMMAND_SECONDS,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as root or as another user.

        Raises:
            RuntimeError: It failed; the message has what it said.
        """
        if user is not None:
            command = ("runuser", "-u", user, "--", *command)
        done = subprocess.run(  # noqa: S603  # fixed commands, no shell
            self.inside(command),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and done.returncode:
            raise RuntimeError(
                f"{self.name}: {' '.join(command)}: exit status {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done

    def shell(self, script: str, folder: str = "/root") -> str:
        """Run lines of shell as an admin would type them; the first failure ends it."""
        return self.run("bash", "-ec", f"cd {folder}\n{script}").stdout

    def spawn(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command inside."""
        return subprocess.Popen(  # noqa: S603  # fixed commands, no shell
            self.inside(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs this one inside."""
        enter = ("nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-r")
        return [*enter, "-w", "env", "-i", *ENVIRONMENT, *command]

    def write(self, path: str, content: str) -> None:
        """Write a file as root's editor would."""
        self.run("tee", path, text=content)

    def read(self, path: str) -> str:
        """Read a file."""
        return self.run("cat", path).stdout

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def main_pid(self) -> int:
        """Return the daemon's process id, inside."""
        return int(self.show("qgwd", "MainPID"))

    def status_of(self, pid: int, name: str) -> str:
        """Return a line of a process's status file."""
        for line in self.read(f"/proc/{pid}/status").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
        raise RuntimeError(f"{self.name}: process {pid} has no {name}")

    def _state(self) -> str:
        assert self._process
        child = only_child(self._process.pid)
        try:
            # Before that, `systemd-boot` is still putting its root together.
            if Path(f"/proc/{child}/comm").read_text().strip() != "systemd":
                return "starting"
        except FileNotFoundError:
            return "not started"
        self._init = child
        return self.run("systemctl", "is-system-running", check=False).stdout.strip()


def only_child(pid: int) -> int:
    """Return the process id of a process's child, or 0."""
    done = subprocess.run(  # noqa: S603  # a number
        ("pgrep", "-P", str(pid)),  # noqa: S607  # wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    return int(done.stdout.split()[0]) if done.stdout.split() else 0


def remove_group(name: str) -> bool:
    """Remove a control group with those below it; False while a process is in one."""
    script = """
mount -t cgroup2 cgroup2 /mnt
[[ ! -e /mnt/$0 ]] || find "/mnt/$0" -depth -type d -exec rmdir {} +"""
    done = subprocess.run(  # noqa: S603  # the name is ours
        ("unshare", "--mount", "bash", "-c", script, name),  # noqa: S607
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def wait_until(
    true: Callable[[], bool], seconds: float, what: Callable[[], str] | str
) -> None:
    """Wait for something to become true.

    Raises:
        AssertionError: It did not, in that time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds:.0f} s: {said}")
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def booted(*machines: Machine) -> Iterator[None]:
    """Have machines up, and take them down at the end."""
    with contextlib.ExitStack() as stack:
        for machine in machines:
            stack.callback(machine.power_off)
            machine.boot()
        yield
