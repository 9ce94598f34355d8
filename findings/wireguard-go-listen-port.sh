#!/bin/bash
# wireguard-go 0.0.20220316 and wireguard-tools 1.0.20210914 (Debian 12): a new listen
# port that another program has.
#
# Expected: `wg set wg0 listen-port 51812` is refused and the device goes on listening
# on 51811, as the kernel's WireGuard does (run on 6.1: EADDRINUSE, still 51811).
# Seen: it is refused, and the device listens nowhere any more: `listening port` is 0,
# the socket of 51811 is closed, peers no longer reach it. What is configured looks
# unchanged otherwise, and the interface is still up.
#
# Needs: root, /dev/net/tun, python3, apt. Exits 0 when that is still so, 1 when not.
set -euo pipefail
[[ ${1-} == inside ]] || {
  # shellcheck source=findings/debian.sh
  . "$(dirname "${BASH_SOURCE[0]}")/debian.sh"
  unpack wireguard-go=0.0.20220316-1+b4 wireguard-tools=1.0.20210914-1+b1
  unshare --net "${BASH_SOURCE[0]}" inside "$folder"
  exit
}

folder=$2
umask 077
name=find$$
ip link set lo up
wireguard-go --version | head -n 1
wireguard-go -f "$name" >/dev/null 2>&1 &
device=$!
trap 'kill "$device"' EXIT
for _ in {1..50}; do
  [[ -S /var/run/wireguard/$name.sock ]] && break
  sleep 0.1
done
wg genkey >"$folder/key"
wg set "$name" private-key "$folder/key" listen-port 51811
ip link set "$name" up
python3 -c '
import socket, time
taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taken.bind(("0.0.0.0", 51812))
print("51812 is taken", flush=True)
time.sleep(20)' &
taker=$!
trap 'kill "$device" "$taker"' EXIT
sleep 1
listening() { ss -Hlnu 'sport = 51811' | wc -l; }
printf 'before: port %s, %s sockets\n' "$(wg show "$name" listen-port)" "$(listening)"
if wg set "$name" listen-port 51812; then exit 1; fi
printf 'after: port %s, %s sockets\n' "$(wg show "$name" listen-port)" "$(listening)"
(($(wg show "$name" listen-port) == 0 && $(listening) == 0))
