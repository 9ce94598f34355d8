"""The handshake's key schedule, after Noise: no timers, no state of tunnels."""
