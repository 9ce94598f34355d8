"""One batch on one hop: a one-time pad, then a one-time authenticator.

Both are information-theoretic: they hold against any computer. The keys are XORed with
fresh pads (Vernam; Shannon 1949: every plaintext fits every ciphertext). This is the
one place of the product where XOR is right: it does not *combine* keys, it encrypts,
and each pad is as long as what it hides, uniform, and used once.

The authenticator is Wegman and Carter's with Poly1305 as the hash: 16 bytes of a pad
choose the polynomial's point, 16 more mask the result. Poly1305 is
epsilon-almost-delta-universal with epsilon = 8 ceil(L/16) / 2^106 (Bernstein, "The
Poly1305-AES message-authentication code", FSE 2005, theorem 3.3); the mask is a pad
and not AES, so no computational assumption is left. A message authenticated here has
at most `MAX_AUTHENTICATED_SIZE` bytes, which makes one forgery succeed with a
probability of at most 2^-94, whatever the forger can compute, and D attempts with at
most D times that.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from gateway.errors import RelayError, RelayFault
from gateway.relay.messages import (
    MAX_BATCH,
    MAX_KEYS_SIZE,
    SHARE_SIZE,
    TAG_SIZE,
    RelayAnswer,
    RelayKeys,
    encode_answer,
    encode_keys,
)
from gateway.relay.pads import Pad, pad_tag
from gateway.secret import Secret

PADS_OF_MESSAGE: Final = 2
"""Pads that a batch takes beside one for each key: for its tag and its answer's."""

MAX_GUESSES: Final = 16
"""Assignments of pads tried when tags are ambiguous: four pairs of pads that share one,
which by chance never happens."""

MAX_AUTHENTICATED_SIZE: Final = MAX_KEYS_SIZE - TAG_SIZE + 16 * MAX_BATCH
"""Bytes under one authenticator: a message, and the key_IDs of its pads in full."""


def seal_keys(
    unsealed: RelayKeys, shares: Sequence[Secret], pads: Sequence[Pad]
) -> bytes:
    """Encrypt and authenticate a batch.

    Args:
        unsealed: Where it goes; key_IDs, tags and payload are set here.
        shares: The keys, `SHARE_SIZE` bytes each.
        pads: Consumed; as many as shares and `PADS_OF_MESSAGE`. They are erased, but
            for the second, which will verify the answer.

    Returns:
        The message's bytes.
    """
    (mac_id, mac_key), (answer_id, _), *rest = pads
    pad_ids = [key_id for key_id, _ in rest]
    sealed = b"".join(
        _vernam(share, pad) for share, (_, pad) in zip(shares, rest, strict=True)
    )
    message = replace(
        unsealed,
        mac_id=mac_id,
        answer_id=answer_id,
        pad_tags=tuple(pad_tag(key_id) for key_id in pad_ids),
        sealed=sealed,
    )
    tag = _tag(mac_key, _authenticated_keys(message, pad_ids))
    mac_key.wipe()
    for _, pad in rest:
        pad.wipe()
    return encode_keys(replace(message, tag=tag))


def verify_keys(
    message: RelayKeys, mac_key: Secret, candidates: Sequence[Sequence[UUID]]
) -> list[UUID]:
    """Verify a batch, in constant time; return the key_IDs of its pads.

    Args:
        message: As decoded.
        mac_key: The key of `message.mac_id`.
        candidates: For each tag the key_IDs that bear it.

    Raises:
        RelayError: ``forged``.
    """
    for pad_ids in itertools.islice(itertools.product(*candidates), MAX_GUESSES):
        if _fits(mac_key, _authenticated_keys(message, pad_ids), message.tag):
            return list(pad_ids)
    raise _forged()


def open_keys(message: RelayKeys, pads: Sequence[Secret]) -> list[Secret]:
    """Decrypt a verified batch with its consumed pads, and erase them."""
    shares = []
    for index, pad in enumerate(pads):
        piece = Secret(message.sealed[index * SHARE_SIZE : (index + 1) * SHARE_SIZE])
        shares.append(Secret(_vernam(piece, pad)))
        pad.wipe()
    return shares


def seal_answer(answer: RelayAnswer, key: Secret, *, sender: str, to: str) -> bytes:
    """Authenticate an answer under its one-time key, and erase the key."""
    tag = _tag(key, _authenticated_answer(answer, sender, to))
    key.wipe()
    return encode_answer(replace(answer, tag=tag))


def verify_answer(answer: RelayAnswer, key: Secret, *, sender: str, to: str) -> None:
    """Verify an answer, in constant time.

    Raises:
        RelayError: ``forged``.
    """
    if not _fits(key, _authenticated_answer(answer, sender, to), answer.tag):
        raise _forged()


def _authenticated_keys(message: RelayKeys, pad_ids: Iterable[UUID]) -> bytes:
    # The message says how many pads there are, so this ends unambiguously.
    encoded = encode_keys(message)[:-TAG_SIZE]
    return encoded + b"".join(key_id.bytes for key_id in pad_ids)


def _authenticated_answer(answer: RelayAnswer, sender: str, to: str) -> bytes:
    # A name has no zero byte.
    return encode_answer(answer)[:-TAG_SIZE] + b"\0".join(
        (b"", sender.encode(), to.encode())
    )


def _vernam(text: Secret, pad: Secret) -> bytes:
    """XOR with a pad of the same length."""
    if len(text) != SHARE_SIZE or len(pad) != SHARE_SIZE:
        raise ValueError(f"a pad and what it hides have {SHARE_SIZE} bytes")
    hidden = int.from_bytes(text.expose()) ^ int.from_bytes(pad.expose())
    return hidden.to_bytes(SHARE_SIZE)


def _tag(key: Secret, data: bytes) -> bytes:
    return Poly1305.generate_tag(key.expose(), data)


def _fits(key: Secret, data: bytes, tag: bytes) -> bool:
    try:
        Poly1305.verify_tag(key.expose(), data, tag)
    except InvalidSignature:
        return False
    return True


def _forged() -> RelayError:
    return RelayError(
        "a relay message is not authentic",
        "someone tampers with the link, or its ends hold different keys",
        fault=RelayFault.FORGED,
    )
