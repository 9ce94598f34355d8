#!/bin/bash
# strongSwan 6.0.1 of Debian 13 (charon-systemd, strongswan-swanctl): ML-KEM offered.
#
# Expected: `swanctl --load-conns` refuses `ke1_mlkem768`, or the daemon leaves out a
# proposal that it cannot carry out, so that the next one (x25519 alone) is selected.
# Seen: no plugin of the packages has ML-KEM (`swanctl --list-algs`), and yet the
# proposal is loaded without a word, offered, and selected by the responder; then the
# exchange fails with "negotiated key exchange method ML_KEM_768 not supported". So no
# IKE_SA comes up, although both ends have a second proposal that works by itself.
#
# Needs: root, debootstrap, a mirror of Debian 13. Exits 0 when that is still so.
set -euo pipefail

folder=$(mktemp -d)
root=$folder/root
names=("fs$$a" "fs$$b")
clean() {
  local process
  for process in "${daemons[@]}"; do kill "$process" 2>/dev/null || true; done
  sleep 1
  for name in "${names[@]}"; do ip netns delete "$name" 2>/dev/null || true; done
  rm -rf "$folder"
}
daemons=()
trap clean EXIT

packages=charon-systemd,strongswan-swanctl,libstrongswan-standard-plugins
debootstrap --variant=minbase \
  --include="$packages" trixie "$root" >"$folder/log" 2>&1 ||
  { tail -n 5 "$folder/log"; echo 'cannot run: no Debian 13 here'; exit 2; }
chroot "$root" dpkg-query -W charon-systemd strongswan-swanctl

for name in "${names[@]}"; do ip netns add "$name"; done
ip link add cable netns "${names[0]}" type veth peer name cable netns "${names[1]}"
for side in 0 1; do
  ip -n "${names[$side]}" address add "192.0.2.$((side + 1))/24" dev cable
  ip -n "${names[$side]}" link set cable up
  ip -n "${names[$side]}" link set lo up
  mkdir "$root/side$side"
  ends="version = 2
    local_addrs = 192.0.2.$((side + 1))
    remote_addrs = 192.0.2.$((2 - side))
    local { auth = psk
      id = side$side }
    remote { auth = psk
      id = side$((1 - side)) }"
  cat >"$root/side$side/swanctl.conf" <<CONF
connections {
  both { $ends
    proposals = aes256-sha256-x25519-ke1_mlkem768, aes256-sha256-x25519
  }
  plain { $ends
    proposals = aes256-sha256-x25519
  }
}
secrets { ike { secret = 0sZm9yIGEgdHJpYWwgb2YgdHdvIGRhZW1vbnM= } }
CONF
done

# Run a command at a side: its network, its /run, Debian 13's files.
# shellcheck disable=SC2016  # the inner shell expands them
at() {
  local side=$1
  shift
  ip netns exec "${names[$side]}" unshare --mount bash -c '
    mount --bind "$1/side$2" "$1/run"; cd /; exec chroot "$1" "${@:3}"' - \
    "$root" "$side" "$@" 2>>"$folder/noise"
}
for side in 0 1; do
  at "$side" /usr/sbin/charon-systemd >/dev/null &
  daemons+=($!)
done
sleep 4
algorithms=$(at 0 swanctl --list-algs)
printf 'key exchange methods of the packages:\n%s\n' \
  "$(grep -o 'CURVE_25519.*\|ML_KEM.*' <<<"$algorithms")"
[[ $algorithms == *CURVE_25519* && $algorithms != *ML_KEM* ]]
for side in 0 1; do
  at "$side" swanctl --load-all --file /run/swanctl.conf | grep loaded
done
plain=$(at 0 swanctl --initiate --ike plain --timeout 20)
grep 'selected proposal\|established' <<<"$plain"
[[ $plain == *'IKE_SA plain'*established* ]]
both=$(at 0 swanctl --initiate --ike both --timeout 20) || true
grep 'selected proposal\|supported' <<<"$both"
[[ $both == *'selected proposal:'*KE1_ML_KEM_768* ]]
[[ $both == *'key exchange method ML_KEM_768 not supported'* ]]
