#!/bin/bash
# iproute2 6.1.0 (Debian 12) on Linux 6.1 to 6.18: `expires` of an IPv4 route.
#
# Expected: ip-route(8) documents "expires TIME (Linux 4.4+ only) the route will be
# deleted after the expires time. Only support IPv6 at present": so the option is
# refused for IPv4.
# Seen: `ip -4 route add ... expires 2` succeeds without a word; the route has no
# lifetime and stays. The same command with an IPv6 prefix gives one that goes.
#
# Needs: root, apt. Exits 0 when that is still so, 1 when it is not.
set -euo pipefail
[[ ${1-} == inside ]] || {
  # shellcheck source=findings/debian.sh
  . "$(dirname "${BASH_SOURCE[0]}")/debian.sh"
  unpack iproute2=6.1.0-3
  unshare --net "${BASH_SOURCE[0]}" inside
  exit
}

uname -r
ip -V
ip link add v0 type veth peer name v1
ip link set v0 up
ip link set v1 up
ip -4 route add 10.2.0.0/24 dev v0 expires 2
echo 'IPv4 with expires 2: accepted'
ip -6 route add fd00:2::/64 dev v0 expires 2
ip -4 -details route show 10.2.0.0/24
ip -6 -details route show fd00:2::/64
[[ $(ip -6 route show fd00:2::/64) == *expires* ]]
[[ $(ip -4 -details route show 10.2.0.0/24) != *expires* ]]
sleep 4
ip -4 route get fibmatch 10.2.0.1
if ip -6 route get fibmatch fd00:2::1; then exit 1; fi
echo 'after 4 s the IPv4 route is used, the IPv6 route is not'
