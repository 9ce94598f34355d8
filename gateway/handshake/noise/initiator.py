"""The initiator's cryptography: makes M1 and M3, reads M2 and M4.

Steps are numbered as in docs/protocol.md. Nothing here keeps time or sends; every
`consume_` works on copies and changes nothing when it fails.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.crypto.aead import TAG_SIZE, open_sealed, seal
from gateway.crypto.ecdh import ECDHPrivateKey
from gateway.crypto.identity import PrivateIdentity, PublicIdentity
from gateway.crypto.kem import SEED_SIZE, KEMPrivateKey
from gateway.crypto.suite import Suite
from gateway.handshake.noise import labels
from gateway.handshake.noise.keys import EpochKeys, export_keys
from gateway.handshake.noise.symmetric import NO_INPUTS, SymmetricInputs, mix_symmetric
from gateway.handshake.noise.transcript import Cursor, Transcript
from gateway.wire.payloads import (
    RESPONSE_PAYLOAD_SIZE,
    InitiationPayload,
    ResponsePayload,
    Status,
    decode_response,
    encode_initiation,
)

Random = Callable[[int], bytes]
"""Source of randomness: takes a size, returns that many bytes."""


@dataclass(frozen=True, slots=True)
class InitiationSent:
    """State between M1 and M2.

    Attributes:
        message: M1, to be fragmented.
        transcript: After M1.
        ephemeral: Our ECDH key of this handshake.
        kem: Our KEM key of this handshake.
    """

    message: bytes
    transcript: Transcript
    ephemeral: ECDHPrivateKey
    kem: KEMPrivateKey


@dataclass(frozen=True, slots=True)
class ResponseRead:
    """State between the payload of M2 and its last tag.

    Attributes:
        payload: The responder's answer: authentic.
        transcript: Before the symmetric inputs.
        final: The last 16 bytes of M2, not yet verified.
    """

    payload: ResponsePayload
    transcript: Transcript
    final: bytes


def response_size(suite: Suite) -> int:
    """Bytes of M2."""
    kem = suite.kem.parameters
    return (
        suite.ecdh.public_size
        + 2 * kem.ciphertext_size
        + RESPONSE_PAYLOAD_SIZE
        + 2 * TAG_SIZE
    )


def create_initiation(
    local: PrivateIdentity,
    peer: PublicIdentity,
    static_secret: bytes,
    payload: InitiationPayload,
    *,
    session_id: bytes,
    random: Random,
) -> InitiationSent:
    """Make M1.

    Args:
        local: Our identity.
        peer: The responder's, of the same suite.
        static_secret: ``ss``, the ECDH of both static keys.
        payload: What the second encrypted part says.
        session_id: Ours, 8 bytes, as the headers of M1 carry it: bound, or a replay
            under another one would pass for a new M1.
        random: Source of randomness.
    """
    suite = local.suite
    transcript = Transcript(suite.name)
    transcript.mix_hash(peer.ecdh + peer.kem)  # I1
    ephemeral = suite.ecdh.load_private(random(suite.ecdh.seed_size))  # I2
    kem = suite.kem.load_private(random(SEED_SIZE))
    transcript.mix_hash(session_id + ephemeral.public + kem.public)  # I3
    transcript.mix_key(labels.MIX_ES, ephemeral.exchange(peer.ecdh))  # I4
    ciphertext, secret = suite.kem.encapsulate(peer.kem)  # I5
    transcript.mix_hash(ciphertext)
    transcript.mix_key(labels.MIX_S1, secret)
    identity = transcript.encrypt(local.public.fingerprint)  # I6
    transcript.mix_hash(local.public.ecdh + local.public.kem)  # I7
    transcript.mix_key(labels.MIX_SS, static_secret)  # I8
    sealed = transcript.encrypt(encode_initiation(payload))  # I9
    message = ephemeral.public + kem.public + ciphertext + identity + sealed
    return InitiationSent(message, transcript, ephemeral, kem)


def consume_response(
    sent: InitiationSent, local: PrivateIdentity, message: bytes
) -> ResponseRead:
    """Read M2 up to and including its payload.

    Raises:
        CryptoError: It is not from the responder, or does not answer this M1.
        ProtocolError: ``size`` or ``payload``.
    """
    suite = local.suite
    size = suite.kem.parameters.ciphertext_size
    cursor = Cursor(message, response_size(suite))
    transcript = sent.transcript.copy()
    ephemeral = cursor.take(suite.ecdh.public_size)
    to_ephemeral = cursor.take(size)
    to_static = cursor.take(size)
    transcript.mix_hash(ephemeral + to_ephemeral + to_static)  # R2
    transcript.mix_key(labels.MIX_EE, sent.ephemeral.exchange(ephemeral))  # R3
    transcript.mix_key(labels.MIX_SE, local.ecdh.exchange(ephemeral))  # R4
    transcript.mix_key(labels.MIX_S_E, sent.kem.decapsulate(to_ephemeral))  # R5
    transcript.mix_key(labels.MIX_S2, local.kem.decapsulate(to_static))  # R6
    sealed = transcript.decrypt(cursor.take(RESPONSE_PAYLOAD_SIZE + TAG_SIZE))  # R7
    payload = decode_response(sealed)
    return ResponseRead(payload, transcript, cursor.take(TAG_SIZE))


def finish_response(read: ResponseRead, inputs: SymmetricInputs) -> EpochKeys:
    """Mix the symmetric inputs, verify the last tag of M2, export the keys.

    Raises:
        CryptoError: The two ends do not hold the same symmetric inputs.
    """
    transcript = read.transcript.copy()
    refused = read.payload.status is not Status.ACCEPTED
    mix_symmetric(transcript, NO_INPUTS if refused else inputs)  # S1 to S3
    transcript.decrypt(read.final)  # R8
    return export_keys(transcript)


def create_commit(keys: EpochKeys, header: bytes) -> bytes:
    """Return M3's body: a tag over its header under the key "commit" (C1)."""
    return seal(keys.commit.expose(), 0, b"", header)


def consume_committed(keys: EpochKeys, header: bytes, body: bytes) -> None:
    """Verify M4's body (C2).

    Raises:
        CryptoError: It was not made by who holds the epoch's keys.
    """
    open_sealed(keys.committed.expose(), 0, body, header)
