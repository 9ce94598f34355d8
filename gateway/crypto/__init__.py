"""KEMs, ECDH, key derivation, AEAD and identities: functions over bytes."""
