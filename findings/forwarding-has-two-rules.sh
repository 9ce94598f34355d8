#!/bin/bash
# The switches of forwarding follow two rules. IPv4: the interface by which a packet came
# decides, so forwarding works with net.ipv4.ip_forward = 0. IPv6: `all` decides too, so a
# switch at the interface alone does nothing.
# Expected: one rule for both, as the names of the switches say.
# Seen: on Linux 6.1 (User-mode) and 6.18 it is as above. Newer kernels may have force_forwarding for
# IPv6 (ip-sysctl.rst); it is left at 0.
# Needs: root, iproute2 and iputils-ping; touches namespaces of its own alone.
# Exits 0 while that is so.
set -euo pipefail

tag=fw$$
near=$tag-a router=$tag-r far=$tag-b
trap 'for name in "$near" "$router" "$far"; do ip netns del "$name" 2>/dev/null || true; done' EXIT
command -v ping >/dev/null || { echo 'cannot run: ping is missing'; exit 2; }
for name in "$near" "$router" "$far"; do
  ip netns add "$name" || { echo 'cannot run: needs root'; exit 2; }
done

join() { # HOST NET ROUTER-DEVICE
  ip -n "$1" link add eth0 type veth peer name "$3" netns "$router"
  ip -n "$1" addr add "10.$2.0.2/24" dev eth0
  ip -n "$1" addr add "fd00:$2::2/64" dev eth0 nodad
  ip -n "$router" addr add "10.$2.0.1/24" dev "$3"
  ip -n "$router" addr add "fd00:$2::1/64" dev "$3" nodad
  ip -n "$1" link set eth0 up
  ip -n "$router" link set "$3" up
  ip -n "$1" route add default via "10.$2.0.1"
  ip -n "$1" -6 route add default via "fd00:$2::1"
}
join "$near" 1 left
join "$far" 2 right

switch() { # VERSION PLACE VALUE
  ip netns exec "$router" sysctl -qw "net.ipv$1.conf.$2.forwarding=$3"
}
for version in 4 6; do
  switch "$version" all 0
  switch "$version" left 1
  switch "$version" right 1
done

passes() { ip netns exec "$near" ping -q -c 3 -i 0.2 -W 1 "$1" >/dev/null; }
uname -sr
four=no six=no
passes 10.2.0.2 && four=yes
passes fd00:2::2 && six=yes
echo "ip_forward = 0, both interfaces 1:          IPv4 forwarded: $four"
echo "conf.all.forwarding = 0, both interfaces 1: IPv6 forwarded: $six"
[[ $four == yes && $six == no ]]
