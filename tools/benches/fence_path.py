"""Two hosts joined by wireguard-go, and packets between them as fast as they go."""

import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from lab.inside import open_socket
from lab.netns import run

from gateway.host.marks import OUTER_MARK

INSIDE = ("10.0.0.1", "10.0.0.2")
"""Both in the prefix of the fence's tunnel 0, so that every packet is judged."""

OUTSIDE = ("192.168.77.1", "192.168.77.2")
PORT = 51811
INSIDE_PORT = 4711
PAYLOAD = 1_368
"""Bytes of a full TCP segment at the tunnel's MTU of 1,420, with its timestamps."""

CHUNK = bytes(1 << 20)

WINDOW = 1 << 16
"""Bytes of the stream that the receiver asks for room for. With no bound, TCP sends
until wireguard-go's UDP buffer overflows: each sixth packet was lost and sent again,
and one that is a little slower to receive lost more of them."""

_RESENT = slice(100, 104)
"""Where tcp_info (linux/tcp.h) has tcpi_total_retrans."""

PATIENCE = 10.0
UAPI = FilePath("/var/run/wireguard")


@dataclass(frozen=True, slots=True)
class Path:
    """The way between two hosts.

    Attributes:
        hosts: Their namespaces.
        devices: Their tunnels' devices.
        pids: Processes of wireguard-go.
        near: Socket that sends.
        far: Socket that receives.
    """

    hosts: tuple[str, str]
    devices: tuple[str, str]
    pids: tuple[int, int]
    near: socket.socket
    far: socket.socket

    def exchange(self, seconds: float) -> int:
        """Send as fast as it goes for some seconds; return how many packets passed.

        Raises:
            TimeoutError: Nothing passes any more.
        """
        size = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sending = threading.Thread(target=self.near.sendall, args=(CHUNK,))
            sending.start()
            left = len(CHUNK)
            while left:
                left -= len(self.far.recv(left))
            sending.join()
            size += len(CHUNK)
        return size // PAYLOAD

    def resent(self) -> int:
        """Return how many segments of the stream were sent more than once."""
        found = self.near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RESENT.stop)
        return int.from_bytes(found[_RESENT], sys.byteorder)


@contextmanager
def make_path() -> Iterator[Path]:
    """Make two hosts and the tunnel between them; remove both in the end."""
    tag = secrets.token_hex(2)
    hosts = (f"qfc-{tag}a", f"qfc-{tag}b")
    devices = (f"qfc{tag}a", f"qfc{tag}b")
    keys = [X25519PrivateKey.generate() for _ in hosts]
    with ExitStack() as stack:
        for host in hosts:
            run("ip", "netns", "add", host)
            stack.callback(run, "ip", "netns", "delete", host, check=False)
        run(
            *("ip", "link", "add", "wan0", "netns", hosts[0], "type", "veth"),
            *("peer", "name", "wan0", "netns", hosts[1]),
        )
        pids = []
        for number, (host, device) in enumerate(zip(hosts, devices, strict=True)):
            inside = ("ip", "netns", "exec", host)
            for command in (
                f"ip addr add {OUTSIDE[number]}/24 dev wan0",
                "ip link set lo up",
                "ip link set wan0 up",
            ):
                run(*inside, *command.split())
            process = subprocess.Popen(
                [*inside, "wireguard-go", "--foreground", device],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(_end, process)
            pids.append(process.pid)
            _configure(device, keys[number], keys[1 - number], OUTSIDE[1 - number])
            for command in (
                f"ip addr add {INSIDE[number]}/24 dev {device}",
                f"ip link set {device} mtu 1420 up",
            ):
                run(*inside, *command.split())
        near, far = (
            stack.enter_context(open_socket(host, socket.AF_INET, socket.SOCK_STREAM))
            for host in hosts
        )
        far.bind((INSIDE[1], INSIDE_PORT))
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        far.listen(1)
        near.settimeout(PATIENCE)
        near.connect((INSIDE[1], INSIDE_PORT))
        accepted = stack.enter_context(far.accept()[0])
        accepted.settimeout(PATIENCE)
        yield Path(hosts, devices, (pids[0], pids[1]), near, accepted)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(PATIENCE)


def _configure(
    device: str, own: X25519PrivateKey, peer: X25519PrivateKey, address: str
) -> None:
    """Tell wireguard-go its key and its peer, as ``wg set`` does."""
    end = time.monotonic() + PATIENCE
    request = (
        f"set=1\nprivate_key={own.private_bytes_raw().hex()}\nlisten_port={PORT}\n"
        f"fwmark={OUTER_MARK}\n"
        f"public_key={peer.public_key().public_bytes_raw().hex()}\n"
        f"endpoint={address}:{PORT}\nallowed_ip=10.0.0.0/24\n\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        while True:
            try:
                control.connect(str(UAPI / f"{device}.sock"))
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        control.sendall(request.encode())
        answer = control.recv(4096).decode()
    if "errno=0" not in answer:
        raise RuntimeError(f"wireguard-go refuses its settings: {answer.strip()}")
