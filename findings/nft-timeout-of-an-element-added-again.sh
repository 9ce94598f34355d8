#!/bin/bash
# nftables 1.0.6 (Debian 12) on Linux 6.1 to 6.18: an element added a second time.
#
# Expected: `add element ... timeout 4s` for an element that is there, and whose four
# seconds are half over, begins them anew; or else it is refused, as `create` is.
# Seen: it succeeds and refreshes nothing: the element goes at the end of its first
# four seconds. (`timeout 4s expires 4s` refreshes on 6.12 and later only; flush and
# add in one transaction always do.)
#
# Needs: root, a kernel with nftables, apt. Exits 0 when that is still so, 1 when not.
set -euo pipefail
[[ ${1-} == inside ]] || {
  # shellcheck source=findings/debian.sh
  . "$(dirname "${BASH_SOURCE[0]}")/debian.sh"
  unpack nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2
  unshare --net "${BASH_SOURCE[0]}" inside
  exit
}

is_there() { [[ $(nft list set inet probe grants) == *'elements = { 10.2.0.1'* ]]; }

uname -r
nft --version
nft 'add table inet probe
  add set inet probe grants { type ipv4_addr; flags timeout; }
  add element inet probe grants { 10.2.0.1 timeout 4s }'
sleep 2
nft 'add element inet probe grants { 10.2.0.1 timeout 4s }'
echo 'added again after 2 s: accepted'
nft list set inet probe grants | grep elements
sleep 2.6
is_there && {
  echo 'still there 2.6 s later: it was refreshed'
  exit 1
}
echo 'gone 2.6 s later: it was not refreshed'
nft 'add element inet probe grants { 10.2.0.1 timeout 4s }'
sleep 2
nft 'flush set inet probe grants
  add element inet probe grants { 10.2.0.1 timeout 4s }'
sleep 2.6
is_there && echo 'flushed and added in one transaction: still there after 4.6 s'
