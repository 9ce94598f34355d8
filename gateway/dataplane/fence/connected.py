"""The networks that this host is connected to, by how long they are to stay."""

import socket
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface
from typing import Final

from pyroute2.netlink import NETLINK_ROUTE

from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import HEADER, NetlinkConnection
from gateway.dataplane.refusals import kernel_call

_IFA_F_PERMANENT: Final = 0x80
_ADDRESS_GROUPS: Final = (5, 9)
"""RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR."""

_LINK_GROUP: Final = 1
"""RTNLGRP_LINK: an interface that is renamed keeps its addresses."""

_LINK_KINDS: Final = frozenset({rt.RTM_NEWLINK, rt.RTM_DELLINK})

_READ_SIZE: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Held:
    """One network on one interface.

    Attributes:
        network: The network, of more than one address.
        device: The interface's name.
        is_permanent: Whether the address has no end.
    """

    network: str
    device: str
    is_permanent: bool


@dataclass(frozen=True, slots=True)
class Connected:
    """Networks of this host's addresses.

    Attributes:
        permanent: Those of addresses without an end.
        leased: Those of addresses with one: they came from a network (DHCP, router
            advertisements) and may be anything that a stranger on it likes.
        held: All of them, with their interfaces.
        unasked: Those without an end that came since an operator last accepted what
            is connected here, and may be a stranger's as well.
    """

    permanent: tuple[str, ...] = ()
    leased: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()
    unasked: tuple[str, ...] = ()

    def judged(self, accepted: AcceptedNetworks) -> "Connected":
        """Return the same, with what nobody accepted set apart from the permanent."""
        return replace(
            self,
            permanent=tuple(each for each in self.permanent if each in accepted),
            unasked=tuple(each for each in self.permanent if each not in accepted),
            held=tuple(
                replace(
                    each, is_permanent=each.is_permanent and each.network in accepted
                )
                for each in self.held
            ),
        )


def read_connected(own: Iterable[str]) -> Connected:
    """Read the networks of all addresses but the tunnels' own.

    Args:
        own: Addresses inside tunnels, ``"10.9.0.1/30"``.

    Raises:
        DataPlaneError: The kernel refused.
    """
    inside = {ip_interface(address) for address in own}
    permanent: set[str] = set()
    leased: set[str] = set()
    held: set[Held] = set()
    with (
        kernel_call("read this host's addresses"),
        closing(NetlinkConnection(NETLINK_ROUTE)) as connection,
    ):
        answers = list(connection.dump(rt.address_question()))
    for answer in answers:
        _, length, flags, _, index = rt.IFADDR.unpack_from(answer, HEADER.size)
        parts = dict(rt.walk(answer, HEADER.size + rt.IFADDR.size))
        packed = parts.get(rt.IFA_LOCAL) or parts.get(rt.IFA_ADDRESS, b"")
        address = ip_interface(f"{ip_address(packed)}/{length}")
        if address in inside or address.is_link_local or address.is_loopback:
            continue
        if rt.IFA_FLAGS in parts:
            flags = int.from_bytes(parts[rt.IFA_FLAGS], "little")
        kind = permanent if flags & _IFA_F_PERMANENT else leased
        network = address.network
        kind.add(str(network))
        if network.prefixlen == network.max_prefixlen:
            continue  # a host's own address may move to another host
        with suppress(OSError):  # the interface went meanwhile
            device = socket.if_indextoname(index)
            held.add(Held(str(network), device, bool(flags & _IFA_F_PERMANENT)))
    return Connected(
        tuple(sorted(permanent)), tuple(sorted(leased - permanent)), tuple(held)
    )


class AddressNotifications:
    """A socket that becomes readable when an address or a name may have changed."""

    def __init__(self) -> None:
        """Listen from now on.

        Raises:
            DataPlaneError: The kernel refuses.
        """
        with kernel_call("listen to changes of addresses"):
            self._socket = socket.socket(
                socket.AF_NETLINK,
                socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
                NETLINK_ROUTE,
            )
            try:
                heard = (*_ADDRESS_GROUPS, _LINK_GROUP)
                self._socket.bind((0, sum(1 << group - 1 for group in heard)))
            except OSError:
                self._socket.close()
                raise
        self._names = socket.if_nameindex()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def drain(self) -> bool:
        """Read what has come; return whether an address or a name may have changed."""
        changed = False
        while True:
            try:
                data = self._socket.recv(_READ_SIZE)
            except BlockingIOError:
                break
            except OSError:
                changed = True  # ENOBUFS: more came than fits
                continue
            _, kind, _, _, _ = HEADER.unpack_from(data)
            changed = changed or kind not in _LINK_KINDS
        # Of links only the names matter, and they are told of for much else.
        before, self._names = self._names, socket.if_nameindex()
        return changed or before != self._names
