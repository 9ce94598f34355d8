"""The client of ETSI GS QKD 014 V1.1.1: status, enc_keys, dec_keys."""
