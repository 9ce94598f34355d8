"""The daemon's Unix socket, both ends of it."""
