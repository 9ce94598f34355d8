#!/bin/bash
# nftables 1.0.6 (Debian 12) on Linux 6.1, 6.12 and 6.18: a transaction that changes an
# interval set while a rule drops by it.
#
# Expected: a transaction is atomic. An address that is in the set before it and after it
# is dropped all the time.
# Seen: packets pass. Where an element is replaced by a wider one that holds the address
# too: 6.1 and 6.12. Where the set is deleted and made anew with its rule: 6.18. (A set
# that is filled in one transaction, and named by a new rule in the next, never fails.)
#
# Needs: root, a kernel with nftables, python3, apt. Exits 0 when one of both is still so
# and the third is not, 1 when not.
set -euo pipefail
[[ ${1-} == inside ]] || {
  # shellcheck source=findings/debian.sh
  . "$(dirname "${BASH_SOURCE[0]}")/debian.sh"
  unpack nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2
  unshare --net "${BASH_SOURCE[0]}" inside
  exit
}

# Besides our address, so many that a transaction takes a while.
others=$(printf ', 172.16.%d.1' {0..255})
kind='type ipv4_addr; flags interval;'

wider_and_back() {
  local from=10.2.0.0/16 to=10.2.0.0/15
  for _ in {1..300}; do
    printf 'delete element inet t s { %s }; add element inet t s { %s }\n' "$from" "$to"
    if [[ $from == *16 ]]; then from=10.2.0.0/15 to=10.2.0.0/16; else from=10.2.0.0/16 to=10.2.0.0/15; fi
  done
}

made_anew() {
  for _ in {1..300}; do
    printf 'flush chain inet t out; delete set inet t s; '
    printf 'add set inet t s { %s elements = { 10.2.0.0/16%s }; }; ' "$kind" "$others"
    printf 'add rule inet t out ip daddr @s drop\n'
  done
}

filled_first() {
  local now=s next=z
  for _ in {1..300}; do
    printf 'add set inet t %s { %s elements = { 10.2.0.0/16%s }; }\n' \
      "$next" "$kind" "$others"
    printf 'flush chain inet t out; add rule inet t out ip daddr @%s drop; ' "$next"
    printf 'delete set inet t %s\n' "$now"
    if [[ $now == s ]]; then now=z next=s; else now=s next=z; fi
  done
}

# Print how many packets passed, and were sent, while transactions ran, one a line.
passed_while() {
  nft "flush ruleset
    table inet t {
      set s { $kind elements = { 10.2.0.0/16$others } }
      chain out { type filter hook postrouting priority 500; ip daddr @s drop; }
    }"
  "$1" >"$folder/lines"
  python3 - "$folder/lines" <<'PYTHON'
import socket, subprocess, sys

sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect(("10.2.0.10", 4000))
passed = sent = 0
with open(sys.argv[1]) as lines:
    changes = subprocess.Popen(["nft", "-i"], stdin=lines, stdout=subprocess.DEVNULL)
    while changes.poll() is None:
        for _ in range(100):
            sent += 1
            try:
                sender.send(b"packet")
                passed += 1
            except PermissionError:  # dropped
                pass
if changes.returncode:
    sys.exit("nft failed")
print(passed, "of", sent)
PYTHON
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
uname -r
nft --version
ip link add near type veth peer name far
ip link set near up
ip link set far up
ip addr add 10.9.0.1/24 dev near
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev near
ip route add 10.2.0.0/15 via 10.9.0.2
wider=$(passed_while wider_and_back)
echo "an element replaced by a wider one, 300 times: $wider passed"
anew=$(passed_while made_anew)
echo "the set deleted and made anew with its rule, 300 times: $anew passed"
filled=$(passed_while filled_first)
echo "a set filled first, then named by a new rule, 300 times: $filled passed"
[[ $filled == '0 of'* && ($wider != '0 of'* || $anew != '0 of'*) ]]
