"""A quantum-safe site-to-site gateway: X25519, ML-KEM and QKD keys in one tunnel."""

__version__ = "0.1.0"
