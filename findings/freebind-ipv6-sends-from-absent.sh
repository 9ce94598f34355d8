#!/bin/bash
# Linux 6.1 to 6.18: sending from a FREEBIND socket whose address this host lacks.
#
# Expected: what IPv4 does. IP_FREEBIND allows bind(2) to an address that is not there
# (ip(7)); sending from it is refused with ENETUNREACH until the address comes.
# Seen: with IPV6_FREEBIND, sendto(2) succeeds, and the datagram leaves with the source
# address that the host does not have. So does one from a socket bound to :: with the
# option, told any source by IPV6_PKTINFO; without the option that is EINVAL.
#
# Needs: root, python3, iproute2. Exits 0 when that is still so, 1 when it is not.
set -euo pipefail
[[ ${1-} == inside ]] || exec unshare --net "${BASH_SOURCE[0]}" inside

uname -r
ip link set lo up
ip link add v0 type veth peer name v1
ip address add 192.0.2.1/24 dev v0
ip address add fd00:71::1/64 dev v0 nodad
ip link set v0 up
ip link set v1 up
ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev v0
ip neighbour add fd00:71::2 lladdr 02:00:00:00:00:02 dev v0
python3 - <<'END'
import errno, socket, sys

IP_FREEBIND, IPV6_FREEBIND = 15, 78
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
wire.bind(("v1", 0x86DD))
wire.settimeout(2)


def source_seen():
    while True:
        frame = wire.recv(2048)
        if frame[20] == 17:  # UDP, not neighbour discovery
            return socket.inet_ntop(socket.AF_INET6, frame[22:38])


def send(sock, source=None):
    peer = "192.0.2.2" if sock.family == socket.AF_INET else "fd00:71::2"
    said = []
    if source:
        packed = socket.inet_pton(socket.AF_INET6, source) + bytes(4)
        said = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed)]
    try:
        sock.sendmsg([b"x"], said, 0, (peer, 9))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "sent"


four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
four.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
four.bind(("192.0.2.77", 0))
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
six.bind(("fd00:71::77", 0))
wild = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
wild.bind(("::", 0))

ok = True
for what, result, expected in (
    ("IPv4, bound to an absent address", send(four), "ENETUNREACH"),
    ("IPv6, bound to an absent address", send(six), "sent"),
    ("  on the wire, from", source_seen(), "fd00:71::77"),
    ("IPv6, bound to ::, absent source", send(wild, "fd00:71::78"), "EINVAL"),
):
    print(f"{what}: {result}")
    ok &= result == expected
wild.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
result = send(wild, "fd00:71::78"), source_seen()
print("  the same with IPV6_FREEBIND:", *result)
sys.exit(0 if ok and result == ("sent", "fd00:71::78") else 1)
END
