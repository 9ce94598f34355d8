"""ESP tunnels in the kernel's XFRM: keys from our handshake, AES-256-GCM.

How it keeps the promises of `gateway.dataplane.base`:

* **Fail closed.** `add_tunnel` first installs policies: outward, whatever goes to
  the tunnel's remote prefixes is refused until an epoch is active; inward,
  whatever claims to come from them must have come through one of its SAs.
* **Switching loses nothing.** An outward policy's template names the SPI of the
  active epoch, so SAs of the next epoch lie ready, unused, and one UPDPOLICY
  moves sending over; inward policies ask for the tunnel's reqid only.
* **An expired SA is a closed door.** The policy still names it, so packets are
  refused, not sent in clear. Nothing listens for ACQUIRE, and a new epoch has
  another SPI than a larval state another daemon may have provoked.
* **Never the same key twice.** SAs are added with NEWSA, which refuses one that is
  there; a repeated `prepare` adds nothing, so no counter and no IV starts again.
* **Restart.** reqid says whose an SA or policy is; the SA's `seq` field, which the
  kernel only hands back, holds its direction and the low 31 bits of its epoch.
"""

from gateway.dataplane.esp.plane import EspPlane
from gateway.dataplane.esp.sockets import enable_udp_encap, exempt_socket

__all__ = ["EspPlane", "enable_udp_encap", "exempt_socket"]
