"""Data planes: session keys as tunnels in the kernel."""
