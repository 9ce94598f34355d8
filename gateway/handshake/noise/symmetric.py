"""The symmetric inputs: static PSK, chain secret, QKD key.

Mixed in this order after the payload of M2. Whether each is present, and which one
it is, enters the transcript first, so that two ends which differ in what they mix
can never agree on keys (docs/protocol.md, steps S1 to S3).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.crypto.kdf import derive
from gateway.handshake.noise import labels
from gateway.handshake.noise.transcript import Transcript
from gateway.secret import Secret

_ABSENT: Final = b"\x00"
_PRESENT: Final = b"\x01"
_ID_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain secret and its public name.

    Attributes:
        chain_id: 16 bytes.
        secret: 48 bytes.
        qkd_age: Epochs that this end has committed since the last fresh QKD key that
            the secret depends on; 0 where its own epoch mixed one, None without any.
    """

    chain_id: bytes
    secret: Secret
    qkd_age: int | None = None


@dataclass(frozen=True, slots=True)
class QKDKey:
    """A QKD key and its public name.

    Attributes:
        key_id: ETSI GS QKD 014 key_ID.
        secret: 32 bytes.
    """

    key_id: UUID
    secret: Secret


@dataclass(frozen=True, slots=True)
class SymmetricInputs:
    """What one handshake mixes beside the asymmetric secrets; None for absent."""

    psk: Secret | None
    chain: Chain | None
    qkd: QKDKey | None

    def sources(self) -> Iterator[str]:
        """Names of those present, for status and audit."""
        if self.psk is not None:
            yield "psk"
        if self.chain is not None:
            yield "chain"
        if self.qkd is not None:
            yield "qkd"


NO_INPUTS: Final = SymmetricInputs(None, None, None)


def mix_symmetric(transcript: Transcript, inputs: SymmetricInputs) -> None:
    """Mix the inputs; the transcript's key afterwards depends on all of them."""
    psk, chain, qkd = inputs.psk, inputs.chain, inputs.qkd
    # S1: the static PSK, named by a derivation of it.
    if psk is None:
        transcript.mix_hash(_ABSENT + bytes(_ID_SIZE))
    else:
        secret = psk.expose()
        transcript.mix_hash(_PRESENT + derive(b"", secret, labels.ID_PSK, _ID_SIZE))
        transcript.mix_key(labels.MIX_PSK, secret)
    # S2: the chain secret.
    if chain is None:
        transcript.mix_hash(_ABSENT + bytes(_ID_SIZE))
    else:
        transcript.mix_hash(_PRESENT + chain.chain_id)
        transcript.mix_key(labels.MIX_CHAIN, chain.secret.expose())
    # S3: the QKD key.
    if qkd is None:
        transcript.mix_hash(_ABSENT + bytes(_ID_SIZE))
    else:
        transcript.mix_hash(_PRESENT + qkd.key_id.bytes)
        transcript.mix_key(labels.MIX_QKD, qkd.secret.expose())
    if psk is None and chain is None and qkd is None:
        # A new key all the same, so that no nonce is used twice.
        transcript.mix_key(labels.MIX_NOTHING, b"")
