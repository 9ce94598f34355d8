"""The text protocol of WireGuard processes (wireguard.com/xplatform).

Requests are ``set=1`` or ``get=1``, lines of ``key=value``, an empty line; answers end
with ``errno=N`` and an empty line. Keys are lower-case hex.
"""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from gateway.dataplane.wireguard.backend import PeerReading, PeerSettings
from gateway.errors import DataPlaneError
from gateway.host.local_names import check_listener, check_socket
from gateway.secret import Secret

SOCKET_FOLDER = Path("/var/run/wireguard")
"""Where wireguard-go makes its sockets; compiled into it."""

TIMEOUT = 5.0
"""Seconds for one exchange; a process that takes longer hangs."""

UNANSWERED = 0.25
"""Seconds after which something may be done about it; an answer takes milliseconds."""

MAX_ANSWER = 64 << 20
"""Bytes of an answer: more than 100,000 peers with a few prefixes each."""


def exchange(device: str, request: str, unblock: Callable[[], None]) -> str:
    """Send one request to a device's process and return the answer.

    Nothing is sent, and so no key is told, unless the socket is that of a process of
    root or our own user, in a folder where nobody else can put another.

    Args:
        device: Its name.
        request: The request, without the empty line at its end.
        unblock: Called each `UNANSWERED` seconds that the process does not answer.

    Raises:
        OSError: The process is not there, or does not answer.
        NameTakenError: Somebody else may listen there.
        DataPlaneError: It refused; `DataPlaneError.message` has the number.
    """
    end = time.monotonic() + TIMEOUT
    path = SOCKET_FOLDER / f"{device}.sock"
    check_socket(path)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(path))
        check_listener(connection)
        connection.sendall(request.encode() + b"\n")
        connection.settimeout(UNANSWERED)
        answer = bytearray()
        while not answer.endswith(b"\n\n"):
            try:
                part = connection.recv(1 << 18)
            except TimeoutError:
                if time.monotonic() >= end:
                    raise
                unblock()
                continue
            if not part:
                raise ConnectionResetError(f"{device} closed its socket")
            answer += part
            if len(answer) > MAX_ANSWER:
                raise DataPlaneError(f"the answer of {device} is too long")
    text = answer.decode("ascii", "replace")
    number = text.rstrip("\n").rpartition("errno=")[2]
    if number != "0":
        raise UAPIRefusal(int(number) if number.lstrip("-").isdigit() else 0)
    return text


class UAPIRefusal(Exception):  # noqa: N818  # an answer, not a fault of ours
    """Raised when the process answers with an error number.

    Attributes:
        number: The errno value, positive.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"errno {number}")
        self.number = abs(number)


def set_device(private_key: Secret) -> str:
    """Return a request that gives a device its key and removes all its peers."""
    return f"set=1\nprivate_key={private_key.expose().hex()}\nreplace_peers=true\n"


def set_mark(mark: int) -> str:
    """Return a request that marks what a device sends outside."""
    return f"set=1\nfwmark={mark}\n"


def set_port(port: int) -> str:
    """Return a request that binds a device's UDP port."""
    return f"set=1\nlisten_port={port}\n"


def add_peer(peer: PeerSettings) -> str:
    """Return a request that removes a peer if it is there, and adds it."""
    key = peer.public_key.hex()
    allowed = "".join(f"allowed_ip={prefix}\n" for prefix in peer.allowed)
    return (
        f"set=1\npublic_key={key}\nremove=true\npublic_key={key}\n"
        f"preshared_key={peer.psk.expose().hex()}\nreplace_allowed_ips=true\n{allowed}"
        f"endpoint={_endpoint(peer.endpoint)}\n"
        f"persistent_keepalive_interval={peer.keepalive}\n"
    )


def remove_peer(public_key: bytes) -> str:
    """Return a request that removes a peer."""
    return f"set=1\npublic_key={public_key.hex()}\nremove=true\n"


def update_peer(
    public_key: bytes,
    *,
    keepalive: int | None = None,
    endpoint: tuple[str, int] | None = None,
    allowed: tuple[str, ...] | None = None,
) -> str:
    """Return a request that changes a peer, and makes none."""
    lines = [f"set=1\npublic_key={public_key.hex()}\nupdate_only=true\n"]
    if endpoint is not None:
        lines.append(f"endpoint={_endpoint(endpoint)}\n")
    if allowed is not None:
        lines.append("replace_allowed_ips=true\n")
        lines += (f"allowed_ip={prefix}\n" for prefix in allowed)
    if keepalive is not None:
        lines.append(f"persistent_keepalive_interval={keepalive}\n")
    return "".join(lines)


def find_private_key(answer: str) -> Secret | None:
    """Return the device's private key from an answer to ``get=1``, if it has one."""
    for line in answer.splitlines():
        name, _, value = line.partition("=")
        if name == "private_key":
            return Secret(bytes.fromhex(value))
        if name == "public_key":
            break
    return None


def read_peers(answer: str) -> dict[bytes, PeerReading]:
    """Return the peers in an answer to ``get=1``, without their keys."""
    peers = {}
    for block in answer.split("\npublic_key=")[1:]:
        key, *lines = block.splitlines()
        fields: dict[str, str] = {}
        allowed = []
        for line in lines:
            name, _, value = line.partition("=")
            if name == "allowed_ip":
                allowed.append(value)
            elif name != "preshared_key":
                fields[name] = value
        host, _, port = fields.get("endpoint", "").rpartition(":")
        peers[bytes.fromhex(key)] = PeerReading(
            handshake=(
                int(fields.get("last_handshake_time_sec", 0)),
                int(fields.get("last_handshake_time_nsec", 0)),
            ),
            received=int(fields.get("rx_bytes", 0)),
            sent=int(fields.get("tx_bytes", 0)),
            allowed=tuple(allowed),
            host=host.strip("[]"),
            port=int(port or 0),
        )
    return peers


def _endpoint(endpoint: tuple[str, int]) -> str:
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
