"""Every label that separates one derivation from another, in one tree.

No label is a prefix of another under the same key, so two derivations can never
be confused. Changing any of them makes another protocol: change `PROTOCOL` too.
"""

from typing import Final

PROTOCOL: Final = b"qgw-1"

# Mixed into the chaining key, in this order (docs/protocol.md, section 5).
MIX_ES: Final = PROTOCOL + b" mix es"
MIX_S1: Final = PROTOCOL + b" mix s1"
MIX_SS: Final = PROTOCOL + b" mix ss"
MIX_EE: Final = PROTOCOL + b" mix ee"
MIX_SE: Final = PROTOCOL + b" mix se"
MIX_S_E: Final = PROTOCOL + b" mix s_e"
MIX_S2: Final = PROTOCOL + b" mix s2"
MIX_PSK: Final = PROTOCOL + b" mix psk"
MIX_CHAIN: Final = PROTOCOL + b" mix chain"
MIX_QKD: Final = PROTOCOL + b" mix qkd"
MIX_NOTHING: Final = PROTOCOL + b" mix nothing"

# Exported from the final chaining key and transcript (section 6).
EXPORTER: Final = PROTOCOL + b" exporter"
EXPORT_COMMIT: Final = PROTOCOL + b" export commit"
EXPORT_COMMITTED: Final = PROTOCOL + b" export ack of commit"
EXPORT_ESP_I2R: Final = PROTOCOL + b" export esp i2r"
EXPORT_ESP_R2I: Final = PROTOCOL + b" export esp r2i"
EXPORT_WIREGUARD: Final = PROTOCOL + b" export wireguard psk"
EXPORT_CHAIN: Final = PROTOCOL + b" export chain"
EXPORT_CONTROL_I2R: Final = PROTOCOL + b" export control i2r"
EXPORT_CONTROL_R2I: Final = PROTOCOL + b" export control r2i"

# Identifiers that may be seen (section 5.3).
ID_PSK: Final = PROTOCOL + b" id psk"
ID_CHAIN: Final = PROTOCOL + b" id chain"

# Keyed with a public identity, against strangers only (section 3).
MAC1: Final = PROTOCOL + b" mac1"
COOKIE: Final = PROTOCOL + b" cookie"
