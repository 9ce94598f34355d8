"""The fence in a real kernel: a gateway, its LAN, the far site, and the world."""
