"""A WireGuard device as an administrator changes it: by `wg`, or by its socket."""

import base64
import socket
from dataclasses import dataclass
from pathlib import Path

from tests.meddle.kind import Spot

TIMEOUT = 3.0
"""Seconds wireguard-go may take to answer."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Attributes:
        at: The gateway.
        name: Its name.
    """

    at: Spot
    name: str

    @property
    def socket(self) -> Path:
        """The socket of its wireguard-go, where it has one."""
        return self.at.end.folder / "wireguard" / f"{self.name}.sock"

    @property
    def in_kernel(self) -> bool:
        """Whether it is the kernel's."""
        return self.at.lab.plane == "wireguard"

    def peers(self) -> list[bytes]:
        """Return the public keys of its peers."""
        if self.in_kernel:
            said = self.at.host.run("wg", "show", self.name, "peers")
            return [base64.b64decode(line) for line in said.split()]
        lines = self._ask("get=1\n\n").splitlines()
        return [
            bytes.fromhex(line.removeprefix("public_key="))
            for line in lines
            if line.startswith("public_key=")
        ]

    def remove_peers(self) -> None:
        """Remove all of them."""
        if self.in_kernel:
            for peer in self.peers():
                self._wg("peer", base64.b64encode(peer).decode(), "remove")
        else:
            self._ask("set=1\nreplace_peers=true\n\n")

    def add_peer(self, peer: bytes, *prefixes: str) -> None:
        """Add one that takes prefixes, from whoever had them."""
        if self.in_kernel:
            key = base64.b64encode(peer).decode()
            self._wg("peer", key, "allowed-ips", ",".join(prefixes))
        else:
            allowed = "".join(f"allowed_ip={prefix}\n" for prefix in prefixes)
            self._ask(f"set=1\npublic_key={peer.hex()}\n{allowed}\n")

    def set_port(self, port: int) -> None:
        """Have it listen at another port."""
        if self.in_kernel:
            self._wg("listen-port", str(port))
        else:
            self._ask(f"set=1\nlisten_port={port}\n\n")

    def set_mark(self, mark: int) -> None:
        """Give what it sends another mark."""
        if self.in_kernel:
            self._wg("fwmark", str(mark))
        else:
            self._ask(f"set=1\nfwmark={mark}\n\n")

    def _wg(self, *arguments: str) -> None:
        self.at.host.run("wg", "set", self.name, *arguments)

    def _ask(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(TIMEOUT)
            client.connect(str(self.socket))
            client.sendall(text.encode())
            answer = b""
            while b"\n\n" not in answer:
                piece = client.recv(1 << 16)
                if not piece:
                    break
                answer += piece
        said = answer.decode()
        assert "errno=0" in said, said
        return said


def devices(at: Spot) -> list[Device]:
    """Return the WireGuard devices of a gateway."""
    return [Device(at, name) for name in at.devices()]
