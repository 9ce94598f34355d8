"""The responder's cryptography: reads M1 and M3, makes M2 and M4.

Steps are numbered as in docs/protocol.md. Reading M1 stops where the fingerprint is
known, so that a stranger costs one ECDH and one decapsulation.
"""

from dataclasses import dataclass

from gateway.crypto.aead import TAG_SIZE, open_sealed, seal
from gateway.crypto.identity import FINGERPRINT_SIZE, PrivateIdentity, PublicIdentity
from gateway.crypto.suite import Suite
from gateway.handshake.noise import labels
from gateway.handshake.noise.initiator import Random
from gateway.handshake.noise.keys import EpochKeys, export_keys
from gateway.handshake.noise.symmetric import SymmetricInputs, mix_symmetric
from gateway.handshake.noise.transcript import Cursor, Transcript
from gateway.wire.payloads import (
    INITIATION_PAYLOAD_SIZE,
    InitiationPayload,
    ResponsePayload,
    decode_initiation,
    encode_response,
)


@dataclass(frozen=True, slots=True)
class IdentityRead:
    """State between the fingerprint in M1 and its payload.

    Attributes:
        fingerprint: Whom M1 says it is from: not yet authentic.
        transcript: After the fingerprint.
        sealed: The encrypted payload.
        ephemeral: The initiator's ECDH key of this handshake.
        kem: The initiator's KEM key of this handshake.
    """

    fingerprint: bytes
    transcript: Transcript
    sealed: bytes
    ephemeral: bytes
    kem: bytes


@dataclass(frozen=True, slots=True)
class InitiationRead:
    """State between M1 and M2.

    Attributes:
        payload: What the initiator asks; weakly authentic (ECDH of static keys only).
        transcript: After M1.
        ephemeral: The initiator's ECDH key of this handshake.
        kem: The initiator's KEM key of this handshake.
        peer: The initiator's identity.
    """

    payload: InitiationPayload
    transcript: Transcript
    ephemeral: bytes
    kem: bytes
    peer: PublicIdentity


def initiation_size(suite: Suite) -> int:
    """Bytes of M1."""
    kem = suite.kem.parameters
    return (
        suite.ecdh.public_size
        + kem.public_size
        + kem.ciphertext_size
        + FINGERPRINT_SIZE
        + INITIATION_PAYLOAD_SIZE
        + 2 * TAG_SIZE
    )


def consume_identity(
    local: PrivateIdentity, session_id: bytes, message: bytes
) -> IdentityRead:
    """Read M1 up to and including the initiator's fingerprint.

    Args:
        local: Our identity.
        session_id: The initiator's, 8 bytes, from the headers of M1.
        message: M1.

    Raises:
        CryptoError: It is not addressed to this identity, or was tampered with.
        ProtocolError: ``size``.
    """
    suite = local.suite
    cursor = Cursor(message, initiation_size(suite))
    transcript = Transcript(suite.name)
    transcript.mix_hash(local.public.ecdh + local.public.kem)  # I1
    ephemeral = cursor.take(suite.ecdh.public_size)
    kem = cursor.take(suite.kem.parameters.public_size)
    transcript.mix_hash(session_id + ephemeral + kem)  # I3
    transcript.mix_key(labels.MIX_ES, local.ecdh.exchange(ephemeral))  # I4
    ciphertext = cursor.take(suite.kem.parameters.ciphertext_size)  # I5
    transcript.mix_hash(ciphertext)
    transcript.mix_key(labels.MIX_S1, local.kem.decapsulate(ciphertext))
    fingerprint = transcript.decrypt(cursor.take(FINGERPRINT_SIZE + TAG_SIZE))  # I6
    sealed = cursor.take(INITIATION_PAYLOAD_SIZE + TAG_SIZE)
    return IdentityRead(fingerprint, transcript, sealed, ephemeral, kem)


def consume_initiation(
    read: IdentityRead, peer: PublicIdentity, static_secret: bytes
) -> InitiationRead:
    """Read the payload of M1.

    Args:
        read: What `consume_identity` returned.
        peer: The pinned identity that has this fingerprint.
        static_secret: ``ss``, the ECDH of both static keys.

    Raises:
        CryptoError: M1 is not from that peer.
        ProtocolError: ``payload``.
    """
    transcript = read.transcript.copy()
    transcript.mix_hash(peer.ecdh + peer.kem)  # I7
    transcript.mix_key(labels.MIX_SS, static_secret)  # I8
    payload = decode_initiation(transcript.decrypt(read.sealed))  # I9
    return InitiationRead(payload, transcript, read.ephemeral, read.kem, peer)


def create_response(
    read: InitiationRead,
    suite: Suite,
    payload: ResponsePayload,
    inputs: SymmetricInputs,
    random: Random,
) -> tuple[bytes, EpochKeys]:
    """Make M2; return it with the keys that M3 will put into force.

    Raises:
        CryptoError: The initiator's ephemeral keys are invalid.
    """
    transcript = read.transcript.copy()
    ephemeral = suite.ecdh.load_private(random(suite.ecdh.seed_size))  # R1
    to_ephemeral, secret_ephemeral = suite.kem.encapsulate(read.kem)
    to_static, secret_static = suite.kem.encapsulate(read.peer.kem)
    transcript.mix_hash(ephemeral.public + to_ephemeral + to_static)  # R2
    transcript.mix_key(labels.MIX_EE, ephemeral.exchange(read.ephemeral))  # R3
    transcript.mix_key(labels.MIX_SE, ephemeral.exchange(read.peer.ecdh))  # R4
    transcript.mix_key(labels.MIX_S_E, secret_ephemeral)  # R5
    transcript.mix_key(labels.MIX_S2, secret_static)  # R6
    sealed = transcript.encrypt(encode_response(payload))  # R7
    mix_symmetric(transcript, inputs)  # S1 to S3
    final = transcript.encrypt(b"")  # R8
    message = ephemeral.public + to_ephemeral + to_static + sealed + final
    return message, export_keys(transcript)


def consume_commit(keys: EpochKeys, header: bytes, body: bytes) -> None:
    """Verify M3's body (C1).

    Raises:
        CryptoError: It was not made by who holds the epoch's keys.
    """
    open_sealed(keys.commit.expose(), 0, body, header)


def create_committed(keys: EpochKeys, header: bytes) -> bytes:
    """Return M4's body: a tag over its header under the key "committed" (C2)."""
    return seal(keys.committed.expose(), 0, b"", header)
