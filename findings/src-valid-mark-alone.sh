#!/bin/bash
# Linux 6.1 to 6.18: src_valid_mark with a strict reverse path filter (rp_filter = 1).
#
# A socket marked with SO_MARK sends past a policy route ("not fwmark M lookup T", as
# wg-quick has it); its answers come by an interface that is not the route to their
# source for packets without the mark.
#
# Expected: `sysctl net.ipv4.conf.all.src_valid_mark=1`, which wg-quick sets for this,
# lets the filter pass the answers.
# Seen: it changes nothing by itself: the filter then looks up with the mark of the
# *incoming* packet, which has none unless a rule restores it from conntrack, as
# wg-quick's do. rp_filter = 2 lets them pass.
#
# Needs: root, python3, iproute2, procps. Exits 0 when that is still so, 1 when not.
set -euo pipefail
[[ ${1-} == inside ]] || exec unshare --net --mount "${BASH_SOURCE[0]}" inside

uname -r
mount -t tmpfs none /run
mkdir -p /run/netns
ip netns add far
ip link set lo up
ip link add v0 type veth peer name v1 netns far
ip address add 192.0.2.1/24 dev v0
ip link set v0 up
ip -n far address add 192.0.2.2/24 dev v1
ip -n far link set v1 up
ip link add tunnel type veth peer name unused
ip link set tunnel up
ip route add default dev tunnel table 5157
ip rule add pref 5157 not fwmark 0x51570000/0xffff0000 lookup 5157
ip netns exec far python3 -c '
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("192.0.2.2", 9))
sock.settimeout(20)
while True:
    data, peer = sock.recvfrom(100)
    sock.sendto(data, peer)
' &
far=$!
trap 'kill "$far"' EXIT
sleep 0.5

# Say whether an answer to a marked datagram arrives.
answered() {
  python3 -c '
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x51570000)
sock.settimeout(0.5)
for _ in range(3):
    sock.sendto(b"x", ("192.0.2.2", 9))
    try:
        sock.recv(100)
        sys.exit(print("answered"))
    except TimeoutError:
        pass
print("dropped")'
}

seen=
for setting in "1 0" "1 1" "2 0"; do
  read -r filter mark <<<"$setting"
  sysctl -qw net.ipv4.conf.v0.rp_filter="$filter" net.ipv4.conf.all.src_valid_mark="$mark"
  result=$(answered)
  echo "rp_filter = $filter, src_valid_mark = $mark: $result"
  seen+="$result "
done
[[ $seen == 'dropped dropped answered ' ]]
