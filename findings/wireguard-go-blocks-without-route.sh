#!/bin/bash
# wireguard-go 0.0.20220316 and wireguard-tools 1.0.20210914 (Debian 12): the route to
# the peer is away for one second, while traffic flows.
#
# Expected: what is sent meanwhile is lost (ENETUNREACH), and traffic goes on as soon as
# the route is back, as with the kernel's WireGuard.
# Seen: it goes on 2 s later. wireguard-go names the interface of each packet
# (IP_PKTINFO). For such a packet IPv4 takes a destination without a route for a
# neighbour, asks for it by ARP, and keeps the packets. Of small ones (Linux 6.18: 832
# bytes of accounting) 256 fill the socket's buffer exactly as they fill ARP's queue;
# sendmsg then blocks until ARP gives up after 3 s. The sender holds a lock meanwhile, so
# nothing is received either, and `wg show` waits. `ip neigh del` of that neighbour ends
# it at once.
#
# Needs: root, /dev/net/tun, ping, python3, apt. Exits 0 when that is still so, 1 when not.
set -euo pipefail
[[ ${1-} == inside ]] || {
  # shellcheck source=findings/debian.sh
  . "$(dirname "${BASH_SOURCE[0]}")/debian.sh"
  unpack wireguard-go=0.0.20220316-1+b4 wireguard-tools=1.0.20210914-1+b1
  unshare --net --mount "${BASH_SOURCE[0]}" inside "$folder"
  exit
}

folder=$2
umask 077
far=find$$
near=fa$$ distant=fb$$
wireguard-go --version | head -n 1
ip netns add "$far"
pids=()
trap 'kill "${pids[@]}"; ip netns del "$far"' EXIT
ip link set lo up
ip -n "$far" link set lo up
ip link add wan0 type veth peer name wan0 netns "$far"
ip link set wan0 up
ip -n "$far" link set wan0 up
# The peer stands for one behind a router: it answers for no address but the link's own.
ip netns exec "$far" sysctl -qw net.ipv4.conf.all.arp_ignore=1
ip addr add 192.0.2.1/24 dev wan0
ip -n "$far" addr add 192.0.2.254/24 dev wan0
ip -n "$far" addr add 198.51.100.1/32 dev lo
ip route add default via 192.0.2.254

wireguard-go -f "$near" >/dev/null 2>&1 &
pids+=($!)
ip netns exec "$far" wireguard-go -f "$distant" >/dev/null 2>&1 &
pids+=($!)
for name in "$near" "$distant"; do
  for _ in {1..50}; do
    [[ -S /var/run/wireguard/$name.sock ]] && break
    sleep 0.1
  done
  wg genkey >"$folder/$name"
  wg set "$name" private-key "$folder/$name"
done
wg set "$near" listen-port 51811 peer "$(wg pubkey <"$folder/$distant")" \
  endpoint 198.51.100.1:51812 allowed-ips 10.9.0.2/32
wg set "$distant" listen-port 51812 peer "$(wg pubkey <"$folder/$near")" \
  endpoint 192.0.2.1:51811 allowed-ips 10.9.0.1/32
ip addr add 10.9.0.1/30 dev "$near"
ip link set "$near" up
ip -n "$far" addr add 10.9.0.2/30 dev "$distant"
ip -n "$far" link set "$distant" up
ping -q -c 3 -W 2 10.9.0.2 >/dev/null

python3 -c '
import socket, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(6000):
    sender.sendto(bytes(56), ("10.9.0.2", 9))
    time.sleep(0.001)' &
pids+=($!)
ping -D -n -i 0.05 -w 6 10.9.0.2 >"$folder/pings" &
measured=$!
sleep 1
ip route del default
sleep 1
ip route add default via 192.0.2.254
back=$(date +%s.%N)
wait $measured || true
first=$(awk -v back="$back" -F '[][]' \
  '/bytes from/ && $2 > back && !seen {print $2; seen = 1}' "$folder/pings")
late=$(awk -v first="$first" -v back="$back" 'BEGIN {printf "%.2f", first - back}')
echo "the route was away for 1 s; answers come $late s after it is back"
awk -v late="$late" 'BEGIN {exit !(late > 1)}'
