"""Needs of the daemon's control sockets beside ESP tunnels."""

import socket

from gateway.dataplane.refusals import kernel_call
from gateway.dataplane.xfrm import constants as c
from gateway.dataplane.xfrm.structs import xfrm_userpolicy_info

UDP_ENCAP = 100
"""linux/udp.h"""
IP_XFRM_POLICY = 17
"""linux/in.h"""
IPV6_XFRM_POLICY = 35
"""linux/in6.h"""


def enable_udp_encap(control: socket.socket) -> None:
    """Let the kernel take ESP in UDP (RFC 3948) off a bound control socket.

    Datagrams that start with four zero bytes, as all of ours do, still reach the
    daemon; so do those too short for ESP. All others go to the SA they name.

    Raises:
        PlaneUnsupportedError: The kernel cannot do it for this address family.
    """
    with kernel_call(
        "take ESP in UDP on the control socket",
        needs="load the modules esp4 and esp6, or set encap = false",
    ):
        control.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, c.UDP_ENCAP_ESPINUDP)


def exempt_socket(control: socket.socket) -> None:
    """Keep a control socket out of every tunnel, in both directions.

    Needed where a peer's outer address lies inside a tunnel's remote prefixes:
    the control channel never runs inside the tunnel it keys.

    Raises:
        PlanePermissionError: CAP_NET_ADMIN is missing.
    """
    if control.family == socket.AF_INET6:
        level, option = socket.IPPROTO_IPV6, IPV6_XFRM_POLICY
    else:
        level, option = socket.IPPROTO_IP, IP_XFRM_POLICY
    with kernel_call("exempt the control socket from IPsec policies"):
        for direction in (c.XFRM_POLICY_IN, c.XFRM_POLICY_OUT):
            policy = xfrm_userpolicy_info.pack(
                {"sel": {"family": int(control.family)}, "dir": direction}
            )
            control.setsockopt(level, option, policy)
