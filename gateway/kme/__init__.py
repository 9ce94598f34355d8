"""A KME of our own: an ETSI GS QKD 014 server over a simulated QKD link."""
