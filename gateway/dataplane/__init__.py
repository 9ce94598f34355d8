"""Where session keys become tunnels in the kernel."""
