"""WireGuard devices of wireguard-go processes, by their Unix sockets."""

import errno
import time

from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.held.wanted import WantedLink
from gateway.dataplane.refusals import explain_refusal
from gateway.dataplane.wireguard import uapi
from gateway.dataplane.wireguard.backend import (
    DeviceGoneError,
    PeerReading,
    PeerSettings,
    device_alias,
    device_link,
    new_private_key,
    public_key_of,
    refuse_taken_port,
)
from gateway.dataplane.wireguard.process import ProcessTable, find_program
from gateway.errors import DataPlaneError, PlaneConflictError
from gateway.host.local_names import NameTakenError, check_folder
from gateway.host.marks import OUTER_MARK

_KIND = "tun"

END_TIMEOUT = 5.0
"""Seconds for a process to end after its interface was removed."""

ENDING = 1.0
"""Seconds for one that ends by itself; the planes' thread waits meanwhile."""


class UserspaceBackend:
    """Implements `Backend` with wireguard-go; one process for each device."""

    name = "wireguard-go"

    _keeper: Keeper

    def __init__(self) -> None:
        self._program = ""
        self._processes = ProcessTable()
        self._hosts: dict[str, set[str]] = {}

    def open(self, keeper: Keeper) -> None:
        """Look for the program, TUN and the capability. Raises as `Backend.open`."""
        self._program = find_program()
        _check_folder()
        self._keeper = keeper

    def check_port(self, device: str, port: int) -> None:
        """See that a port is free or the device's. Raises as `Backend.check_port`."""
        try:
            answer = self._exchange(device, "get=1\n")
        except DataPlaneError:
            answer = ""
        if f"\nlisten_port={port}\n" not in answer:
            self._let_end(device)
            refuse_taken_port(device, port)

    def ensure_device(self, device: str, port: int) -> bytes:
        """Start or adopt a process. Raises as `Backend.ensure_device`."""
        link = device_link(device, _KIND)
        exists = self._keeper.seek_link(link) is not None
        is_new = not exists or not self._answers(device)
        if is_new:
            # wireguard-go binds late and only logs what went wrong.
            self._let_end(device)
            refuse_taken_port(device, port)
            self._start(link)
        answer = self._exchange(device, "get=1\n")
        private_key = uapi.find_private_key(answer)
        if private_key is None:
            private_key = new_private_key()
            self._exchange(device, uapi.set_device(private_key))
        public_key = public_key_of(private_key)
        private_key.wipe()
        if f"\nfwmark={OUTER_MARK}\n" not in answer:
            self._exchange(device, uapi.set_mark(OUTER_MARK))
        if is_new:
            self._exchange(device, uapi.set_port(port))
        elif f"\nlisten_port={port}\n" not in answer:
            # It would let go of the old port before it finds the new one taken.
            refuse_taken_port(device, port)
            self._exchange(device, uapi.set_port(port))
        self._keeper.make_link(link if is_new else self._keeper.keep_mtu(link))
        return public_key

    def set_again(self, device: str, port: int) -> bool:
        """Set port and mark if they are others. See `Backend.set_again`."""
        try:
            # Both stand before the first peer.
            head = self._exchange(device, "get=1\n").partition("\npublic_key=")[0]
        except DeviceGoneError:
            return False
        head += "\n"
        wrong = f"\nlisten_port={port}\n" not in head
        if wrong:
            refuse_taken_port(device, port)
            self._exchange(device, uapi.set_port(port))
        if f"\nfwmark={OUTER_MARK}\n" not in head:
            self._exchange(device, uapi.set_mark(OUTER_MARK))
            wrong = True
        return wrong

    def unblock(self) -> None:
        """Have the kernel drop what waits for peers to which there is no route.

        wireguard-go names the interface of what it sends; see
        `gateway.dataplane.held.unrouted` for what comes of that. It holds locks
        meanwhile, and neither receives nor answers.

        Raises:
            DataPlaneError: The kernel refused.
        """
        hosts = set[str]().union(*self._hosts.values())
        if hosts:
            self._keeper.forget_unrouted(hosts)

    def is_there(self, device: str) -> bool:
        """Return whether the process answers and its interface is still there."""
        there = self._keeper.seek_link(device_link(device, _KIND)) is not None
        return self._answers(device) and there

    def read_peers(
        self, device: str, *, with_details: bool = False
    ) -> dict[bytes, PeerReading]:
        """Return all peers of a device by public key; prefixes always come along."""
        del with_details
        peers = uapi.read_peers(self._exchange(device, "get=1\n"))
        self._hosts[device] = {peer.host for peer in peers.values() if peer.host}
        return peers

    def replace_peer(self, device: str, peer: PeerSettings) -> None:
        """Remove and add a peer in one request."""
        self._hosts.setdefault(device, set()).add(peer.endpoint[0])
        self._exchange(device, uapi.add_peer(peer))

    def remove_peer(self, device: str, public_key: bytes) -> None:
        """Remove a peer."""
        self._exchange(device, uapi.remove_peer(public_key))

    def set_keepalive(self, device: str, public_key: bytes, seconds: int) -> None:
        """Set a peer's keepalive."""
        self._exchange(device, uapi.update_peer(public_key, keepalive=seconds))

    def set_endpoint(
        self, device: str, public_key: bytes, endpoint: tuple[str, int]
    ) -> None:
        """Change a peer's outer address."""
        self._exchange(device, uapi.update_peer(public_key, endpoint=endpoint))

    def set_allowed(
        self, device: str, public_key: bytes, allowed: tuple[str, ...]
    ) -> None:
        """Replace a peer's prefixes."""
        self._exchange(device, uapi.update_peer(public_key, allowed=allowed))

    def remove_device(self, device: str) -> None:
        """Remove the interface; the process notices and ends, removing its socket."""
        self._keeper.drop_link(device_alias(device))
        self._wait_for_end(device, END_TIMEOUT)

    def close(self) -> None:
        """Do nothing: there is a connection for each request, and processes stay."""

    def _let_end(self, device: str) -> None:
        """Give a process whose interface is gone time to let go of its port.

        It ends by itself, as it does when somebody removes its socket; the kernel
        takes the interface away first.
        """
        if self._keeper.seek_link(device_link(device, _KIND)) is None:
            self._wait_for_end(device, ENDING)

    def _wait_for_end(self, device: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._processes.is_running(device) and time.monotonic() < end:
            time.sleep(0.01)

    def _answers(self, device: str) -> bool:
        try:
            self._exchange(device, "get=1\n")
        except DataPlaneError:
            self._processes.is_running(device)
            return False
        return True

    def _start(self, link: WantedLink) -> None:
        device = link.name
        _check_folder()
        path = uapi.SOCKET_FOLDER / f"{device}.sock"
        self._keeper.drop_link(link.alias)
        # A socket without a process behind it makes wireguard-go refuse to start.
        path.unlink(missing_ok=True)
        self._processes.start(self._program, device)
        self._processes.wait_for(device, path)
        self._keeper.claim_link(link)

    def _exchange(self, device: str, request: str) -> str:
        action = f"configure WireGuard device {device}"
        try:
            return uapi.exchange(device, request, self.unblock)
        except NameTakenError as error:
            raise _refused(error) from None
        except uapi.UAPIRefusal as refusal:
            number = refusal.number
        except OSError as error:
            gone = {errno.ENOENT, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE}
            if error.errno in gone or isinstance(error, ConnectionError):
                raise DeviceGoneError(
                    f"the wireguard-go process of {device} is gone", retryable=True
                ) from None
            number = error.errno or errno.ETIMEDOUT
        raise explain_refusal(action, number) from None


def _check_folder() -> None:
    """See that nobody else can take a socket's name; wireguard-go makes the folder.

    Raises:
        PlaneConflictError: Somebody else can.
    """
    folder = uapi.SOCKET_FOLDER
    try:
        check_folder(folder if folder.exists() else folder.parent)
    except NameTakenError as error:
        raise _refused(error) from None


def _refused(error: NameTakenError) -> PlaneConflictError:
    return PlaneConflictError(
        f"keys could be told to somebody else: {error}", error.hint
    )
