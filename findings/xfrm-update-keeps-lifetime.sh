#!/bin/bash
# iproute2 6.1.0 on Linux 6.1 to 6.12: `ip xfrm state update` and lifetimes.
#
# Expected: an SA that is updated with `limit time-hard 10` after five seconds lives ten
# seconds from then, as a policy that is updated does; and one that is updated with
# another key uses that key.
# Seen: the update succeeds; the ten seconds count from the first `add`, so the SA goes
# after ten, not after fifteen. The new key is ignored without an error.
#
# Needs: root and a kernel with ESP: scripts/in-uml findings/xfrm-update-keeps-lifetime.sh
# Exits 0 when that is still so, 1 when it is not, 2 when the kernel has no ESP.
set -euo pipefail
key() { printf '0x%072d' "$1"; }
sa=(src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x101)
state() {
  ip xfrm state "$1" "${sa[@]}" mode tunnel aead 'rfc4106(gcm(aes))' "$(key "$2")" 128 \
    limit time-hard 10
}
uname -r
ip -V
state add 1 2>/dev/null || {
  echo 'cannot run: this kernel has no ESP with AES-GCM'
  exit 2
}
sleep 5
state update 2
echo 'updated after 5 s with time-hard 10 and another key: accepted'
ip xfrm state get "${sa[@]}" | grep aead
[[ $(ip xfrm state get "${sa[@]}") == *"$(key 1)"* ]]
echo 'the key is the first one'
sleep 7
if ip xfrm state get "${sa[@]}" 2>/dev/null; then exit 1; fi
echo 'gone after 12 s: the lifetime counts from the first add'
