"""The keys of one epoch, which a completed handshake yields."""

from dataclasses import dataclass
from typing import Final

from gateway.crypto.kdf import HASH_SIZE, derive, expand
from gateway.handshake.noise import labels
from gateway.handshake.noise.transcript import Transcript
from gateway.secret import Secret
from gateway.wire.payloads import CHAIN_ID_SIZE

AEAD_KEY_SIZE: Final = 32
ESP_KEY_SIZE: Final = 36
"""AES-256 key and the 4-byte salt of RFC 4106, as the kernel takes them."""

CHAIN_SIZE: Final = 48
WIREGUARD_PSK_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """Keys exported from a finished transcript (docs/protocol.md, section 6).

    Attributes:
        commit: 32 bytes, seals M3.
        committed: 32 bytes, seals M4.
        esp_i2r: 36 bytes, initiator to responder.
        esp_r2i: 36 bytes, responder to initiator.
        wireguard_psk: 32 bytes.
        chain: 48 bytes, mixed into the next epoch.
        chain_id: 16 bytes that name the chain without telling it.
        control_i2r: 32 bytes.
        control_r2i: 32 bytes.
    """

    commit: Secret
    committed: Secret
    esp_i2r: Secret
    esp_r2i: Secret
    wireguard_psk: Secret
    chain: Secret
    chain_id: bytes
    control_i2r: Secret
    control_r2i: Secret


def export_keys(transcript: Transcript) -> EpochKeys:
    """Derive every output under its own label, bound to the final transcript."""
    exporter = derive(
        transcript.chaining_key, transcript.digest, labels.EXPORTER, HASH_SIZE
    )
    chain = expand(exporter, labels.EXPORT_CHAIN, CHAIN_SIZE)

    def export(label: bytes, size: int = AEAD_KEY_SIZE) -> Secret:
        return Secret(expand(exporter, label, size))

    return EpochKeys(
        commit=export(labels.EXPORT_COMMIT),
        committed=export(labels.EXPORT_COMMITTED),
        esp_i2r=export(labels.EXPORT_ESP_I2R, ESP_KEY_SIZE),
        esp_r2i=export(labels.EXPORT_ESP_R2I, ESP_KEY_SIZE),
        wireguard_psk=export(labels.EXPORT_WIREGUARD, WIREGUARD_PSK_SIZE),
        chain=Secret(chain),
        chain_id=expand(chain, labels.ID_CHAIN, CHAIN_ID_SIZE),
        control_i2r=export(labels.EXPORT_CONTROL_I2R),
        control_r2i=export(labels.EXPORT_CONTROL_R2I),
    )
