"""HTTPS to a KME: mutual TLS, bounded answers, faults without the answer's bytes."""
